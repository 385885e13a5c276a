/** What befalls the nodes while a name is hot: a coordinator that is stopped again and again, kills and pauses. */
import { pause, type RealCluster } from "./real_cluster.ts";
import { coordinatorOf, recordingPath } from "./recording.ts";

export type FaultCounts = {
  pauses: number;
  kills: number;
  /** Pauses of the node that coordinated the name, where that was known. */
  coordinators: number;
};
export type Faults = (cluster: RealCluster, key: string, until: () => boolean) => Promise<FaultCounts>;

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
export const stopCoordinator: Faults = async (cluster, key, until) => {
  const counts = { pauses: 0, kills: 0, coordinators: 0 };
  // The first one soon, so that a short run has one.
  await pause(STOPPED_MS / 2);
  while (!until()) {
    const coordinator = await coordinatorOf(recordings(cluster), key);
    if (coordinator !== null) counts.coordinators++;
    const id = coordinator ?? cluster.ids[counts.pauses % cluster.ids.length]!;
    cluster.signal(id, "SIGSTOP");
    counts.pauses++;
    await pause(STOPPED_MS);
    cluster.signal(id, "SIGCONT");
    await pause(EVERY_MS - STOPPED_MS);
  }
  return counts;
};

/** One node at a time, any of them: kill -9 and a new start, or a pause. */
export const killAndPause: Faults = async (cluster, _, until) => {
  const counts = { pauses: 0, kills: 0, coordinators: 0 };
  while (!until()) {
    await pause(QUIET_MS);
    const id = cluster.ids[Math.floor(Math.random() * cluster.ids.length)]!;
    if (counts.kills <= counts.pauses) {
      counts.kills++;
      await cluster.kill(id);
      await pause(DOWN_MS);
      await cluster.startNode(id);
    } else {
      counts.pauses++;
      cluster.signal(id, "SIGSTOP");
      await pause(STOPPED_MS);
      cluster.signal(id, "SIGCONT");
    }
  }
  return counts;
};
