/** Waiting in line (PROTOCOL.md §7): nodes that die, clients that go away or come back elsewhere. Faster than life. */
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import type { Answer, Grant } from "../../src/api.ts";
import { QuorateError } from "../../src/errors.ts";
import { CLAIMS_PER_VALUE } from "../../src/limits.ts";
import { fastClock, until } from "../replica/clocks.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "../replica/memory_cluster.ts";
import { planOf } from "../sim/plan.ts";
import { play } from "../sim/simulator.ts";

const TIMES = 20;
/** Where places must not be lost, which live 10 s: also while a busy machine does not let this process run for a moment. */
const SLOWER_TIMES = 5;

async function withCluster(n: number, run: (cluster: MemoryCluster) => Promise<void>, times = TIMES): Promise<void> {
  const cluster = await memoryCluster(n, { clock: fastClock(times) });
  try {
    await run(cluster);
  } finally {
    cluster.close();
  }
}

async function stateOf(cluster: MemoryCluster, id: string, name: string) {
  return (await cluster.node(id).locks.get(name, { stale: false, timeoutMs: 30_000 })).body;
}

async function waiters(cluster: MemoryCluster, id: string, name: string): Promise<readonly string[]> {
  return (await stateOf(cluster, id, name)).waiters.map(({ holder }) => holder);
}

/** Asks to wait, and resolves once the place is decided; the grant comes later, or what it came to. */
async function queued(
  cluster: MemoryCluster,
  id: string,
  name: string,
  holder: string,
  more: Record<string, unknown> = {},
  who = caller(),
): Promise<{ readonly ending: Promise<Answer<Grant> | string> }> {
  const ending = cluster.node(id).locks.acquire(name, request(holder, { waitMs: 200_000, ...more }), who)
    .catch((error) => error instanceof QuorateError ? error.code : `${error.name}`);
  const reader = cluster.ids.find((other) => other !== id)!;
  await until(`${holder} has a place`, async () => (await waiters(cluster, reader, name)).includes(holder));
  return { ending };
}

function granted(ending: Answer<Grant> | string): Grant {
  assert(typeof ending !== "string", `${ending}`);
  return ending.body;
}

Deno.test("queue: the node of the first in line dies: its place lapses and the next gets the lock when it is free", () =>
  withCluster(5, async (cluster) => {
    const { body: held } = await cluster.node("a").locks.acquire("q", request("holder", { ttlMs: 600_000 }), caller());
    const dead = await queued(cluster, "b", "q", "dead");
    const next = await queued(cluster, "c", "q", "next");
    cluster.kill("b");
    await until("its place lapsed", async () => (await waiters(cluster, "d", "q")).join() === "next");
    assertEquals(
      (await stateOf(cluster, "d", "q")).holders.map(({ fence }) => fence),
      [held.fence],
      "the holder stays",
    );
    await cluster.node("a").locks.release("q", held.fence, caller());
    const grant = granted(await next.ending);
    assertEquals(grant.holder, "next");
    assertGreater(BigInt(grant.fence), BigInt(held.fence));
    void dead;
  }));

Deno.test("queue: the node of the first in line dies as the lock is handed to it: the hand-over lapses, not its whole ttl", () =>
  withCluster(5, async (cluster) => {
    const { body: held } = await cluster.node("a").locks.acquire("q", request("holder", { ttlMs: 600_000 }), caller());
    await queued(cluster, "b", "q", "dead", { ttlMs: 3_600_000 });
    const next = await queued(cluster, "c", "q", "next");
    cluster.kill("b");
    await cluster.node("a").locks.release("q", held.fence, caller());
    const between = await stateOf(cluster, "d", "q");
    assertEquals(between.holders.map(({ holder }) => holder), ["dead"], "handed over in the release's own decision");
    const grant = granted(await next.ending);
    assertEquals(grant.holder, "next");
    assertGreater(BigInt(grant.fence), BigInt(between.lastFence));
  }));

Deno.test("queue: every waiter's node and the holder's die but one: the one left gets the lock", () =>
  withCluster(5, async (cluster) => {
    await cluster.node("a").locks.acquire("q", request("holder", { ttlMs: 2_000 }), caller());
    await queued(cluster, "a", "q", "dead 1");
    await queued(cluster, "b", "q", "dead 2");
    const last = await queued(cluster, "c", "q", "last");
    cluster.kill("a");
    cluster.kill("b");
    assertEquals(granted(await last.ending).holder, "last");
    assertEquals((await stateOf(cluster, "d", "q")).waiterCount, 0);
  }));

