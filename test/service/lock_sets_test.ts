/** Several locks at once: all or none, whatever order they are asked in, and whoever dies in between. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { LockState } from "../../src/api.ts";
import { QuorateError } from "../../src/errors.ts";
import { fastClock, until } from "../replica/clocks.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "../replica/memory_cluster.ts";

async function withCluster(n: number, run: (cluster: MemoryCluster) => Promise<void>, times = 1): Promise<void> {
  const cluster = await memoryCluster(n, times === 1 ? {} : { clock: fastClock(times) });
  try {
    await run(cluster);
  } finally {
    cluster.close();
  }
}

async function stateOf(cluster: MemoryCluster, id: string, name: string): Promise<LockState> {
  return (await cluster.node(id).locks.get(name, { stale: false, timeoutMs: 60_000 })).body;
}

/** The instance in a node's own record. */
function instanceAt(cluster: MemoryCluster, id: string, name: string): number {
  return JSON.parse(cluster.disk(id).records.get(`lock/${name}`) ?? '{"instance":0}').instance;
}

async function holders(cluster: MemoryCluster, id: string, ...names: string[]): Promise<(string | null)[]> {
  return await Promise.all(names.map(async (name) => (await stateOf(cluster, id, name)).holders[0]?.holder ?? null));
}

Deno.test("lock sets: all are granted, in the order asked, each once", () =>
  withCluster(5, async (cluster) => {
    const { body } = await cluster.node("b").locks.acquireAll(["z", "a", "é", "z"], request("me"), caller());
    assertEquals(body.grants.map(({ name, holder }) => [name, holder]), [["z", "me"], ["a", "me"], ["é", "me"]]);
    for (const { name, fence } of body.grants) {
      const { body: released } = await cluster.node("c").locks.release(name, fence, caller());
      assertEquals(released.outcome, "released");
    }
  }));

Deno.test("lock sets: one is held: none is kept, and the refusal names it", () =>
  withCluster(5, async (cluster) => {
    await cluster.node("a").locks.acquire("b", request("other"), caller());
    const refused = await assertRejects(
      () => cluster.node("c").locks.acquireAll(["c", "b", "a"], request("me"), caller()),
      QuorateError,
    );
    assertEquals([refused.code, refused.facts.more?.["name"]], ["held", "b"]);
    assertEquals((refused.facts.more as { holders: { holder: string }[] }).holders[0]?.holder, "other");
    assertEquals(await holders(cluster, "d", "a", "b", "c"), [null, "other", null]);
  }));

Deno.test("lock sets: the wait for the last is over: what was taken first is given back", () =>
  withCluster(3, async (cluster) => {
    await cluster.node("a").locks.acquire("b", request("other", { ttlMs: 600_000 }), caller());
    const refused = await assertRejects(
      () =>
        cluster.node("b").locks.acquireAll(["a", "b"], request("me", { waitMs: 3_000 }), caller({ timeoutMs: 60_000 })),
      QuorateError,
    );
    assertEquals([refused.code, refused.facts.more?.["name"]], ["held", "b"]);
    assertEquals(await holders(cluster, "c", "a", "b"), [null, "other"]);
    assertEquals((await stateOf(cluster, "c", "b")).waiterCount, 0);
  }, 10));

Deno.test("lock sets: what was taken first outlives the wait for the last, and all count from the answer", () =>
  withCluster(3, async (cluster) => {
    const slow = () => caller({ timeoutMs: 60_000 });
    const { body: held } = await cluster.node("a").locks.acquire("b", request("other", { ttlMs: 600_000 }), slow());
    const waiting = cluster.node("b").locks.acquireAll(
      ["a", "b"],
      request("me", { ttlMs: 6_000, waitMs: 200_000 }),
      slow(),
    );
    await until("it waits", async () => (await stateOf(cluster, "c", "b")).waiterCount === 1);
    // Twice its ttl, and somebody wants it all the while.
    for (let i = 0; i < 31; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const refused = await assertRejects(
        () => cluster.node("c").locks.acquire("a", request("thief"), slow()),
        QuorateError,
      );
      assertEquals(refused.code, "held");
    }
    assertEquals(await holders(cluster, "c", "a", "b"), ["me", "other"]);
    await cluster.node("a").locks.release("b", held.fence, slow());
    const { body } = await waiting;
    assert(
      body.grants.every(({ waitedMs, guaranteedForMs }) => waitedMs > 12_000 && guaranteedForMs === 5_940),
      JSON.stringify(body),
    );
    assertEquals(await holders(cluster, "c", "a", "b"), ["me", "me"]);
  }, 4));

