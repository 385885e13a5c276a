import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { seededRandomness, VirtualClock } from "../sim/virtual_time.ts";
import { SEED } from "../replica/clocks.ts";
import { caller, memoryCluster, request } from "../replica/memory_cluster.ts";

const SHAPES = [1, 3, 4, 5] as const;

for (const n of SHAPES) {
  Deno.test(`locks, n=${n}: taken, refused to a second, released, taken again with a larger fence`, async () => {
    const cluster = await memoryCluster(n);
    try {
      const first = cluster.node("a").locks;
      const last = cluster.node(cluster.ids.at(-1)!).locks;
      const { body: grant } = await first.acquire("deploy", request("me"), caller());
      assertEquals(grant.holder, "me");
      const refused = await assertRejects(() => last.acquire("deploy", request("you"), caller()), QuorateError);
      assertEquals(refused.code, "held");
      assertEquals((refused.facts.more as { holders: { holder: string }[] }).holders[0]!.holder, "me");
      const { body: released } = await last.release("deploy", grant.fence, caller());
      assertEquals(released.outcome, "released");
      const { body: next } = await last.acquire("deploy", request("you"), caller());
      assertGreater(BigInt(next.fence), BigInt(grant.fence));
      const { body: state } = await first.get("deploy", { stale: false, timeoutMs: 30_000 });
      assertEquals(state.holders.map(({ holder }) => holder), ["you"]);
    } finally {
      cluster.close();
    }
  });
}

Deno.test("locks: a calm write at n=5 is decided fast, without a coordinator", async () => {
  const cluster = await memoryCluster(5);
  try {
    const { receipt } = await cluster.node("c").locks.acquire("calm", request("me"), caller());
    assert(receipt.path === "fast" || receipt.path === "open-fast", receipt.path);
    assertEquals(receipt.instance, 1);
  } finally {
    cluster.close();
  }
});

Deno.test("locks: the same Idempotency-Key through another node is the same grant", async () => {
  const cluster = await memoryCluster(5);
  try {
    const same = caller();
    const one = await cluster.node("a").locks.acquire("once", request("me"), same);
    const two = await cluster.node("d").locks.acquire("once", request("me"), same);
    assertEquals(two.body.fence, one.body.fence);
    const other = await assertRejects(
      () => cluster.node("d").locks.acquire("once", request("somebody else"), same),
      QuorateError,
    );
    assertEquals(other.code, "idempotency-mismatch");
  } finally {
    cluster.close();
  }
});

Deno.test("locks: asked again through a node that missed the grant, it is that grant, not `held` by oneself", async () => {
  const cluster = await memoryCluster(3);
  try {
    const { body: old } = await cluster.node("a").locks.acquire("missed", request("old"), caller());
    await until(async () =>
      (await cluster.node("c").locks.get("missed", { stale: true, timeoutMs: 2_000 })).body.lastFence === old.fence
    );
    // From here on c hears of nothing: to it the old holder is still there.
    for (const other of ["a", "b"]) cluster.network.cut("c", other);
    await cluster.node("a").locks.release("missed", old.fence, caller());
    const same = caller();
    const { body: granted } = await cluster.node("a").locks.acquire("missed", request("me"), same);
    for (const other of ["a", "b"]) cluster.network.heal("c", other);
    const { body: again } = await cluster.node("c").locks.acquire("missed", request("me"), same);
    assertEquals(again.fence, granted.fence);
  } finally {
    cluster.close();
  }
});

for (const mode of ["fast", "uncoordinated", "classic", "multi", "prepare"] as const) {
  Deno.test(`locks, ${mode}: round trips of 600 ms, all nodes up: those who collide are answered, not livelocked`, async () => {
    const clock = new VirtualClock();
    const play = async () => {
      const cluster = await memoryCluster(5, {
        clock,
        random: seededRandomness(SEED),
        modes: [{ prefix: "lock/", mode }],
      });
      cluster.network.delay(() => 300);
      // What starting nodes ask each other is what round trips are measured by at first.
      await clock.sleep(3_000);
      const answers = await Promise.all(
        ["a", "b", "c", "d"].map((id) =>
          cluster.node(id).locks.acquire("slow", request(id), { ...caller(), timeoutMs: 30_000 })
            .then(() => "granted", (error: QuorateError) => error.code)
        ),
      );
      assertEquals(answers.sort(), ["granted", "held", "held", "held"]);
      cluster.close();
    };
    await clock.run(play(), 60_000);
  });
}

