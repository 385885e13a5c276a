/** Histories that the simulator records: whole clusters that fail in every way, three nodes each, so that many are cheap. */
import { type Plan, planOf } from "../sim/plan.ts";
import { play } from "../sim/simulator.ts";
import type { History } from "./histories.ts";

/** Fewer say little that another does not. */
const EVENTS_MIN = 3;
const LOCKS = 2;
/** One seed in six or so makes a plan that is cheap, with four or so that are long enough. */
const SEEDS_A_HISTORY = 20;

/** Rejects where the runs have not so many to give. */
export async function recorded(count: number): Promise<readonly History[]> {
  const histories: History[] = [];
  for (let seed = 1; histories.length < count; seed++) {
    if (seed > SEEDS_A_HISTORY * count) throw new Error(`the simulator records only ${histories.length} histories`);
    const plan = planOf(seed, "owners");
    if (plan.n !== 3 || plan.learners > 0) continue;
    histories.push(...await recordedIn({ ...plan, nouns: ["registers"], keys: plan.keys.slice(0, LOCKS) }));
  }
  return histories.slice(0, count);
}

async function recordedIn(plan: Plan): Promise<readonly History[]> {
  const { history, locks: { leases, holds, reads } } = await play(plan);
  const registers = Map.groupBy(history.filter(({ key }) => key.startsWith("kv/")), ({ key }) => key);
  const ofRegisters = [...registers].filter(([, events]) => events.length >= EVENTS_MIN).map(([key, events]) => {
    return { from: `seed ${plan.seed}, ${key}`, of: "register" as const, events };
  });
  const ofLocks = plan.keys.map((key) => {
    const isOfKey = ({ lock }: { readonly lock: string }) => lock === key;
    const told = { leases, holds: holds.filter(isOfKey), reads: reads.filter(isOfKey) };
    return { from: `seed ${plan.seed}, lock/${key}`, of: "lock" as const, told };
  }).filter(({ told }) => told.holds.length + told.reads.length >= EVENTS_MIN);
  return [...ofRegisters, ...ofLocks];
}