Deno.test("lock sets: sets that overlap, asked in opposite orders at every node, all get through", () =>
  withCluster(5, async (cluster) => {
    const names = ["a", "b", "c", "d"];
    const inside: Record<string, number> = {};
    await Promise.all(Array.from({ length: 10 }, async (_, i) => {
      const mine = names.filter((_, j) => j !== i % 4);
      if (i % 2 === 0) mine.reverse();
      const { locks } = cluster.node(cluster.ids[i % 5]!);
      const { body } = await locks.acquireAll(
        mine,
        request(`c${i}`, { waitMs: 60_000 }),
        caller({ timeoutMs: 60_000 }),
      );
      for (const { name } of body.grants) assertEquals(inside[name] = (inside[name] ?? 0) + 1, 1, name);
      await Promise.resolve();
      for (const { name } of body.grants) inside[name]!--;
      await Promise.all(
        body.grants.map(({ name, fence }) => locks.release(name, fence, caller({ timeoutMs: 60_000 }))),
      );
    }));
    assertEquals(await holders(cluster, "a", ...names), [null, null, null, null]);
  }));

Deno.test("lock sets: the node dies in between: the same request at another goes on with what was taken", () =>
  withCluster(5, async (cluster) => {
    const same = caller({ timeoutMs: 60_000 });
    const { body: held } = await cluster.node("a").locks.acquire("b", request("other"), caller());
    const ask = request("me", { waitMs: 60_000 });
    cluster.node("d").locks.acquireAll(["a", "b"], ask, same).catch(() => {});
    await until("it waits", async () => (await stateOf(cluster, "c", "b")).waiterCount === 1);
    const { lastFence } = await stateOf(cluster, "c", "a");
    cluster.kill("d");
    const again = cluster.node("e").locks.acquireAll(["a", "b"], ask, same);
    await cluster.node("a").locks.release("b", held.fence, caller());
    const { body } = await again;
    assertEquals(body.grants.map(({ name, holder }) => [name, holder]), [["a", "me"], ["b", "me"]]);
    assertEquals(body.grants[0]?.fence, lastFence);
    const third = await cluster.node("b").locks.acquireAll(["a", "b"], ask, same);
    assertEquals(third.body.grants.map(({ fence }) => fence), body.grants.map(({ fence }) => fence));
  }));

Deno.test("lock sets: the node dies in between and nobody asks again: what it took lapses", () =>
  withCluster(3, async (cluster) => {
    const slow = () => caller({ timeoutMs: 60_000 });
    await cluster.node("a").locks.acquire("b", request("other", { ttlMs: 600_000 }), slow());
    cluster.node("b").locks.acquireAll(["a", "b"], request("dead", { ttlMs: 3_000, waitMs: 100_000 }), slow()).catch(
      () => {},
    );
    await until("it waits", async () => (await stateOf(cluster, "c", "b")).waiterCount === 1);
    assertEquals(await holders(cluster, "c", "a"), ["dead"]);
    cluster.kill("b");
    const { body } = await cluster.node("c").locks.acquire("a", request("next", { waitMs: 100_000 }), slow());
    assertEquals(body.holder, "next");
  }, 10));

