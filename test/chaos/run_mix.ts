/** One mix from five fresh nodes to its figures: calm first, then faults, healing, and everything read back. */
import { contradictions, type End, endFaults, lostWrites } from "./check_history.ts";
import { Client, isSuccess } from "./client.ts";
import { type Disks, openDisks } from "./disk.ts";
import { type HealTimes, healTimes } from "./heal.ts";
import { History } from "./history.ts";
import { Injector, type InjectorParts } from "./injector.ts";
import { Mesh } from "./mesh.ts";
import { type Mix, NODES, plan } from "./mixes.ts";
import { PausedHolders } from "./paused_holders.ts";
import type { LinkCounts } from "./proxy.ts";
import { call, pause, RealCluster } from "./real_cluster.ts";
import { lostUpdates, Resource } from "./resource.ts";
import { Workload } from "./workload.ts";

export type MixOptions = {
  readonly mix: Mix;
  readonly seed: number;
  /** The throughput is measured in the second half, when everything is warm. */
  readonly calmMs: number;
  readonly faultsMs: number;
};

export type MixResult = {
  readonly mix: Mix;
  readonly operations: number;
  readonly calmPerSecond: number;
  readonly grants: number;
  readonly unknown: number;
  readonly counts: Injector["counts"];
  readonly links: LinkCounts;
  readonly holderPauses: number;
  /** Operations begun while there were faults: how many have a definite answer, of how many. */
  readonly success: { readonly definite: number; readonly asked: number };
  readonly heal: HealTimes;
  readonly lost: readonly string[];
  readonly contradictions: readonly string[];
  /** Counts of the resource that checks fences, and of the one that does not. */
  readonly fencedViolations: readonly string[];
  readonly unfencedViolations: readonly string[];
  readonly refusedWrites: number;
  readonly disk: Disks["kind"] | null;
  readonly history: History;
};

const READERS = 16;

/**
 * Rejects if `stopped` does before the end; either way everything it started is ended.
 *
 * @param step told what is going to happen, one line each
 */
export async function runMix(
  options: MixOptions,
  step: (line: string) => void,
  stopped: Promise<never> = new Promise(() => {}),
): Promise<MixResult> {
  await using started = new AsyncDisposableStack();
  const disks = options.mix === "full-disk" ? started.adopt(await openDisks(NODES), (disks) => disks.close()) : null;
  let mesh!: Mesh;
  const links = (urls: ReadonlyMap<string, string>) => {
    mesh = started.adopt(new Mesh(urls, options.seed), (opened) => opened.close());
    return (from: string, to: string) => mesh.link([from, to]).url;
  };
  const cluster = await RealCluster.start(NODES.length, 0, {
    links,
    ...(disks === null ? {} : { through: disks.through }),
    ...(disks?.folder ? { store: (id) => `${disks.folder!(id)}/store.sqlite` } : {}),
  });
  started.defer(() => cluster.stop());
  return await Promise.race([play(options, { cluster, mesh, disks }, started, step), stopped]);
}

async function play(
  { mix, seed, calmMs, faultsMs }: MixOptions,
  { cluster, mesh, disks }: InjectorParts,
  started: AsyncDisposableStack,
  step: (line: string) => void,
): Promise<MixResult> {
  const history = new History();
  const nodes = new Map(cluster.ids.map((id) => [id, cluster.url(id)]));
  const [guarded, unguarded] = [new Resource({ guarded: true }), new Resource({ guarded: false })];
  const shared = { nodes, history, seed, guarded, unguarded };
  const workload = new Workload(shared);
  await pause(calmMs / 2);
  const calmFrom = history.now();
  await pause(calmMs / 2);
  const faultsFrom = history.now();

  const injector = new Injector({ cluster, mesh, disks });
  const holders = mix === "pause" ? started.adopt(new PausedHolders(shared), (paused) => paused.stop()) : null;
  const steps = plan(mix, seed, faultsMs);
  for (const { atMs, untilMs, fault } of steps) step(`plan: ${atMs} to ${untilMs} ms ${JSON.stringify(fault)}`);
  await injector.run(steps, faultsMs);
  const faultsTo = history.now();
  await holders?.stop();

  const [heal] = await Promise.all([healTimes(nodes, history, seed), workload.stop()]);
  const ends = await readBack(history, nodes, injector.honest);
  await injector.settle();

  const { operations } = history;
  const calm = operations.filter(({ returnMs }) => returnMs >= calmFrom && returnMs < faultsFrom);
  const during = operations.filter(({ callMs }) => callMs >= faultsFrom && callMs < faultsTo);
  return {
    mix,
    operations: operations.length,
    calmPerSecond: calm.length / ((faultsFrom - calmFrom) / 1_000),
    grants: operations.filter(({ op, outcome }) => op === "acquire" && outcome === "granted").length,
    unknown: operations.filter((operation) => !isSuccess(operation)).length,
    counts: injector.counts,
    links: mesh.counts(),
    holderPauses: holders?.pauses ?? 0,
    success: { definite: during.filter(isSuccess).length, asked: during.length },
    heal,
    lost: lostWrites(operations),
    contradictions: [
      ...contradictions(operations),
      ...endFaults(operations, ends),
      ...injector.faults,
      ...heal.faults,
    ],
    fencedViolations: lostUpdates(guarded.writes),
    unfencedViolations: lostUpdates(unguarded.writes),
    refusedWrites: guarded.refused,
    disk: disks?.kind ?? null,
    history,
  };
}

/** Every lock through every node that may vote, and how its grants ended. */
export async function readBack(
  history: History,
  nodes: ReadonlyMap<string, string>,
  through: readonly string[],
): Promise<End[]> {
  const keys = [...new Set(history.operations.map(({ key }) => key))];
  const ends: End[] = [];
  const reader = new Client("reader", { nodes, history, random: () => 0 });
  const read = async (): Promise<void> => {
    for (let key = keys.pop(); key !== undefined; key = keys.pop()) {
      for (const id of through) {
        const { outcome } = await reader.read(key, id);
        if (outcome !== "read") throw new Error(`${key} cannot be read through ${id} at the end: ${outcome}`);
      }
      const told = await call(nodes.get(through[0]!)!, "GET", `/v1/locks/${encodeURIComponent(key)}/history`);
      for (const item of told?.body["items"] as { fence: string; end: string }[] ?? []) {
        ends.push({ lock: key, fence: item.fence, end: item.end });
      }
    }
  };
  await Promise.all(Array.from({ length: READERS }, read));
  return ends;
}
