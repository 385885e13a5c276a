/** Elections on whole nodes: one leader a term, in the order of the campaigns, and nobody told late. */
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import type { ElectionState, Led } from "../../src/api.ts";
import { QuorateError } from "../../src/errors.ts";
import { DRIFT } from "../../src/limits.ts";
import { fastClock, until } from "../replica/clocks.ts";
import { caller, type MemoryCluster, memoryCluster } from "../replica/memory_cluster.ts";

const ask = (candidate: string, more: Record<string, unknown> = {}) => ({
  candidate,
  ttlMs: 30_000,
  waitMs: 0,
  ...more,
});

async function stateOf(cluster: MemoryCluster, id: string, name: string): Promise<ElectionState> {
  return (await cluster.node(id).elections.get(name, { stale: false, timeoutMs: 30_000 })).body;
}

async function withCluster(n: number, run: (cluster: MemoryCluster) => Promise<void>, times = 1): Promise<void> {
  const cluster = await memoryCluster(n, times === 1 ? {} : { clock: fastClock(times) });
  try {
    await run(cluster);
  } finally {
    cluster.close();
  }
}

for (const n of [1, 3, 5]) {
  Deno.test(`elections, n=${n}: won, refused to a second, proclaimed, resigned, won again with a larger term`, () =>
    withCluster(n, async (cluster) => {
      const first = cluster.node("a").elections;
      const last = cluster.node(cluster.ids.at(-1)!).elections;
      assertEquals((await stateOf(cluster, "a", "e")).leader, null);
      const { body: won } = await first.campaign("e", ask("one", { value: "10.0.0.1" }), caller());
      assertEquals([won.name, won.candidate, won.value, won.ttlMs], ["e", "one", "10.0.0.1", 30_000]);
      assertEquals(won.guaranteedForMs, 30_000 * (1 - DRIFT));
      const refused = await assertRejects(() => last.campaign("e", ask("two"), caller()), QuorateError);
      assertEquals(refused.code, "led");
      const led = refused.facts.more as Led;
      assertEquals([led.leader?.candidate, led.leader?.term, led.leader?.value, led.yours], [
        "one",
        won.term,
        "10.0.0.1",
        undefined,
      ]);
      const mine = await assertRejects(() => last.campaign("e", ask("one"), caller()), QuorateError);
      assertEquals((mine.facts.more as Led).yours, won.term);
      const { body: proclaimed } = await last.proclaim("e", won.term, { value: "10.0.0.2" }, caller());
      assertEquals([proclaimed.value, proclaimed.term], ["10.0.0.2", won.term]);
      assertGreater(BigInt(proclaimed.revision), BigInt(won.revision));
      assertEquals((await stateOf(cluster, "a", "e")).leader?.value, "10.0.0.2");
      const { body: resigned } = await first.resign("e", won.term, caller());
      assertEquals([resigned.outcome, resigned.term], ["released", won.term]);
      const { body: next } = await last.campaign("e", ask("two"), caller());
      assertGreater(BigInt(next.term), BigInt(won.term));
      const { body: history } = await first.history("e", { timeoutMs: 30_000 });
      assertEquals(history.items.map(({ term, candidate, end }) => [term, candidate, end]), [
        [won.term, "one", "released"],
      ]);
    }));
}

Deno.test("elections: candidates lead in the order in which they came, each through another node", () =>
  withCluster(5, async (cluster) => {
    const { body: first } = await cluster.node("a").elections.campaign("e", ask("first"), caller());
    const order: string[] = [];
    const waiting = [];
    for (const [i, id] of ["b", "c", "d"].entries()) {
      const { elections } = cluster.node(id);
      waiting.push(
        elections.campaign("e", ask(`c${i}`, { waitMs: 20_000 }), caller()).then(async ({ body }) => {
          order.push(body.candidate);
          assertEquals((await stateOf(cluster, "e", "e")).leader?.candidate, body.candidate);
          await elections.resign("e", body.term, caller());
          return BigInt(body.term);
        }),
      );
      await until(`c${i} waits`, async () => (await stateOf(cluster, "e", "e")).waiterCount === i + 1);
    }
    assertEquals((await stateOf(cluster, "a", "e")).waiters.map(({ candidate }) => candidate), ["c0", "c1", "c2"]);
    await cluster.node("a").elections.resign("e", first.term, caller());
    const terms = await Promise.all(waiting);
    assertEquals(order, ["c0", "c1", "c2"]);
    assert(terms.every((term, i) => term > (terms[i - 1] ?? BigInt(first.term))));
  }));

