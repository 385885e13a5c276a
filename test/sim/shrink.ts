/** Makes a failing run small: leaves out what it fails without, by delta debugging over the parts of its plan. */
import type { Plan } from "./plan.ts";
import { play } from "./simulator.ts";

/** Runs that one failure may cost. */
const RUNS_MAX = 120;

export type Shrunk = { readonly plan: Plan; readonly faults: readonly string[]; readonly runs: number };

/** What kind of fault it is: its words without names, numbers and times. */
export function kindOf(fault: string): string {
  return fault.replace(/\{.*\}/g, "").replace(/\S*\d\S*/g, "#").replace(/\b[a-gvw]\b/g, "@").replace(/\s+/g, " ")
    .trim();
}

/** The smallest plan found that has a fault of the same kind as `fault`. */
export async function shrink(plan: Plan, fault: string, run = play): Promise<Shrunk> {
  const kind = kindOf(fault);
  let best: Shrunk = { plan, faults: [fault], runs: 0 };
  let runs = 0;
  const fails = async (smaller: Partial<Plan>): Promise<boolean> => {
    if (runs >= RUNS_MAX) return false;
    runs++;
    const candidate = { ...best.plan, ...smaller };
    const { faults } = await run(candidate);
    const same = faults.filter((found) => kindOf(found) === kind);
    if (same.length > 0) best = { plan: candidate, faults: same, runs };
    return same.length > 0;
  };
  const calm = { loss: 0, repeat: 0, delayMs: plan.link.delayMs };
  await fails({ links: {} });
  await fails({ link: calm });
  await fails({ learners: 0, rates: plan.rates.slice(0, plan.n) });
  await fails({ lifeMs: null });
  await fails({ forgetAfterMs: null });
  if (best.plan.forgetAfterMs === null) await fails({ raises: false });
  await fails({ rates: plan.rates.map(() => 1) });
  await fewer(plan.changes, (changes) => fails({ changes }));
  await fewer(plan.faults, (faults) => fails({ faults }));
  await fewer(plan.nouns, (nouns) => fails({ nouns }));
  await fewer(plan.clients, (clients) => fails({ clients }));
  await fewer(plan.keys, (keys) => keys.length > 0 ? fails({ keys }) : Promise.resolve(false));
  for (let ms = best.plan.faultyMs / 2; ms > 50; ms /= 2) {
    if (await fails({ faultyMs: best.plan.faultyMs - ms })) continue;
  }
  return { ...best, runs };
}

/** Zeller's ddmin, one direction: leaves out halves, then quarters, then single items, while it still fails. */
async function fewer<T>(all: readonly T[], fails: (left: readonly T[]) => Promise<boolean>): Promise<void> {
  let left = all;
  if (left.length > 0 && await fails([])) return;
  for (let size = Math.ceil(left.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < left.length;) {
      const without = [...left.slice(0, at), ...left.slice(at + size)];
      if (without.length < left.length && without.length > 0 && await fails(without)) left = without;
      else at += size;
    }
  }
}

/** For people: one line per part, then one per fault that happens. */
export function showPlan(plan: Plan): string {
  const {
    seed,
    n,
    learners,
    shared,
    isolates,
    lifeMs,
    raises,
    forgetAfterMs,
    clients,
    keys,
    nouns,
    faultyMs,
    rates,
    link,
    links,
    faults,
    changes,
  } = plan;
  const rate = rates.map((one) => one.toFixed(3)).join(" ");
  return [
    `seed ${seed}: n=${n}, ${learners} learners, clients ${clients}, keys ${keys}, nouns ${nouns}, ${
      faultyMs.toFixed(0)
    } ms of trouble`,
    ...(isolates === 0 ? [] : [`${isolates} isolates each of ${shared}, which live ${lifeMs ?? "any number of"} ms`]),
    ...(raises ? ["a node raises the machine to its newest version"] : []),
    ...(forgetAfterMs === null ? [] : [`names are forgotten that are unused for ${forgetAfterMs} ms`]),
    `clock rates ${rate}; links ${JSON.stringify(link)}${Object.keys(links).length === 0 ? "" : JSON.stringify(links)}`,
    ...changes.map(({ atMs, members }) => `${atMs.toFixed(0).padStart(6)} ms members are to be ${members}`),
    ...faults.map(({ atMs, ...fault }) => `${atMs.toFixed(0).padStart(6)} ms ${JSON.stringify(fault)}`),
  ].join("\n");
}
