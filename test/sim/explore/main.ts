/**
 * `deno task explore`: the gate's plans, each against its pinned count; `--deep` all of them, `--only TEXT` those with
 * the text in their name, `--bound N` up to N states and without pins. `--mutants`: every planted bug must be caught.
 */
import { parseArgs } from "node:util";
import * as core from "../../../src/paxos/mod.ts";
import { COUNTS, pinnedBound, unlikePinned } from "./counts.ts";
import { explore, unseen } from "./explorer.ts";
import { HOST_MUTANTS, judgeHostMutant, judgeRoleMutant, ROLE_MUTANTS } from "./mutants.ts";
import { type PlanName, PLANS } from "./plans.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    deep: { type: "boolean" },
    mutants: { type: "boolean" },
    only: { type: "string" },
    bound: { type: "string" },
  },
});

/** What is wrong with the plan's search, nothing if all is as it should be. */
function search(name: PlanName): { readonly states: number; readonly faults: readonly string[] } {
  const startedMs = performance.now();
  const plan = PLANS[name];
  const verdict = explore(core, plan, values.bound === undefined ? pinnedBound(name) : Number(values.bound));
  const { states, complete, violation, sometimes } = verdict;
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
  const megabytes = Math.round(Deno.memoryUsage().rss / 1e6);
  console.log(
    `${name}: ${states} states${complete ? "" : " (not complete)"} in ${seconds} s, ${megabytes} MB`,
    JSON.stringify(sometimes),
  );
  if (violation !== null) return { states, faults: [violation.what, ...violation.script.map((line) => `  ${line}`)] };
  if (values.bound !== undefined) return { states, faults: [] };
  // Breadth first, a search that is cut short may not have come far enough.
  const missing = complete ? unseen(plan, verdict).map((what) => `${name} never came to: ${what}`) : [];
  return { states, faults: [...unlikePinned(name, verdict), ...missing] };
}

function explorePlans(): boolean {
  const names = (Object.keys(PLANS) as PlanName[])
    .filter((name) => values.only === undefined || name.includes(values.only))
    .filter((name) => values.deep || values.bound !== undefined || COUNTS[name].in !== "deep");
  let total = 0;
  let failed = 0;
  for (const name of names) {
    const { states, faults } = search(name);
    total += states;
    if (faults.length > 0) failed++;
    for (const fault of faults) console.log(fault);
  }
  console.log(`${names.length} plans, ${total} states, ${failed} failed`);
  return names.length > 0 && failed === 0;
}

async function plantMutants(): Promise<boolean> {
  const judged = [
    ...ROLE_MUTANTS.map((mutant) => ({ mutant, judge: () => judgeRoleMutant(mutant) })),
    ...HOST_MUTANTS.map((mutant) => ({ mutant, judge: () => judgeHostMutant(mutant) })),
  ].filter(({ mutant: { name } }) => values.only === undefined || name.includes(values.only));
  let failed = 0;
  for (const { mutant: { name }, judge } of judged) {
    const { passed, how } = await judge();
    console.log(`${passed ? "caught" : "NOT CAUGHT"}: ${name}: ${how}`);
    if (!passed) failed++;
  }
  console.log(`${judged.length} mutants, ${failed} not caught`);
  return judged.length > 0 && failed === 0;
}

Deno.exit((values.mutants ? await plantMutants() : explorePlans()) ? 0 : 1);
