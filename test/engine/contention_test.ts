/** Which path a contended key takes (PROTOCOL.md §8): the count, and what nodes make of it. */
import { assert, assertEquals } from "@std/assert";
import { CALM_INSTANCES, HOT_INSTANCES } from "../../src/limits.ts";
import { Contention } from "../../src/engine/contention.ts";
import { acquire, client, finalRecord, type Observed, withCluster } from "../trace/observed_cluster.ts";
import { caller } from "../replica/memory_cluster.ts";

Deno.test("contention: two collisions in eight instances are hot, one twice noted is one, older ones are forgotten", () => {
  const contention = new Contention();
  assertEquals(contention.heat("k", 5), "mixed");
  contention.collided("k", 3);
  contention.collided("k", 3);
  assertEquals(contention.heat("k", 4), "mixed");
  contention.collided("k", 4);
  assertEquals(contention.heat("k", 5), "hot");
  assertEquals(contention.heat("other", 5), "mixed");
  assertEquals(contention.heat("k", 3 + HOT_INSTANCES), "hot");
  assertEquals(contention.heat("k", 4 + HOT_INSTANCES), "mixed");
});

Deno.test("contention: sixteen instances in a row with the commands of one node are calm; of two nodes, none", () => {
  const contention = new Contention();
  for (let i = 1; i < CALM_INSTANCES; i++) contention.decided("k", 1);
  assertEquals(contention.heat("k", 99), "mixed");
  contention.decided("k", 1);
  assertEquals(contention.heat("k", 99), "calm");
  contention.decided("k", 2);
  assertEquals(contention.heat("k", 99), "mixed");
});

Deno.test("contention: what is kept of it has a bound", () => {
  const contention = new Contention();
  contention.collided("old", 1);
  contention.collided("old", 2);
  for (let i = 0; i < 10_000; i++) contention.decided(`k${i}`, 1);
  assertEquals(contention.heat("old", 3), "mixed");
});

/** Renewals of one shared hold through all of these nodes at once. */
async function renewTogether(
  cluster: Observed,
  name: string,
  fence: string,
  nodes: readonly string[],
): Promise<string[]> {
  const answers = await Promise.all(nodes.map((id) => cluster.node(id).locks.renew(name, fence, {}, caller())));
  return answers.map(({ receipt }) => receipt.path);
}

for (const n of [3, 4, 5]) {
  Deno.test(`paths, n=${n}: a contended key goes to one coordinator, and back to fast once it is calm`, () =>
    withCluster(n, async (cluster) => {
      cluster.network.delay(() => 1 + cluster.random.next());
      const name = "contended";
      const { fence } = await acquire(cluster, name, client("a"));
      const seen = new Set<string>();
      let rounds = 0;
      for (; rounds < 60 && !seen.has("classic"); rounds++) {
        for (const path of await renewTogether(cluster, name, fence!, ["a", "b", "c"])) seen.add(path);
      }
      assert(seen.has("classic"), `still ${[...seen]} after ${rounds} rounds`);
      await cluster.settle();
      const { mode } = (await finalRecord(cluster, `lock/${name}`, cluster.ids)).state;
      assertEquals(mode.kind, "classic");
      // Under contention it stays there, and the coordinator decides what comes together in one instance.
      const together = await renewTogether(cluster, name, fence!, ["a", "b", "c"]);
      assertEquals(new Set(together), new Set(["classic"]));

      const calm: string[] = [];
      for (let i = 0; i < CALM_INSTANCES + 3; i++) calm.push(...await renewTogether(cluster, name, fence!, ["b"]));
      assert(["fast", "open-fast"].includes(calm.at(-1)!), calm.join());
      await cluster.settle();
      assertEquals((await finalRecord(cluster, `lock/${name}`, cluster.ids)).state.mode.kind, "fast");
    }));
}

Deno.test("paths: a prefix that was given to fast ballots stays with them, however contended", () =>
  withCluster(3, async (cluster) => {
    cluster.network.delay(() => 1 + cluster.random.next());
    const { fence } = await acquire(cluster, "fast/mine", client("a"));
    for (let i = 0; i < 30; i++) {
      const paths = await renewTogether(cluster, "fast/mine", fence!, ["a", "b", "c"]);
      assert(!paths.includes("classic"), paths.join());
    }
  }));

Deno.test("paths: a prefix that was given to one coordinator stays there, however calm", () =>
  withCluster(3, async (cluster) => {
    const { fence } = await acquire(cluster, "classic/mine", client("a"));
    for (let i = 0; i < CALM_INSTANCES + 3; i++) await renewTogether(cluster, "classic/mine", fence!, ["a"]);
    await cluster.settle();
    assertEquals((await finalRecord(cluster, "lock/classic/mine", cluster.ids)).state.mode.kind, "classic");
  }));