Deno.test("lock sets: refused once, the same key may ask again and then has all; with other names it is a mismatch", () =>
  withCluster(5, async (cluster) => {
    const same = caller();
    const { body: held } = await cluster.node("a").locks.acquire("b", request("other"), caller());
    // A refusal for now stands for the tries of before it only.
    await until(
      "c knows",
      async () => (await cluster.node("c").locks.get("b", { stale: true, timeoutMs: 1_000 })).body.state === "held",
    );
    for (let i = 0; i < 3; i++) {
      const refused = await assertRejects(
        () => cluster.node("c").locks.acquireAll(["a", "b"], request("me"), same),
        QuorateError,
      );
      assertEquals(refused.code, "held");
      assertEquals(await holders(cluster, "d", "a"), [null]);
    }
    await cluster.node("a").locks.release("b", held.fence, caller());
    const { body } = await cluster.node("c").locks.acquireAll(["a", "b"], request("me"), same);
    assertEquals(await holders(cluster, "d", "a", "b"), ["me", "me"]);
    for (const names of [["a", "c"], ["a"]]) {
      const other = await assertRejects(
        () => cluster.node("e").locks.acquireAll(names, request("me"), same),
        QuorateError,
      );
      assertEquals(other.code, "idempotency-mismatch");
    }
    // And nothing of what the first answer gave was touched.
    for (const { name, fence } of body.grants) await cluster.node("d").locks.renew(name, fence, {}, caller());
  }));

Deno.test("lock sets: an answered request that comes late takes nothing again, and takes nothing away", () =>
  withCluster(5, async (cluster) => {
    const same = caller();
    const { body } = await cluster.node("a").locks.acquireAll(["a", "b"], request("me"), same);
    const [first, second] = body.grants;
    await cluster.node("b").locks.release("b", second!.fence, caller());
    await until(
      "c has learned it all",
      () => ["a", "b"].every((name) => instanceAt(cluster, "a", name) <= instanceAt(cluster, "c", name)),
    );
    await until("c has learned what b decided", () => instanceAt(cluster, "b", "b") <= instanceAt(cluster, "c", "b"));
    const late = await assertRejects(
      () => cluster.node("c").locks.acquireAll(["a", "b"], request("me"), same),
      QuorateError,
    );
    assertEquals([late.code, late.facts.more], ["lost", {
      fence: second!.fence,
      name: "b",
      stillHeld: [{ name: "a", fence: first!.fence }],
    }]);
    assertEquals(await holders(cluster, "d", "a", "b"), ["me", null]);
    await cluster.node("d").locks.renew("a", first!.fence, {}, caller());
  }));

Deno.test("lock sets: refused again, it says what an earlier try may have been told of, also behind what is lost", () =>
  withCluster(5, async (cluster) => {
    const same = caller();
    const { body } = await cluster.node("a").locks.acquireAll(["c", "b", "a"], request("me"), same);
    const fences = Object.fromEntries(body.grants.map(({ name, fence }) => [name, fence]));
    await cluster.node("b").locks.force("a", "test", caller());
    const late = await assertRejects(
      () => cluster.node("c").locks.acquireAll(["c", "b", "a"], request("me"), same),
      QuorateError,
    );
    assertEquals([late.code, late.facts.more?.["name"]], ["lost", "a"]);
    assertEquals(late.facts.more?.["stillHeld"], [{ name: "b", fence: fences["b"] }, {
      name: "c",
      fence: fences["c"],
    }]);
    for (const name of ["b", "c"]) await cluster.node("d").locks.release(name, fences[name]!, caller());
    assertEquals(await holders(cluster, "e", "a", "b", "c"), [null, null, null]);
  }));

Deno.test("lock sets: what nobody was told of is given back by a repetition that is refused, also behind what is held", () =>
  withCluster(5, async (cluster) => {
    const same = caller();
    const { body: held } = await cluster.node("a").locks.acquire("c", request("other", { ttlMs: 60_000 }), caller());
    const waiting = cluster.node("b").locks.acquireAll(["a", "b", "c"], request("me", { waitMs: 60_000 }), same)
      .catch((error) => error);
    await until(
      "b has taken two",
      async () => `${await holders(cluster, "d", "a", "b")}` === "me,me",
    );
    await cluster.node("d").locks.force("a", "test", caller());
    await cluster.node("e").locks.acquire("a", request("another"), caller());
    const late = await assertRejects(
      () => cluster.node("c").locks.acquireAll(["a", "b", "c"], request("me", { waitMs: 0 }), same),
      QuorateError,
    );
    assertEquals([late.code, late.facts.more?.["name"], late.facts.more?.["stillHeld"]], ["held", "a", undefined]);
    assertEquals(await holders(cluster, "d", "a", "b"), ["another", null]);
    await cluster.node("a").locks.release("c", held.fence, caller());
    assertEquals((await waiting as QuorateError).code, "lost");
  }));

