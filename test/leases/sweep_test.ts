/** What ran out and nobody asks about is ended all the same, slowly, by one node. */
import { assert, assertEquals } from "@std/assert";
import { SWEEP_MS, SWEEP_OTHERS_MS } from "../../src/limits.ts";
import { viewGrants, viewHistory, viewRegister, viewSession } from "../../src/machine/view.ts";
import type { AcceptorRecord } from "../../src/paxos/message.ts";
import { type Observed, withCluster } from "../trace/observed_cluster.ts";
import { caller, request } from "../replica/memory_cluster.ts";

const TTL_MS = 2_000;
/** Every node has been through its records, and what one of them ended the others know. */
const PASS_MS = 3 * SWEEP_MS + 10_000;
const LIMIT_MS = { limitMs: 10 * SWEEP_OTHERS_MS, keepParcels: false };

function recordOf(cluster: Observed, id: string, key: string): AcceptorRecord {
  return JSON.parse(cluster.disk(id).records.get(key)!);
}

for (const n of [3, 5]) {
  Deno.test(`sweep, n=${n}: locks, permits, leaders and values whose lease ran out are ended though nobody asks, in one instance each`, () =>
    withCluster(n, async (cluster) => {
      const { locks, semaphores, elections, registers } = cluster.node("b");
      const names = Array.from({ length: 5 }, (_, i) => `order-${i}`);
      for (const name of names) await locks.acquire(name, request("dead", { ttlMs: TTL_MS }), caller());
      await semaphores.take("s", { ...request("dead", { ttlMs: TTL_MS }), limit: 3, permits: 1 }, caller());
      await elections.campaign("e", { candidate: "dead", ttlMs: TTL_MS, waitMs: 0 }, caller());
      await registers.put("v", { bytes: "", contentType: "text/plain", ttlMs: TTL_MS }, caller());
      await cluster.clock.sleep(PASS_MS);
      const keys = [...names.map((name) => `lock/${name}`), "semaphore/s", "election/e"];
      for (const id of cluster.ids) {
        for (const key of keys) {
          const { state, instance } = recordOf(cluster, id, key);
          assertEquals([viewGrants(state).state, instance], ["free", 3], `${key} at ${id}`);
          assertEquals(viewHistory(state).items.map(({ end }) => end), ["lapsed"], key);
        }
        assertEquals(viewRegister(recordOf(cluster, id, "kv/v").state).value, null);
      }
    }, LIMIT_MS));
}

Deno.test("sweep: what is renewed is left alone, and what is lost with the node it is for, the others end later", () =>
  withCluster(3, async (cluster) => {
    const at = (id: string) => recordOf(cluster, id, "lock/x").state.mode;
    const { body: held } = await cluster.node("a").locks.acquire("held", request("me", { ttlMs: 60_000 }), caller());
    await cluster.node("a").locks.acquire("x", request("dead", { ttlMs: TTL_MS }), caller());
    await cluster.settle();
    const mode = at("a");
    assert(mode.kind === "fast");
    const [up] = cluster.ids.filter((id) => id !== mode.coordinator);
    cluster.kill(mode.coordinator);
    for (let ms = 0; ms < PASS_MS; ms += 20_000) {
      await cluster.node(up!).locks.renew("held", held.fence, {}, caller());
      await cluster.clock.sleep(20_000);
    }
    assertEquals(viewGrants(recordOf(cluster, up!, "lock/x").state).state, "held", "the others wait for the one named");
    for (let ms = 0; ms < SWEEP_OTHERS_MS + PASS_MS; ms += 20_000) {
      await cluster.node(up!).locks.renew("held", held.fence, {}, caller());
      await cluster.clock.sleep(20_000);
    }
    const { state, instance } = recordOf(cluster, up!, "lock/x");
    assertEquals([viewGrants(state).state, instance], ["free", 3]);
    assertEquals(viewGrants(recordOf(cluster, up!, "lock/held").state).holders[0]?.fence, held.fence);
  }, LIMIT_MS));

Deno.test("sweep: after a restart of all nodes, what was held before ends too, and a session with all that is bound to it", () =>
  withCluster(3, async (cluster) => {
    const { locks, sessions } = cluster.node("a");
    await locks.acquire("old", request("dead", { ttlMs: TTL_MS }), caller());
    const { body: session } = await sessions.open({ holder: "dead", ttlMs: TTL_MS }, caller());
    await locks.acquire("bound", request("dead", { ttlMs: TTL_MS, session: session.id }), caller());
    await cluster.settle();
    for (const id of cluster.ids) cluster.kill(id);
    await Promise.all(cluster.ids.map((id) => cluster.restart(id)));
    // One turn to see what there is, the next to end it.
    await cluster.clock.sleep(2 * PASS_MS);
    for (const id of cluster.ids) {
      for (const name of ["old", "bound"]) {
        assertEquals(viewGrants(recordOf(cluster, id, `lock/${name}`).state).state, "free", `${name} at ${id}`);
      }
      assertEquals(viewSession(recordOf(cluster, id, `session/${session.id}`).state)?.ended?.how, "lapsed");
    }
  }, LIMIT_MS));

Deno.test("sweep: a place in a queue whose node is gone is given up though nobody asks", () =>
  withCluster(3, async (cluster) => {
    await cluster.node("a").locks.acquire("q", request("long", { ttlMs: 3_600_000 }), caller());
    cluster.node("b").locks.acquire("q", request("ghost", { waitMs: 300_000 }), caller()).catch(() => {});
    await cluster.settle();
    assertEquals(viewGrants(recordOf(cluster, "a", "lock/q").state).waiters.length, 1);
    cluster.kill("b");
    await cluster.clock.sleep(SWEEP_OTHERS_MS + 2 * PASS_MS);
    assertEquals(viewGrants(recordOf(cluster, "a", "lock/q").state).waiters.length, 0);
  }, LIMIT_MS));

Deno.test("sweep: more names than a round looks at take their turn", () =>
  withCluster(3, async (cluster) => {
    const count = 260;
    const names = Array.from({ length: count }, (_, i) => `order-${i}`);
    const { locks } = cluster.node("a");
    await Promise.all(names.map((name) => locks.acquire(name, request("dead", { ttlMs: TTL_MS }), caller())));
    await cluster.clock.sleep(4 * PASS_MS);
    const held = cluster.ids.flatMap((id) =>
      names.filter((name) => viewGrants(recordOf(cluster, id, `lock/${name}`).state).state !== "free")
    );
    assertEquals(held, []);
  }, LIMIT_MS));

Deno.test("sweep: it ends with its node", () =>
  withCluster(3, async (cluster) => {
    await cluster.node("a").locks.acquire("x", request("dead", { ttlMs: TTL_MS }), caller());
    await cluster.settle();
    for (const id of cluster.ids) cluster.node(id).close();
    await cluster.clock.sleep(2 * SWEEP_OTHERS_MS);
    assertEquals(recordOf(cluster, "a", "lock/x").instance, 2);
  }, LIMIT_MS));