Deno.test("locks: a waiter on another node gets it in turn, confirmed, and first come is first served", async () => {
  const cluster = await memoryCluster(5);
  try {
    const { body: held } = await cluster.node("a").locks.acquire("turn", request("one"), caller());
    const order: string[] = [];
    const waiting = [];
    for (const [i, node] of ["b", "c", "b"].entries()) {
      const locks = cluster.node(node).locks;
      waiting.push(
        locks.acquire("turn", request(`w${i}`, { waitMs: 20_000 }), caller()).then(async ({ body }) => {
          order.push(body.holder);
          await locks.release("turn", body.fence, caller());
          return body;
        }),
      );
      await until(async () =>
        (await cluster.node("e").locks.get("turn", { stale: false, timeoutMs: 30_000 })).body.waiterCount === i + 1
      );
    }
    await cluster.node("a").locks.release("turn", held.fence, caller());
    const grants = await Promise.all(waiting);
    assertEquals(order, ["w0", "w1", "w2"]);
    assert(grants.every((grant, i) => i === 0 || BigInt(grant.fence) > BigInt(grants[i - 1]!.fence)));
  } finally {
    cluster.close();
  }
});

Deno.test("locks: a lease that ran out is taken over, by a poller and by a waiter, and its holder is told", async () => {
  const cluster = await memoryCluster(5);
  try {
    const short = request("gone", { ttlMs: 1_000 });
    const { body: old } = await cluster.node("a").locks.acquire("lapse", short, caller());
    const { body: next } = await cluster.node("b").locks.acquire(
      "lapse",
      request("waiter", { waitMs: 10_000, ttlMs: 1_000 }),
      caller(),
    );
    assertGreater(BigInt(next.fence), BigInt(old.fence));
    const lost = await assertRejects(
      () => cluster.node("a").locks.renew("lapse", old.fence, {}, caller()),
      QuorateError,
    );
    assertEquals(lost.code, "lost");
    const taken = await cluster.node("a").locks.release("lapse", old.fence, caller());
    assertEquals(taken.body.outcome, "taken-over");
    await until(() =>
      cluster.node("c").locks.acquire("lapse", request("poller"), caller()).then(
        ({ body }) => BigInt(body.fence) > BigInt(next.fence),
        () => false,
      )
    );
  } finally {
    cluster.close();
  }
});

Deno.test("locks: with a minority down all goes on; with a majority down writes say so and no grant is wrong", async () => {
  const cluster = await memoryCluster(5);
  try {
    const { body: held } = await cluster.node("a").locks.acquire("down", request("me"), caller());
    cluster.kill("d");
    cluster.kill("e");
    await cluster.node("b").locks.renew("down", held.fence, {}, caller());
    const { body: more } = await cluster.node("c").locks.acquire("more", request("me"), caller());
    cluster.kill("c");
    const refused = await assertRejects(
      () => cluster.node("a").locks.acquire("none", request("me"), caller({ timeoutMs: 500 })),
      QuorateError,
    );
    assert(refused.code === "outcome-unknown" || refused.code === "no-quorum", refused.code);
    await cluster.restart("e");
    const { body: state } = await cluster.node("b").locks.get("more", { stale: false, timeoutMs: 30_000 });
    assertEquals(state.holders[0]!.fence, more.fence);
    await cluster.node("a").locks.release("down", held.fence, caller());
  } finally {
    cluster.close();
  }
});