Deno.test("queue: places whose node lives are kept for as long as they wait, and hold up in order", () =>
  withCluster(3, async (cluster) => {
    const { body: held } = await cluster.node("a").locks.acquire("q", request("holder", { ttlMs: 600_000 }), caller());
    const line = [];
    for (const [i, id] of ["b", "c", "b"].entries()) line.push(await queued(cluster, id, "q", `w${i}`));
    // More than a life of a place.
    const clock = fastClock(SLOWER_TIMES);
    const untilMs = clock.now() + 12_000;
    await until("12 s are over", () => clock.now() > untilMs);
    assertEquals(await waiters(cluster, "a", "q"), ["w0", "w1", "w2"]);
    await cluster.node("a").locks.release("q", held.fence, caller());
    let fence = BigInt(held.fence);
    for (const [i, { ending }] of line.entries()) {
      const grant = granted(await ending);
      assertEquals(grant.holder, `w${i}`);
      assertGreater(BigInt(grant.fence), fence);
      fence = BigInt(grant.fence);
      await cluster.node("a").locks.release("q", grant.fence, caller());
    }
  }));

Deno.test("queue: waitMs is over: 409 held, and the queue is empty at once", () =>
  withCluster(3, async (cluster) => {
    await cluster.node("a").locks.acquire("q", request("holder", { ttlMs: 600_000 }), caller());
    const error = await assertRejects(
      () => cluster.node("b").locks.acquire("q", request("w", { waitMs: 2_000 }), caller()),
      QuorateError,
    );
    assertEquals(error.code, "held");
    assertEquals((error.facts.more as { holders: { holder: string }[] }).holders.map(({ holder }) => holder), [
      "holder",
    ]);
    assertEquals((await stateOf(cluster, "c", "q")).waiterCount, 0);
  }));

Deno.test("queue: a client that goes away keeps its place for a while, then the place lapses and the next is served", () =>
  withCluster(3, async (cluster) => {
    const { body: held } = await cluster.node("a").locks.acquire("q", request("holder", { ttlMs: 600_000 }), caller());
    const gone = new AbortController();
    const first = await queued(cluster, "b", "q", "gone", {}, caller({ timeoutMs: 20_000, signal: gone.signal }));
    const next = await queued(cluster, "b", "q", "next");
    gone.abort();
    assertEquals(await first.ending, "AbortError");
    assertEquals(await waiters(cluster, "c", "q"), ["gone", "next"], "it may come back");
    await until("the place lapsed", async () => (await waiters(cluster, "c", "q")).join() === "next");
    await cluster.node("a").locks.release("q", held.fence, caller());
    assertEquals(granted(await next.ending).holder, "next");
  }));

Deno.test("queue: with the same key a waiter goes on with its place through another node, though its first node died", () =>
  withCluster(5, async (cluster) => {
    const { body: held } = await cluster.node("a").locks.acquire("q", request("holder", { ttlMs: 600_000 }), caller());
    const same = caller();
    await queued(cluster, "b", "q", "roaming", {}, same);
    const second = await queued(cluster, "d", "q", "second");
    cluster.kill("b");
    const resumed = cluster.node("c").locks.acquire("q", request("roaming", { waitMs: 200_000 }), same);
    const clock = fastClock(TIMES);
    const untilMs = clock.now() + 15_000;
    await until("15 s are over, in which an orphaned place would lapse", () => clock.now() > untilMs);
    assertEquals(await waiters(cluster, "e", "q"), ["roaming", "second"], "the same place, still first");
    await cluster.node("a").locks.release("q", held.fence, caller());
    const { body: grant } = await resumed;
    assertEquals(grant.holder, "roaming");
    // And asked once more, it is the same grant.
    const again = await cluster.node("e").locks.acquire("q", request("roaming", { waitMs: 200_000 }), same);
    assertEquals(again.body.fence, grant.fence);
    await cluster.node("e").locks.release("q", grant.fence, caller());
    assertEquals(granted(await second.ending).holder, "second");
  }));

