/** Hedged writes: one request to several nodes is one value, applied once, whoever answers first (PROTOCOL.md §1, flow 6). */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { entriesOf, keyState } from "../../src/machine/state.ts";
import { sharedValueId } from "../../src/engine/shared_value.ts";
import { caller, memoryCluster, request } from "../replica/memory_cluster.ts";

Deno.test("a shared value's id is of its content, whatever the order of an op's fields", () => {
  const command = (op: Record<string, unknown>) => [{ subject: "s", id: "i", born: 0, op: op as { type: string } }];
  const id = sharedValueId(sha256Hex, "lock/a", command({ type: "release", fence: "5", atMs: 0 }));
  assertEquals(id, sharedValueId(sha256Hex, "lock/a", command({ atMs: 0, fence: "5", type: "release" })));
  assertNotEquals(id, sharedValueId(sha256Hex, "lock/b", command({ type: "release", fence: "5", atMs: 0 })));
  assertNotEquals(id, sharedValueId(sha256Hex, "lock/a", command({ type: "release", fence: "6", atMs: 0 })));
});

for (
  const { n, down } of [{ n: 3, down: 0 }, { n: 4, down: 0 }, { n: 5, down: 0 }, { n: 3, down: 1 }, { n: 5, down: 2 }]
) {
  Deno.test(`hedged, n=${n}, ${down} down: sent to three nodes it is granted once, and each answers with that grant`, async () => {
    const cluster = await memoryCluster(n);
    try {
      const up = cluster.ids.slice(0, n - down);
      for (const id of cluster.ids.slice(n - down)) cluster.kill(id);
      for (let round = 0; round < 10; round++) {
        const hedged = caller({ hedge: 0 });
        const undo = cluster.network.delay(({ content }) => content.type === "accept" ? Math.random() * 10 : 0);
        const answers = await Promise.all(
          up.slice(0, 3).map((id) => cluster.node(id).locks.acquire(`hedged-${round}`, request("me"), hedged)),
        );
        undo();
        assertEquals(new Set(answers.map(({ body }) => body.fence)).size, 1);
        // With fewer up than an open quorum it takes a recovery; else whoever learns first has it in one round trip.
        const paths = answers.map(({ receipt }) => receipt.path);
        if (down > 0) assert(paths.every((path) => path === "recovered"), `${paths}`);
        else assert(paths.includes("open-fast"), `${paths}`);
        const { body } = await cluster.node("a").locks.get(`hedged-${round}`, { stale: false, timeoutMs: 30_000 });
        assertEquals(body.holders.length, 1);
      }
    } finally {
      cluster.close();
    }
  });
}

Deno.test("hedged against each other: two clients, one lock: one is granted, the other is told who has it", async () => {
  const cluster = await memoryCluster(5);
  try {
    for (let round = 0; round < 20; round++) {
      const undo = cluster.network.delay(({ content }) => content.type === "accept" ? Math.random() * 10 : 0);
      const ends = await Promise.allSettled(["x", "y"].flatMap((holder) => {
        const hedged = caller({ hedge: 0 });
        return ["a", "b", "c"].map((id) => cluster.node(id).locks.acquire(`duel-${round}`, request(holder), hedged));
      }));
      undo();
      const fences = ends.flatMap((end) => end.status === "fulfilled" ? [end.value.body.fence] : []);
      assertEquals(new Set(fences).size, 1, `${ends.map((end) => end.status === "rejected" ? end.reason : "granted")}`);
      assertEquals(fences.length, 3);
      const view = await cluster.store("a").update(`lock/duel-${round}`, (record) => ({ record: null, reply: record }));
      assert(entriesOf(keyState(view!.state)).length <= 2, "each command was applied once");
    }
  } finally {
    cluster.close();
  }
});