Deno.test("elections: a leader that is silent is replaced, and is told when it speaks again", () =>
  withCluster(3, async (cluster) => {
    const { body: old } = await cluster.node("a").elections.campaign("e", ask("old", { ttlMs: 2_000 }), caller());
    const { body: next } = await cluster.node("b").elections.campaign(
      "e",
      ask("next", { waitMs: 60_000 }),
      caller({ timeoutMs: 60_000 }),
    );
    assertGreater(BigInt(next.term), BigInt(old.term));
    // Nobody else could act before the old leader's own clock told it to stop.
    assertGreater(next.waitedMs, old.guaranteedForMs - 100);
    const late = await assertRejects(
      () => cluster.node("a").elections.proclaim("e", old.term, { value: "x" }, caller({ timeoutMs: 60_000 })),
      QuorateError,
    );
    assertEquals(late.code, "lost");
    assertEquals((await stateOf(cluster, "c", "e")).leader?.candidate, "next");
  }, 10));

Deno.test("elections: the same Idempotency-Key through another node is the same term; for another candidate a mismatch", () =>
  withCluster(5, async (cluster) => {
    const same = caller();
    const { body: one } = await cluster.node("a").elections.campaign("e", ask("me"), same);
    const { body: two } = await cluster.node("d").elections.campaign("e", ask("me"), same);
    assertEquals(two.term, one.term);
    for (const other of [ask("you"), ask("me", { value: "x" })]) {
      const error = await assertRejects(() => cluster.node("b").elections.campaign("e", other, same), QuorateError);
      assertEquals(error.code, "idempotency-mismatch");
    }
  }));

Deno.test("elections: a name is its noun's own: a lock of that name is another thing", () =>
  withCluster(3, async (cluster) => {
    await cluster.node("a").elections.campaign("same", ask("me"), caller());
    const { body } = await cluster.node("b").locks.get("same", { stale: false, timeoutMs: 30_000 });
    assertEquals(body.state, "free");
    const page = await cluster.node("a").elections.list({ prefix: "s", limit: 10, cursor: null, timeoutMs: 30_000 });
    assertEquals(page.items.map(({ name, leader }) => [name, leader?.candidate]), [["same", "me"]]);
  }));

Deno.test("elections: forced, the leader's term has ended and the next leads", () =>
  withCluster(3, async (cluster) => {
    const { body: won } = await cluster.node("a").elections.campaign("e", ask("stuck"), caller());
    const waiting = cluster.node("b").elections.campaign("e", ask("next", { waitMs: 20_000 }), caller());
    await until("it waits", async () => (await stateOf(cluster, "c", "e")).waiterCount === 1);
    await cluster.node("c").elections.force("e", "stuck", caller({ subject: "admin" }));
    assertEquals((await waiting).body.candidate, "next");
    const error = await assertRejects(
      () => cluster.node("a").elections.proclaim("e", won.term, {}, caller()),
      QuorateError,
    );
    assertEquals(error.code, "lost");
    assertEquals(
      (await cluster.node("b").elections.history("e", { timeoutMs: 30_000 })).body.items[0]?.reason,
      "stuck",
    );
  }));

Deno.test("elections: the node of the first in line dies: the next leads, and the dead one never did", () =>
  withCluster(5, async (cluster) => {
    const slow = () => caller({ timeoutMs: 60_000 });
    const { body: first } = await cluster.node("a").elections.campaign("e", ask("first", { ttlMs: 600_000 }), slow());
    cluster.node("b").elections.campaign("e", ask("dead", { waitMs: 200_000 }), slow()).catch(() => {});
    await until("it waits", async () => (await stateOf(cluster, "d", "e")).waiterCount === 1);
    const next = cluster.node("c").elections.campaign("e", ask("next", { waitMs: 200_000 }), slow());
    await until("both wait", async () => (await stateOf(cluster, "d", "e")).waiterCount === 2);
    cluster.kill("b");
    await cluster.node("a").elections.resign("e", first.term, slow());
    const { body } = await next;
    assertEquals(body.candidate, "next");
    const { body: history } = await cluster.node("d").elections.history("e", { timeoutMs: 60_000 });
    assert(
      history.items.every(({ candidate, end }) => candidate !== "dead" || end === "lapsed"),
      JSON.stringify(history),
    );
  }, 20));