Deno.test("queue: a try that is told held leaves no place of the same request, in whichever attempt another try took it", () =>
  withCluster(3, async (cluster) => {
    const { body: held } = await cluster.node("a").locks.acquire("q", request("holder", { ttlMs: 600_000 }), caller());
    const who = caller();
    // Over before its place is decided.
    const short = (id: string) =>
      assertRejects(() => cluster.node(id).locks.acquire("q", request("w", { waitMs: 1 }), who), QuorateError);
    assertEquals((await short("b")).code, "held");
    for (const id of ["a", "c"]) {
      await until(`${id} knows that its place is gone`, async () => {
        const { body } = await cluster.node(id).locks.get("q", { stale: true, timeoutMs: 5_000 });
        return body.waiters.length === 0 && body.lastFence === held.fence && BigInt(body.revision) > 2n;
      });
    }
    const again = await queued(cluster, "a", "q", "w", {}, who);
    assertEquals((await short("c")).code, "held");
    assertEquals(await waiters(cluster, "b", "q"), []);
    await cluster.node("a").locks.release("q", held.fence, caller());
    assertEquals(await again.ending, "held");
    assertEquals((await stateOf(cluster, "b", "q")).holders, []);
  }));

Deno.test("queue: two nodes wait under one key at once: both are answered with the one grant", () =>
  withCluster(3, async (cluster) => {
    const { body: held } = await cluster.node("a").locks.acquire("q", request("holder", { ttlMs: 600_000 }), caller());
    const same = caller();
    const one = await queued(cluster, "b", "q", "twice", {}, same);
    const two = cluster.node("c").locks.acquire("q", request("twice", { waitMs: 200_000 }), same);
    await until("still one place", async () => (await waiters(cluster, "a", "q")).length === 1);
    await cluster.node("a").locks.release("q", held.fence, caller());
    assertEquals(granted(await one.ending).fence, (await two).body.fence);
    assertEquals((await stateOf(cluster, "a", "q")).waiterCount, 0);
  }));

Deno.test("queue: a grant out of the queue counts from when it was asked for: its guarantee says how long it waited", () =>
  withCluster(3, async (cluster) => {
    const { body: held } = await cluster.node("a").locks.acquire("q", request("holder", { ttlMs: 600_000 }), caller());
    const next = await queued(cluster, "b", "q", "next", { ttlMs: 30_000 });
    await cluster.node("a").locks.release("q", held.fence, caller());
    const grant = granted(await next.ending);
    assert(grant.waitedMs > 0 && grant.guaranteedForMs <= grant.waitedMs + 30_000, JSON.stringify(grant));
    // It was renewed for the answer, so what is left is its whole ttl, not the hand-over's.
    const { holders } = await stateOf(cluster, "b", "q");
    assert(holders[0]!.lapsesInMs > 15_000, JSON.stringify(holders));
  }));

Deno.test("queue: many waiters on many nodes, each releases what it gets: all are served, one at a time, none twice", () =>
  withCluster(5, async (cluster) => {
    const { body: held } = await cluster.node("a").locks.acquire("q", request("holder", { ttlMs: 600_000 }), caller());
    let inside = 0;
    const fences: bigint[] = [];
    const all = Array.from({ length: 40 }, async (_, i) => {
      const locks = cluster.node(cluster.ids[i % 5]!).locks;
      const { body } = await locks.acquire(
        "q",
        request(`w${i}`, { waitMs: 290_000, ttlMs: 600_000 }),
        caller({ timeoutMs: 30_000 }),
      );
      assertEquals(++inside, 1, "one at a time");
      fences.push(BigInt(body.fence));
      inside--;
      await locks.release("q", body.fence, caller({ timeoutMs: 30_000 }));
    });
    await cluster.node("a").locks.release("q", held.fence, caller());
    await Promise.all(all);
    assertEquals(new Set(fences).size, 40);
    assert(fences.every((fence, i) => i === 0 || fence > fences[i - 1]!), "in the order of their fences");
    const { state, waiterCount } = await stateOf(cluster, "e", "q");
    assertEquals([state, waiterCount], ["free", 0]);
  }));

Deno.test("queue: a held lock with lockDelayMs whose holder vanishes cools before the waiter gets it", () =>
  withCluster(3, async (cluster) => {
    const lapsing = request("gone", { ttlMs: 1_000, lockDelayMs: 3_000 });
    await cluster.node("a").locks.acquire("q", lapsing, caller());
    const clock = fastClock(TIMES);
    const beganMs = clock.now();
    const next = cluster.node("b").locks.acquire(
      "q",
      request("next", { waitMs: 200_000 }),
      caller(),
    );
    await until("cooling", async () => (await stateOf(cluster, "c", "q")).state === "cooling");
    assertEquals((await next).body.holder, "next");
    assert(clock.now() - beganMs >= 3_000, "never before the delay");
  }));

