/** This project's nodes on databases that several processes share: a `denokv` for each member, two processes each. */
import { VERSION } from "../../src/version.ts";
import { startDatabases } from "../chaos/databases.ts";
import { RealCluster } from "../chaos/real_cluster.ts";
import { findDenokv } from "../kv_connect/denokv.ts";
import { runningOf } from "./quorate.ts";
import type { System } from "./system.ts";

const PROCESSES = 2;

export const SHARED_STORE: System = {
  name: "Quorate on denokv",
  version: async () => await findDenokv() === null ? null : VERSION,
  async start(n) {
    const ids = [..."abcdefghi".slice(0, n)];
    const databases = await startDatabases(ids, await findDenokv());
    const cluster = await RealCluster.start(n, 0, { isolates: PROCESSES, databases });
    const running = runningOf(cluster);
    return {
      ...running,
      // Clients keep their connections, which whoever stands before the processes does not.
      urls: ids.flatMap((id) => Array.from({ length: PROCESSES }, (_, which) => cluster.isolateUrl(id, which))),
      pids: [...running.pids, ...databases.pids],
    };
  },
};
