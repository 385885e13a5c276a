/** Semaphores on whole nodes: never more permits than there are, first come first served, through any node. */
import { assert, assertEquals, assertGreater, assertLessOrEqual, assertRejects } from "@std/assert";
import type { SemaphoreHeld, SemaphoreState } from "../../src/api.ts";
import { QuorateError } from "../../src/errors.ts";
import { LIST_DEFAULT_ITEMS, WAITERS_PER_KEY } from "../../src/limits.ts";
import { fastClock, SEED, seeded, until } from "../replica/clocks.ts";
import { caller, type MemoryCluster, memoryCluster } from "../replica/memory_cluster.ts";

const ask = (holder: string, more: Record<string, unknown> = {}) => ({
  limit: 3,
  permits: 1,
  holder,
  ttlMs: 30_000,
  waitMs: 0,
  lockDelayMs: 0,
  ...more,
});

async function stateOf(cluster: MemoryCluster, id: string, name: string): Promise<SemaphoreState> {
  return (await cluster.node(id).semaphores.get(name, { stale: false, timeoutMs: 30_000 })).body;
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
  Deno.test(`semaphores, n=${n}: permits are taken through any node until none is left, and given back`, () =>
    withCluster(n, async (cluster) => {
      const first = cluster.node("a").semaphores;
      const last = cluster.node(cluster.ids.at(-1)!).semaphores;
      const never = await stateOf(cluster, "a", "s");
      assertEquals([never.state, never.limit, never.available], ["free", null, null]);
      const { body: two } = await first.take("s", ask("two", { permits: 2, metadata: "m" }), caller());
      assertEquals([two.permits, two.limit, two.metadata], [2, 3, "m"]);
      const { body: one } = await last.take("s", ask("one"), caller());
      assertGreater(BigInt(one.fence), BigInt(two.fence));
      const refused = await assertRejects(() => first.take("s", ask("more"), caller()), QuorateError);
      const held = refused.facts.more as SemaphoreHeld;
      assertEquals([refused.code, held.limit, held.available, held.holders.map(({ permits }) => permits)], [
        "held",
        3,
        0,
        [2, 1],
      ]);
      const { body: renewed } = await last.renew("s", two.fence, { ttlMs: 60_000 }, caller());
      assertEquals([renewed.ttlMs, renewed.permits], [60_000, 2]);
      const { body: released } = await last.release("s", two.fence, caller());
      assertEquals(released.outcome, "released");
      assertEquals((await stateOf(cluster, "a", "s")).available, 2);
      const { body: again } = await first.release("s", two.fence, caller());
      assertEquals(again.outcome, "already-released");
    }));
}

Deno.test("semaphores: another limit is refused while it is in use, without a write", () =>
  withCluster(3, async (cluster) => {
    const { body: held } = await cluster.node("a").semaphores.take("s", ask("one"), caller());
    for (const waitMs of [0, 5_000]) {
      const error = await assertRejects(
        () => cluster.node("b").semaphores.take("s", ask("two", { limit: 4, waitMs }), caller()),
        QuorateError,
      );
      assertEquals([error.code, (error.facts.more as SemaphoreHeld).limit], ["limit-mismatch", 3]);
    }
    await cluster.node("c").semaphores.release("s", held.fence, caller());
    const { body } = await cluster.node("b").semaphores.take("s", ask("two", { limit: 4, permits: 4 }), caller());
    assertEquals([body.limit, body.permits], [4, 4]);
  }));

Deno.test("semaphores: who waits for all of them is not passed by who asks for one", () =>
  withCluster(5, async (cluster) => {
    const { body: held } = await cluster.node("a").semaphores.take("s", ask("one"), caller());
    const order: string[] = [];
    const wait = (id: string, holder: string, permits: number) =>
      cluster.node(id).semaphores.take("s", ask(holder, { permits, waitMs: 20_000 }), caller()).then(({ body }) => {
        order.push(holder);
        return body;
      });
    const big = wait("b", "big", 3);
    await until("big waits", async () => (await stateOf(cluster, "e", "s")).waiterCount === 1);
    const passed = await assertRejects(
      () => cluster.node("c").semaphores.take("s", ask("fast"), caller()),
      QuorateError,
    );
    assertEquals(passed.code, "held");
    const small = wait("d", "small", 1);
    await until("small waits", async () => (await stateOf(cluster, "e", "s")).waiterCount === 2);
    await cluster.node("a").semaphores.release("s", held.fence, caller());
    const { fence } = await big;
    assertEquals((await stateOf(cluster, "e", "s")).waiters, [{ holder: "small", position: 1, permits: 1 }]);
    await cluster.node("b").semaphores.release("s", fence, caller());
    await small;
    assertEquals(order, ["big", "small"]);
  }));