Deno.test("queue: a waiter is told its position at first and then whenever it is another one, at any node", () =>
  withCluster(3, async (cluster) => {
    const { body: held } = await cluster.node("a").locks.acquire("q", request("holder", { ttlMs: 600_000 }), caller());
    const told: number[][] = [];
    const line = [];
    for (const [i, id] of ["b", "c", "b"].entries()) {
      const positions: number[] = [];
      told.push(positions);
      const onPosition = (position: number) => void positions.push(position);
      line.push(await queued(cluster, id, "q", `w${i}`, {}, caller({ timeoutMs: 20_000, onPosition })));
    }
    await until("the last is told", () => told[2]!.length === 1);
    assertEquals(told, [[1], [2], [3]]);
    // Its places are renewed meanwhile, and nothing is told for that.
    const clock = fastClock(SLOWER_TIMES);
    const untilMs = clock.now() + 8_000;
    await until("places were renewed", () => clock.now() > untilMs);
    await cluster.node("a").locks.release("q", held.fence, caller());
    for (const { ending } of line) {
      await cluster.node("a").locks.release("q", granted(await ending).fence, caller());
    }
    assertEquals(told, [[1], [2, 1], [3, 2, 1]]);
  }));

Deno.test("queue: more places lapse at once than one value may claim: they end in several, and the next gets the lock", () =>
  withCluster(3, async (cluster) => {
    const { body: held } = await cluster.node("a").locks.acquire("q", request("holder", { ttlMs: 600_000 }), caller());
    const who = () => caller();
    const dead = Array.from(
      { length: CLAIMS_PER_VALUE + 10 },
      (_, i) => cluster.node("b").locks.acquire("q", request(`dead${i}`, { waitMs: 200_000 }), who()).catch(() => {}),
    );
    await until("all wait", async () => (await stateOf(cluster, "c", "q")).waiterCount === dead.length);
    const next = await queued(cluster, "c", "q", "next");
    cluster.kill("b");
    await cluster.node("a").locks.release("q", held.fence, who());
    assertEquals(granted(await next.ending).holder, "next");
  }));

Deno.test("queue: of a place that is decided nobody is told that nothing came of it, though its node can do nothing more", async () => {
  let gate = Promise.resolve();
  const cluster = await memoryCluster(3, {
    clock: fastClock(TIMES),
    // A place ends by the clocks of a quorum: not while this is looked at.
    clockOf: (id) => id === "a" ? null : fastClock(1),
    schedule: (id) => id === "a" ? gate : Promise.resolve(),
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  try {
    await cluster.node("b").locks.acquire("q", request("holder", { ttlMs: 600_000 }), caller());
    const who = caller({ timeoutMs: 2_000 });
    const asked = cluster.node("a").locks.acquire("q", request("waiter", { waitMs: 5_000 }), who);
    const refused = assertRejects(() => asked, QuorateError);
    await until("it has a place", async () => (await waiters(cluster, "b", "q")).includes("waiter"));
    gate = promise;
    const { code, facts } = await refused;
    assertEquals([code, facts.outcome, facts.idempotencyKey], ["outcome-unknown", "unknown", who.idempotencyKey]);
    assertEquals(await waiters(cluster, "b", "q"), ["waiter"]);
  } finally {
    resolve();
    cluster.close();
  }
});

Deno.test("queue: processes of a shared store that live 400 ms end what is dead before a waiter as soon as its time is over", async () => {
  for (const seed of [35, 152]) {
    const plan = planOf(seed, "isolates");
    const calm = {
      learners: 0,
      faults: [],
      links: {},
      link: { loss: 0, repeat: 0, delayMs: 2 },
      rates: [1, 1, 1],
      nouns: [],
    };
    const isolates = { n: 3, shared: ["a", "b", "c"], isolates: 2, lifeMs: 400 };
    const { figures, faults } = await play({ ...plan, ...calm, ...isolates, keys: ["prepare/1"], faultyMs: 3_000 });
    assertEquals(faults, []);
    assertGreater(figures.evictions, 100);
    // In virtual time. None of them is there for as long as one whose place is not the first holds back, and asks.
    assertGreater(1_000, figures.recoveryMs, `seed ${seed}`);
  }
});
