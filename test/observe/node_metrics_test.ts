/** What only passes in hours of a node's life, counted by whole nodes in virtual time. */
import { assertEquals } from "@std/assert";
import { FORGET_AFTER_MS, SWEEP_MS } from "../../src/limits.ts";
import { NodeMetrics } from "../../src/observe/node_metrics.ts";
import { MACHINE_VERSION } from "../../src/version.ts";
import { caller, request } from "../replica/memory_cluster.ts";
import { withCluster } from "../trace/observed_cluster.ts";
import { scraped, sumOf } from "./exposition.ts";

const AFTER_MS = 30 * 60_000;
/** Every node has been through its records. */
const PASS_MS = 3 * SWEEP_MS + 10_000;

Deno.test("metrics: a name that is forgotten is counted once in the cluster, by the node whose value did it, each time", async () => {
  const metrics = new Map<string, NodeMetrics>();
  const meter = (id: string) => {
    const one = new NodeMetrics({ me: id, version: "test", deno: "test", now: () => 0 });
    metrics.set(id, one);
    return one;
  };
  const options = {
    limitMs: FORGET_AFTER_MS,
    keepParcels: false,
    machine: MACHINE_VERSION,
    forgetAfterMs: AFTER_MS,
    meter,
  };
  await withCluster(3, async (cluster) => {
    const counted = async (noun: string) => {
      const texts = await Promise.all(cluster.ids.map((id) => {
        const status = cluster.node(id).status();
        return metrics.get(id)!.text({ status, hasQuorum: true, storeFault: null, streams: 0 });
      }));
      return texts.map((text) => sumOf(scraped(text), "quorate_forgotten_total", `noun="${noun}"`)).sort();
    };
    const { locks, registers } = cluster.node("b");
    const use = async (name: string) => {
      const { body } = await locks.acquire(name, request("ci"), caller());
      await locks.release(name, body.fence, caller());
    };
    await use("old");
    await registers.put("kept", { bytes: "", contentType: "text/plain" }, caller());
    await cluster.clock.sleep(AFTER_MS - PASS_MS);
    assertEquals(await counted("lock"), [0, 0, 0]);
    await cluster.clock.sleep(3 * PASS_MS);
    // Whoever hears of it counts nothing.
    assertEquals(await counted("lock"), [0, 0, 1]);
    await use("old");
    await cluster.clock.sleep(AFTER_MS + 3 * PASS_MS);
    assertEquals((await counted("lock")).reduce((sum, one) => sum + one), 2);
    assertEquals([await counted("kv"), await counted("election")], [[0, 0, 0], [0, 0, 0]]);
  }, options);
});