Deno.test("semaphores: one lease of several that ran out is enough for who fits then", () =>
  withCluster(3, async (cluster) => {
    const { semaphores } = cluster.node("a");
    await semaphores.take("s", ask("stays", { permits: 2, ttlMs: 600_000 }), caller());
    const { body: gone } = await semaphores.take("s", ask("gone", { ttlMs: 1_000 }), caller());
    const tries = caller({ timeoutMs: 60_000 });
    const again = () =>
      cluster.node("b").semaphores.take("s", ask("next"), { ...tries, idempotencyKey: crypto.randomUUID() });
    await until("it is taken", () => again().then(() => true, () => false));
    const { holders } = await stateOf(cluster, "c", "s");
    assertEquals(holders.map(({ holder }) => holder), ["stays", "next"]);
    const { body } = await semaphores.release("s", gone.fence, caller({ timeoutMs: 60_000 }));
    assertEquals(body.outcome, "taken-over");
  }, 10));

Deno.test("semaphores: clients at every node at once never hold more than there are, and all get their turn", () =>
  withCluster(5, async (cluster) => {
    const random = seeded(SEED);
    let held = 0;
    let most = 0;
    let done = 0;
    const client = async (i: number): Promise<void> => {
      for (let round = 0; round < 4; round++) {
        const { semaphores } = cluster.node(cluster.ids[Math.floor(random() * 5)]!);
        const permits = 1 + Math.floor(random() * 3);
        const request = ask(`c${i}-${round}`, { permits, waitMs: 60_000, ttlMs: 600_000 });
        const { body } = await semaphores.take("s", request, caller({ timeoutMs: 60_000 }));
        held += body.permits;
        most = Math.max(most, held);
        await Promise.resolve();
        held -= body.permits;
        await semaphores.release("s", body.fence, caller({ timeoutMs: 60_000 }));
        done++;
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, i) => client(i)));
    assertEquals(done, 32);
    assertLessOrEqual(most, 3);
    const { holders, waiterCount, available } = await stateOf(cluster, "a", "s");
    assertEquals([holders, waiterCount, available], [[], 0, 3]);
    assert(most > 0);
  }));

Deno.test("semaphores: the queue is full: who comes then is told, and when to come again", () =>
  withCluster(3, async (cluster) => {
    const slow = () => caller({ timeoutMs: 60_000 });
    await cluster.node("a").semaphores.take("s", ask("holder", { permits: 3, ttlMs: 600_000 }), slow());
    const gone = new AbortController();
    const waiting = Array.from({ length: WAITERS_PER_KEY }, (_, i) =>
      cluster.node(cluster.ids[i % 3]!).semaphores.take(
        "s",
        ask(`w${i}`, { waitMs: 300_000 }),
        { ...slow(), signal: gone.signal },
      ));
    const ends = Promise.allSettled(waiting);
    await until("all wait", async () => (await stateOf(cluster, "b", "s")).waiterCount === WAITERS_PER_KEY);
    const refused = await assertRejects(
      () => cluster.node("c").semaphores.take("s", ask("late", { waitMs: 60_000 }), slow()),
      QuorateError,
    );
    assertEquals([refused.code, refused.facts.retryAfterMs], ["queue-full", 5_000]);
    const state = await stateOf(cluster, "a", "s");
    assertEquals([state.waiterCount, state.waiters.length], [WAITERS_PER_KEY, LIST_DEFAULT_ITEMS]);
    gone.abort();
    assertEquals((await ends).filter(({ status }) => status === "fulfilled").length, 0);
  }));
