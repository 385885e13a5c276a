/**
 * One run of a whole cluster in virtual time: the shipped nodes, a network that loses, repeats, delays and cuts, disks
 * that fail, nodes that die at every step and return, clients that retry through other nodes. Same plan, same run.
 */
import type { Decisions } from "./check/acceptor_monitor.ts";
import type { HistoryEvent } from "./check/history_lines.ts";
import { Client, type ClientCounts, noCounts } from "./client.ts";
import { Digest } from "./digest.ts";
import type { KvCounts } from "./fake_kv.ts";
import { type FaultCounts, Faults } from "./faults.ts";
import { Heal, type HealFigures } from "./heal.ts";
import { History, type LockHistory } from "./history.ts";
import { workloadOf } from "./nouns.ts";
import { keepsTime, type Noun, type Plan, planOf } from "./plan.ts";
import { seededRandomness } from "./virtual_time.ts";
import type { NounCounts, Workload } from "./workload.ts";
import { World } from "./world.ts";

export type SimFigures = ClientCounts & FaultCounts & HealFigures & KvCounts & {
  /** 1 of a run whose members are served by many processes each, some of them at least. */
  readonly isolates: number;
  readonly evictions: number;
  /** Names that were forgotten, each as often as that was. */
  readonly forgotten: number;
  /** Times that the members became others, and the epoch before was retired. */
  readonly memberChanges: number;
  /** Votes for names that were new after that. */
  readonly freshVotes: number;
  readonly decisions: Decisions;
  readonly grants: number;
  readonly handOvers: number;
  /** Decided commands of each key. */
  readonly commands: readonly number[];
  readonly kills: number;
  /** Deaths by where they happened. */
  readonly crashPoints: Readonly<Record<string, number>>;
  readonly nouns: Readonly<Partial<Record<Noun, NounCounts>>>;
};

export type SimResult = {
  readonly figures: SimFigures;
  readonly faults: readonly string[];
  readonly history: readonly HistoryEvent[];
  /** What the clients of locks were told, as locks.ts judges it. */
  readonly locks: LockHistory;
  /** A digest of everything that happened; all zeros and ones unless asked for. */
  readonly digest: string;
};

const LIMIT_MS = 600_000;
const RAISE_STREAM = 70;
const [RAISE_EVERY_MS, RAISE_MS] = [400, 1_000];

export async function simulate(seed: number): Promise<SimResult> {
  return await play(planOf(seed));
}

/** @param digests whether to tell this run from others by all that happens in it; it takes longer */
export async function play(plan: Plan, digests = false): Promise<SimResult> {
  const digest = new Digest(digests);
  const world = await World.make(plan, digest);
  const history = new History(keepsTime(plan));
  const counts = noCounts();
  const faults = new Faults(world);
  let healed: HealFigures = { healedMs: 0, recoveryMs: 0, quarantined: 0 };
  const failures: string[] = [];
  // A rejection that nobody handles ends a process.
  const stray = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    failures.push(`nobody handles ${(event.reason as Error)?.stack ?? event.reason}`);
  };
  addEventListener("unhandledrejection", stray);
  const workloads = new Map<Noun, Workload>();
  const whole = async () => {
    await trouble(world, history, counts, workloads);
    faults.heal();
    const heal = new Heal(world, history);
    healed = heal.figures;
    await heal.run(faults);
    await Promise.all([...workloads.values()].map((workload) => workload.healed(heal)));
  };
  try {
    await world.clock.run(whole(), LIMIT_MS);
  } catch (error) {
    failures.push((error as Error).message);
  } finally {
    removeEventListener("unhandledrejection", stray);
  }
  world.cluster.close();
  const { monitor, order, none, decided, answers, points, kills, evictions } = world;
  return {
    figures: {
      ...counts,
      ...faults.counts,
      ...healed,
      ...world.isolates.counts,
      isolates: plan.isolates > 0 ? 1 : 0,
      evictions,
      forgotten: world.forgotten.size,
      memberChanges: world.changes.done,
      freshVotes: monitor.fresh,
      decisions: monitor.decisions,
      grants: history.grants,
      handOvers: order.handOvers,
      commands: decided.keys.map((key) => decided.commands(key)),
      kills,
      crashPoints: Object.fromEntries(points.hits),
      nouns: Object.fromEntries([...workloads].map(([noun, workload]) => [noun, workload.counts])),
    },
    // What is unsafe first: liveness may fail because of it.
    faults: [
      ...monitor.faults(),
      ...order.faults(),
      ...none.faults(),
      ...answers.faults(),
      ...history.faults(),
      ...[...workloads.values()].flatMap((workload) => workload.faults()),
      ...world.faults,
      ...failures,
    ],
    history: [...history.events, ...[...workloads.values()].flatMap(({ events }) => events)],
    locks: history.locks,
    digest: digest.toString(),
  };
}

/** The clients at work while everything fails; they stop where they are when that ends. */
async function trouble(
  world: World,
  history: History,
  counts: ClientCounts,
  workloads: Map<Noun, Workload>,
): Promise<void> {
  const over = world.clock.sleep(world.plan.faultyMs);
  const clients = world.plan.clients.map((index) => new Client(index, world, history, counts, over).run());
  if (world.plan.raises) clients.push(raise(world, over));
  for (const noun of world.plan.nouns) workloads.set(noun, workloadOf(noun, { world, over }));
  await Promise.all([over, ...clients, ...[...workloads.values()].map((workload) => workload.run())]);
}

/** As an operator does it, again and again, until a node has done it. */
async function raise(world: World, over: Promise<void>): Promise<void> {
  const random = seededRandomness(world.plan.seed, RAISE_STREAM);
  let isOver = false;
  over.then(() => isOver = true);
  while (!isOver) {
    await world.clock.sleep(random.next() * RAISE_EVERY_MS);
    const { up } = world;
    if (up.length === 0) continue;
    const raised = world.ask(random.pick(up), (node) => node.raise(RAISE_MS)).then(() => true, () => false);
    if (await raised) return;
  }
}