/** Bounded in time; says nothing of how long it took. */
async function until(test: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (await test()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("did not come true");
}

Deno.test("locks: who waits through two nodes under one key is guaranteed by each no more than its own renewal gives", async () => {
  const clock = new VirtualClock();
  const cluster = await memoryCluster(3, { clock });
  const ttlMs = 8_000;
  const work = async () => {
    const { body: held } = await cluster.node("a").locks.acquire("x", request("one"), caller());
    const twice = { ...caller(), timeoutMs: 3_000 };
    const waiting = request("two", { ttlMs, waitMs: 60_000 });
    const askedMs = clock.now();
    const first = cluster.node("b").locks.acquire("x", waiting, twice);
    await clock.sleep(100);
    const second = cluster.node("c").locks.acquire("x", waiting, twice);
    await clock.sleep(100);
    // The second node does not hear of the grant until long after the first has confirmed it.
    for (const peer of ["a", "b"]) cluster.network.cut("c", peer);
    await cluster.node("a").locks.release("x", held.fence, caller());
    const { body: early } = await first;
    await clock.sleep(ttlMs / 2);
    for (const peer of ["a", "b"]) cluster.network.heal("c", peer);
    const { body: late } = await second;
    assertEquals(late.fence, early.fence);
    const untilMs = askedMs + 100 + late.waitedMs + late.guaranteedForMs;
    assertGreater(untilMs, askedMs + early.waitedMs + early.guaranteedForMs);
    await clock.sleep(untilMs - 1 - clock.now());
    const thief = cluster.node("a").locks.acquire("x", request("thief"), caller());
    assertEquals((await assertRejects(() => thief, QuorateError)).code, "held");
  };
  try {
    await clock.run(work(), 60_000);
  } finally {
    cluster.close();
  }
});

Deno.test("locks: whose place was decided is not told that no vote was cast for it, though its last step got none", async () => {
  const clock = new VirtualClock();
  const cluster = await memoryCluster(3, { clock });
  const work = async () => {
    const { locks } = cluster.node("a");
    await cluster.node("b").locks.acquire("x", request("holder"), caller());
    const mine = caller({ timeoutMs: 200 });
    const waiting = assertRejects(() => locks.acquire("x", request("me", { waitMs: 1_000 }), mine), QuorateError);
    await clock.sleep(500);
    for (const peer of ["b", "c"]) cluster.network.cut("a", peer);
    // It has this node's vote, and nothing else of the name gets one meanwhile: not what ends the wait, either.
    const other = locks.acquire("x", request("other", { waitMs: 1 }), caller());
    other.catch(() => {});
    const { code, facts } = await waiting;
    assertEquals([code, facts.outcome, facts.idempotencyKey], ["outcome-unknown", "unknown", mine.idempotencyKey]);
    for (const peer of ["b", "c"]) cluster.network.heal("a", peer);
    const { body: state } = await cluster.node("c").locks.get("x", { stale: false, timeoutMs: 30_000 });
    assert(state.waiters.some(({ holder }) => holder === "me"), JSON.stringify(state));
  };
  try {
    await clock.run(work(), 60_000);
  } finally {
    cluster.close();
  }
});

Deno.test("locks: what a repetition was refused, an earlier try of it that comes late is not granted", async () => {
  const cluster = await memoryCluster(3);
  try {
    const { body: held, receipt } = await cluster.node("a").locks.acquire("x", request("other"), caller());
    const first = { ...caller(), born: receipt.instance + 1 };
    const refused = await assertRejects(() => cluster.node("b").locks.acquire("x", request("me"), first), QuorateError);
    assertEquals(refused.code, "held");
    await cluster.node("a").locks.release("x", held.fence, caller());
    const late = await assertRejects(() => cluster.node("c").locks.acquire("x", request("me"), first), QuorateError);
    assertEquals(late.code, "held");
    const { born: _first, ...anew } = first;
    await cluster.node("c").locks.acquire("x", request("me"), anew);
  } finally {
    cluster.close();
  }
});

Deno.test("locks: who brought no key and polls what is held makes no instance", async () => {
  const cluster = await memoryCluster(3);
  try {
    await cluster.node("a").locks.acquire("x", request("other"), caller());
    const poll = (node: string) =>
      assertRejects(
        () => cluster.node(node).locks.acquire("x", request("me"), caller({ anonymous: true })),
        QuorateError,
      );
    // A node that has not heard of the grant proposes, and is refused by a decision.
    await poll("b");
    const before = await cluster.node("b").locks.get("x", { stale: false, timeoutMs: 30_000 });
    for (let i = 0; i < 3; i++) assertEquals((await poll("b")).code, "held");
    const after = await cluster.node("b").locks.get("x", { stale: false, timeoutMs: 30_000 });
    assertEquals(after.receipt.instance, before.receipt.instance);
  } finally {
    cluster.close();
  }
});
