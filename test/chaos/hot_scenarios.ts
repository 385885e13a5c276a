/** The scenarios of `deno task hot`: three real processes, one hot name, and what its callers were told (hot.ts). */
import { sha256Hex } from "../../src/auth/digest.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { Effects, replay, type Visitor } from "./decided.ts";
import { type GatewayProcess, startGateway } from "./gateway_process.ts";
import {
  checkCount,
  type Checked,
  checkWrites,
  complain,
  kindOf,
  type Observed,
  type Read,
  type Wrong,
} from "./hot_check.ts";
import { checkTurns, DecidedGrants } from "./hot_check_locks.ts";
import { ask, type Try } from "./hot_client.ts";
import { type FaultCounts, type Faults, killAndPause, noFaults, recordings, stopCoordinator } from "./hot_faults.ts";
import { additions, type Load, lockTurns, plainWrites } from "./hot_loads.ts";
import { pause, RealCluster } from "./real_cluster.ts";
import { linesOf } from "./recording.ts";

export type Size = { readonly seconds: number; readonly count: number };

export type Result = {
  readonly figures: Readonly<Record<string, string | number>>;
  readonly wrong: Wrong;
};

export type Scenario = {
  readonly name: string;
  /** Callers, where nobody says otherwise. */
  readonly count: number;
  readonly run: (size: Size) => Promise<Result>;
};

const NODES = 3;
const NAME = "hot";
/** What was sent late arrives. */
const SETTLE_MS = 1_000;
const READ_TRIES = 600;

export const SCENARIOS: readonly Scenario[] = [
  { name: "writers", count: 120, run: (size) => writers(size, noFaults, false) },
  { name: "writers, coordinator stopped", count: 120, run: (size) => writers(size, stopCoordinator, false) },
  { name: "writers, gateway", count: 120, run: (size) => writers(size, stopCoordinator, true) },
  { name: "counter", count: 16, run: counter },
  { name: "locks", count: 60, run: locks },
];

async function writers(size: Size, faults: Faults, viaGateway: boolean): Promise<Result> {
  return await onCluster({ key: `kv/${NAME}`, size, faults, viaGateway }, {
    load: async (load) => ({ writes: await plainWrites(load), reads: [] }),
    finish: finalReads,
    check: async ({ done: { writes }, last, replayed }) => {
      const effects = new Effects();
      const { faults, instances } = await replayed(effects);
      return registerResult({ writes, reads: last, effects: effects.all, viaGateway }, { faults, instances }).result;
    },
  });
}

async function counter(size: Size): Promise<Result> {
  return await onCluster({ key: `kv/${NAME}`, size, faults: killAndPause, viaGateway: false }, {
    load: additions,
    finish: finalReads,
    check: async ({ done: { writes, reads }, last, replayed }) => {
      const effects = new Effects();
      const decided = await replayed(effects);
      const observed = { writes, reads: [...reads, ...last], effects: effects.all, viaGateway: false };
      const { result, checked } = registerResult(observed, decided);
      const value = Number(last[0]!.value.split(" ")[0]);
      checkCount(result.wrong, value, checked);
      return { ...result, figures: { ...result.figures, value } };
    },
  });
}

async function locks(size: Size): Promise<Result> {
  return await onCluster({ key: `lock/${NAME}`, size, faults: killAndPause, viaGateway: false }, {
    load: lockTurns,
    finish: () => Promise.resolve(null),
    check: async ({ done: turns, replayed }) => {
      const decided = new DecidedGrants();
      const { faults, instances } = await replayed(decided);
      const { wrong, ...figures } = checkTurns(turns, decided.all);
      for (const fault of faults) complain(wrong, "decided values", fault);
      const tries = turns.flatMap(({ acquire, release }) => [...acquire, ...release]);
      return { wrong, figures: { turns: turns.length, ...figures, ...answers(tries), instances } };
    },
  });
}

type Decided = { readonly faults: readonly string[]; readonly instances: number };

function registerResult(observed: Observed, { faults, instances }: Decided): { result: Result; checked: Checked } {
  const checked = checkWrites(observed);
  const { wrong, ...figures } = checked;
  for (const fault of faults) complain(wrong, "decided values", fault);
  const { writes, effects } = observed;
  const tries = writes.flatMap(({ tries }) => tries);
  const all = { writes: writes.length, ...figures, ...answers(tries), instances, effects: effects.length };
  return { result: { figures: all, wrong }, checked };
}

/** How many answers of each kind there were, but for 200. */
function answers(tries: readonly Try[]): Record<string, number> {
  const kinds = Map.groupBy(tries, ({ told }) => kindOf(told));
  return Object.fromEntries([...kinds].filter(([kind]) => kind !== "200").map(([kind, all]) => [kind, all.length]));
}

type Setting = {
  readonly key: string;
  readonly size: Size;
  readonly faults: Faults;
  readonly viaGateway: boolean;
};
type Parts<T, R> = {
  readonly load: (load: Load) => Promise<T>;
  /** When all nodes are up again. */
  readonly finish: (cluster: RealCluster) => Promise<R>;
  readonly check: (run: {
    readonly done: T;
    readonly last: R;
    readonly replayed: (visitor: Visitor) => Promise<Decided>;
  }) => Promise<Result>;
};

async function onCluster<T, R>({ key, size, faults, viaGateway }: Setting, parts: Parts<T, R>): Promise<Result> {
  const cluster = await RealCluster.start(NODES, 0, { isolates: 1, main: ["test/chaos/recording_node.ts"] });
  let gateway: GatewayProcess | null = null;
  try {
    const nodes = cluster.ids.map((id) => cluster.url(id));
    if (viaGateway) gateway = await startGateway(nodes);
    const urls = gateway === null ? nodes : [gateway.url];
    const over = new AbortController();
    const startMs = performance.now();
    const loading = parts.load({ urls, name: NAME, ...size }).finally(() => over.abort());
    const faulting = faults(cluster, key, over.signal);
    // A node that is being started again must have started before the cluster is stopped.
    await Promise.allSettled([loading, faulting]);
    const [done, counts] = await Promise.all([loading, faulting]);
    const seconds = (performance.now() - startMs) / 1_000;
    await pause(SETTLE_MS);
    const last = await parts.finish(cluster);
    const lines = await linesOf(recordings(cluster), key);
    const machine = createMachine({ digest: sha256Hex });
    const replayed = (visitor: Visitor) => Promise.resolve(replay(lines, machine, visitor));
    const { figures, wrong } = await parts.check({ done, last, replayed });
    return { figures: { seconds: seconds.toFixed(0), ...figures, ...shown(counts) }, wrong };
  } finally {
    await gateway?.stop();
    await cluster.stop();
  }
}

function shown(counts: FaultCounts): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
}

/** What each node shows at last. */
async function finalReads(cluster: RealCluster): Promise<Read[]> {
  return await Promise.all(cluster.ids.map(async (id) => {
    for (let i = 0; i < READ_TRIES; i++) {
      const { told, callMs } = await ask(cluster.url(id), { method: "GET", path: `/v1/kv/${NAME}` });
      if (told?.status === 200) return { callMs, revision: told.revision!, value: told.text };
      await pause(100);
    }
    throw new Error(`${id} does not answer at the end`);
  }));
}