Deno.test("lock sets: two nodes with the same request: what one gives back the other does not answer with", () =>
  withCluster(5, async (cluster) => {
    for (let round = 0; round < 10; round++) {
      const names = [`a${round}`, `b${round}`];
      const same = caller();
      const { body: held } = await cluster.node("a").locks.acquire(names[1]!, request("other"), caller());
      const [one, , two] = await Promise.allSettled([
        cluster.node("b").locks.acquireAll(names, request("me"), same),
        cluster.node("a").locks.release(names[1]!, held.fence, caller()),
        cluster.node("c").locks.acquireAll(names, request("me"), same),
      ]);
      const answered = [one, two].flatMap((result) => result.status === "fulfilled" ? [result.value.body.grants] : []);
      for (const grants of answered) {
        for (const { name, fence } of grants) {
          const { holders: [holder] } = await stateOf(cluster, "d", name);
          assertEquals(holder?.fence, fence, `round ${round}: ${name} was answered and given back`);
        }
      }
    }
  }));

Deno.test("lock sets: refused while what was taken cannot be given back, a set is of unknown outcome to who has a key", () =>
  withCluster(3, async (cluster) => {
    const patient = () => caller({ timeoutMs: 60_000 });
    await cluster.node("a").locks.acquire("b", request("other", { ttlMs: 600_000 }), patient());
    const heal = cluster.network.drop(({ kind, from, content }) =>
      kind === "request" && from === "c" && JSON.stringify(content).includes('"type":"release"')
    );
    const mine = caller({ timeoutMs: 2_000 });
    const refused = await assertRejects(
      () => cluster.node("c").locks.acquireAll(["a", "b"], request("me", { ttlMs: 600_000 }), mine),
      QuorateError,
    );
    assertEquals([refused.code, refused.facts.outcome], ["outcome-unknown", "unknown"]);
    heal();
    const again = await assertRejects(
      () =>
        cluster.node("c").locks.acquireAll(["a", "b"], request("me", { ttlMs: 600_000 }), {
          ...mine,
          timeoutMs: 60_000,
        }),
      QuorateError,
    );
    assertEquals(again.facts.more?.["name"], again.code === "held" ? "b" : "a");
    assertEquals(await holders(cluster, "b", "a", "b"), [null, "other"]);
  }, 10));

Deno.test("lock sets: what a renewal kept that was decided late, after it was given up, is given back by who went away too", () =>
  withCluster(3, async (cluster) => {
    const patient = () => caller({ timeoutMs: 60_000 });
    await cluster.node("a").locks.acquire("b", request("other", { ttlMs: 600_000 }), patient());
    let dropped = 0;
    const heal = cluster.network.drop(({ kind, from, content }) =>
      kind === "request" && from === "c" && JSON.stringify(content).includes('"keeps":true') && ++dropped > 0
    );
    const asked = request("me", { ttlMs: 600_000, waitMs: 6_000 });
    const refused = assertRejects(
      () => cluster.node("c").locks.acquireAll(["a", "b"], asked, caller({ timeoutMs: 1_000, anonymous: true })),
      QuorateError,
    );
    await until("it renews the first in vain", () => dropped > 0);
    // Beyond the time it has; the node's own vote for it stands, and is what it proposes next.
    await new Promise((resolve) => setTimeout(resolve, 150));
    heal();
    assertEquals((await refused).code, "held");
    await until("both are as before", async () => {
      return JSON.stringify(await holders(cluster, "b", "a", "b")) === '[null,"other"]';
    }, 100);
  }, 10));

Deno.test("lock sets: one that was refused is taken when it is asked for again, also for who says that it renews", () =>
  withCluster(3, async (cluster) => {
    const [a, b] = cluster.ids.map((id) => cluster.node(id).locks);
    const { body: held } = await a!.acquire("y", request("other"), caller());
    const mine = caller();
    const ask = () => b!.acquireAll(["x", "y"], request("w", { waitMs: 200, renews: true }), mine);
    assertEquals((await assertRejects(ask, QuorateError)).code, "held");
    await a!.release("y", held.fence, caller());
    assertEquals((await ask()).body.grants.map(({ name }) => name), ["x", "y"]);
  }));
