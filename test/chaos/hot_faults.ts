/** What befalls the nodes while a name is hot: a coordinator that is stopped again and again, kills and pauses. */
import type { RealCluster } from "./real_cluster.ts";
import { coordinatorOf, recordingPath } from "./recording.ts";

export type FaultCounts = {
  pauses: number;
  kills: number;
  /** Pauses of the node that coordinated the name, where that was known. */
  coordinators: number;
};
/** Until `over` is aborted; then all nodes run. */
export type Faults = (cluster: RealCluster, key: string, over: AbortSignal) => Promise<FaultCounts>;

const EVERY_MS = 5_000;
const STOPPED_MS = 2_000;
const DOWN_MS = 300;
/** Between two kills or pauses. */
const QUIET_MS = 1_500;

export const noFaults: Faults = () => Promise.resolve({ pauses: 0, kills: 0, coordinators: 0 });

export function recordings(cluster: RealCluster): string[] {
  return cluster.ids.map((id) => recordingPath(cluster.store(id)));
}

/** Every 5 s for 2 s; where nobody coordinates the name the nodes have it in turn. */
export const stopCoordinator: Faults = async (cluster, key, over) => {
  const counts = { pauses: 0, kills: 0, coordinators: 0 };
  // The first one soon, so that a short run has one.
  await rest(STOPPED_MS / 2, over);
  while (!over.aborted) {
    const coordinator = await coordinatorOf(recordings(cluster), key);
    if (coordinator !== null) counts.coordinators++;
    const id = coordinator ?? cluster.ids[counts.pauses % cluster.ids.length]!;
    cluster.signal(id, "SIGSTOP");
    counts.pauses++;
    await rest(STOPPED_MS, over);
    cluster.signal(id, "SIGCONT");
    await rest(EVERY_MS - STOPPED_MS, over);
  }
  return counts;
};

/** One node at a time, any of them: kill -9 and a new start, or a pause. */
export const killAndPause: Faults = async (cluster, _, over) => {
  const counts = { pauses: 0, kills: 0, coordinators: 0 };
  while (!over.aborted) {
    await rest(QUIET_MS, over);
    if (over.aborted) break;
    const id = cluster.ids[Math.floor(Math.random() * cluster.ids.length)]!;
    if (counts.kills <= counts.pauses) {
      counts.kills++;
      await cluster.kill(id);
      await rest(DOWN_MS, over);
      await cluster.startNode(id);
    } else {
      counts.pauses++;
      cluster.signal(id, "SIGSTOP");
      await rest(STOPPED_MS, over);
      cluster.signal(id, "SIGCONT");
    }
  }
  return counts;
};

/** A pause that ends early when all is over. */
function rest(ms: number, over: AbortSignal): Promise<void> {
  if (over.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      over.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    over.addEventListener("abort", end);
  });
}
