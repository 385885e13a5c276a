/** What an idle node costs: printed for whoever watches the numbers, asserted to be there. */
import { assertGreater } from "@std/assert";
import { pause, RealCluster, residentBytes } from "./real_cluster.ts";

/** After its start a process still gives memory back. */
const SETTLE_MS = 1_000;

Deno.test("five idle nodes: resident memory of each, and from spawn to /readyz", async () => {
  const cluster = await RealCluster.start(5);
  try {
    const first = cluster.ids[0]!;
    await cluster.kill(first);
    const spawnedMs = performance.now();
    await cluster.startNode(first);
    console.log(`from spawn to /readyz, beside four that run: ${Math.round(performance.now() - spawnedMs)} ms`);
    await pause(SETTLE_MS);
    for (const id of cluster.ids) {
      const bytes = await residentBytes(cluster.pid(id));
      if (bytes === null) return console.log(`resident memory not read: no /proc on ${Deno.build.os}`);
      console.log(`${id}: ${(bytes / 2 ** 20).toFixed(1)} MiB resident`);
      assertGreater(bytes, 0);
    }
  } finally {
    await cluster.stop();
  }
});
