/** Leases end only when a quorum agrees, each by its own clock (PROTOCOL.md §7). */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { DRIFT } from "../../src/limits.ts";
import { drifting, fastClock, until } from "./clocks.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "./memory_cluster.ts";

const TIMES = 10;

/** n=3 where the clocks of the named nodes run at another rate. */
function skewed(n: number, rates: Readonly<Record<string, number>>): Promise<MemoryCluster> {
  const clock = fastClock(TIMES);
  return memoryCluster(n, { clock, clockOf: (id) => rates[id] === undefined ? null : drifting(clock, rates[id]!) });
}

function tryOnce(cluster: MemoryCluster, id: string, name: string, holder = "thief"): Promise<string> {
  return cluster.node(id).locks.acquire(name, request(holder), caller()).then(
    ({ body }) => body.fence,
    (error) => error instanceof QuorateError ? error.code : `${error}`,
  );
}

async function passes(ms: number): Promise<void> {
  const clock = fastClock(TIMES);
  const untilMs = clock.now() + ms;
  await until(`${ms} ms are over`, () => clock.now() > untilMs);
}

Deno.test("lapse: one fast clock ends nothing: its claim is refused by the others, and the holder renews as before", async () => {
  const cluster = await skewed(3, { a: 100 });
  try {
    const { body: held } = await cluster.node("b").locks.acquire("x", request("me", { ttlMs: 20_000 }), caller());
    await until(
      "a has it",
      async () =>
        (await cluster.node("a").locks.get("x", { stale: true, timeoutMs: 500 })).body.lastFence === held.fence,
    );
    for (let i = 0; i < 10; i++) {
      assertEquals(await tryOnce(cluster, "a", "x"), "held");
      await passes(300);
    }
    // By a's clock that was ten times its ttl.
    const { body } = await cluster.node("c").locks.renew("x", held.fence, {}, caller());
    assertEquals(body.fence, held.fence);
  } finally {
    cluster.close();
  }
});

Deno.test("lapse: a waiter on the node with the fast clock waits for the others' clocks too", async () => {
  const cluster = await skewed(3, { a: 10 });
  try {
    const clock = fastClock(TIMES);
    const askedMs = clock.now();
    const { body: held } = await cluster.node("b").locks.acquire("x", request("me", { ttlMs: 4_000 }), caller());
    const { body } = await cluster.node("a").locks.acquire(
      "x",
      // In a's own time, which is gone in no time.
      request("waiter", { waitMs: 6_000_000, ttlMs: 3_600_000 }),
      caller({ timeoutMs: 6_000_000 }),
    );
    assert(BigInt(body.fence) > BigInt(held.fence));
    assert(clock.now() - askedMs >= 4_000 * (1 - DRIFT), `${clock.now() - askedMs}`);
  } finally {
    cluster.close();
  }
});

Deno.test("lapse: one slow clock keeps nothing for ever: the others are a quorum", async () => {
  const cluster = await skewed(3, { c: 0.001 });
  try {
    const { body: held } = await cluster.node("a").locks.acquire("x", request("me", { ttlMs: 1_000 }), caller());
    await passes(1_200);
    let fence = "held";
    for (let i = 0; i < 40 && fence === "held"; i++) {
      fence = await tryOnce(cluster, "b", "x");
      await passes(100);
    }
    assert(fence !== "held" && BigInt(fence) > BigInt(held.fence), fence);
    await assertRejects(() => cluster.node("a").locks.renew("x", held.fence, {}, caller()), QuorateError);
  } finally {
    cluster.close();
  }
});

Deno.test("lapse: two of three clocks stand still: the lease does not end, however fast the third", async () => {
  const cluster = await skewed(3, { b: 0.0001, c: 0.0001 });
  try {
    const { body: held } = await cluster.node("a").locks.acquire("x", request("me", { ttlMs: 1_000 }), caller());
    await passes(5_000);
    assertEquals(await tryOnce(cluster, "a", "x"), "held");
    await cluster.node("a").locks.renew("x", held.fence, {}, caller());
  } finally {
    cluster.close();
  }
});

Deno.test("lapse: renewed just before the claim: the renewal wins, and the claim is told held", async () => {
  const cluster = await memoryCluster(5, { clock: fastClock(TIMES) });
  try {
    for (let round = 0; round < 8; round++) {
      const name = `just-${round}`;
      const { body: held } = await cluster.node("a").locks.acquire(name, request("me", { ttlMs: 1_000 }), caller());
      await passes(1_000 * (1 + DRIFT) + 20);
      // Ripe everywhere now; both are on their way at once.
      const [renewed, claimed] = await Promise.all([
        cluster.node("a").locks.renew(name, held.fence, { ttlMs: 60_000 }, caller()).then(
          () => "renewed",
          (e) => e.code,
        ),
        tryOnce(cluster, "b", name),
      ]);
      const { body } = await cluster.node("d").locks.get(name, { stale: false, timeoutMs: 30_000 });
      if (renewed === "renewed") {
        assertEquals([claimed, body.holders[0]?.fence], ["held", held.fence], "one of the two, never both");
      } else {
        assertEquals(renewed, "lost");
        assert(claimed !== "held", "one of the two, never neither");
        assertEquals(body.holders[0]?.fence, claimed);
      }
    }
  } finally {
    cluster.close();
  }
});

Deno.test("lapse: renewed before it ran out, a lease counts anew on every acceptor", async () => {
  const cluster = await memoryCluster(3, { clock: fastClock(TIMES) });
  try {
    const { body: held } = await cluster.node("a").locks.acquire("x", request("me", { ttlMs: 1_500 }), caller());
    for (let i = 0; i < 6; i++) {
      await passes(700);
      await cluster.node("abc"[i % 3]!).locks.renew("x", held.fence, {}, caller());
      assertEquals(await tryOnce(cluster, "bca"[i % 3]!, "x"), "held");
    }
  } finally {
    cluster.close();
  }
});

Deno.test("lapse: a restarted acceptor starts every lease anew: it may last longer, never shorter", async () => {
  const cluster = await memoryCluster(3, { clock: fastClock(TIMES) });
  try {
    const { body: held } = await cluster.node("a").locks.acquire("x", request("me", { ttlMs: 2_000 }), caller());
    await passes(1_500);
    for (const id of ["b", "c"]) {
      cluster.kill(id);
      await cluster.restart(id);
    }
    await passes(800);
    // 2,300 ms by a's clock alone: no quorum has seen it that long.
    assertEquals(await tryOnce(cluster, "a", "x"), "held");
    await cluster.node("b").locks.renew("x", held.fence, {}, caller());
  } finally {
    cluster.close();
  }
});

Deno.test("lapse: ended by claim, it is in the history as lapsed and its holder is told lost", async () => {
  const cluster = await memoryCluster(3, { clock: fastClock(TIMES) });
  try {
    const { body: held } = await cluster.node("a").locks.acquire("x", request("me", { ttlMs: 1_000 }), caller());
    const { body: next } = await cluster.node("b").locks.acquire("x", request("w", { waitMs: 60_000 }), caller());
    const { body: history } = await cluster.node("c").locks.history("x", { timeoutMs: 30_000 });
    assertEquals(history.items.map(({ fence, end }) => [fence, end]), [[held.fence, "lapsed"]]);
    const lost = await assertRejects(() => cluster.node("a").locks.renew("x", held.fence, {}, caller()), QuorateError);
    assertEquals(lost.code, "lost");
    assert(BigInt(next.fence) > BigInt(held.fence));
  } finally {
    cluster.close();
  }
});
