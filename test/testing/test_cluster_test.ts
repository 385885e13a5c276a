/** The cluster for the unit tests of users, as they use it. */
import { assert, assertEquals, assertGreater, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { type Lock, QuorateError } from "../../src/mod.ts";
import { testCluster } from "../../src/testing/mod.ts";

function howOf(held: Pick<Lock, "signal">): string {
  return held.signal.aborted ? (held.signal.reason as QuorateError).how! : "held";
}

Deno.test("testCluster: time stands still between calls, and what is held renews itself as it passes", async () => {
  await using cluster = await testCluster();
  const { locks, kv } = cluster.connect();
  const startMs = cluster.now();
  const lock = await locks.acquire("deploy", { ttl: 30_000 });
  assertEquals(await kv.put("a", "b") !== null, true);
  assertEquals([(await kv.get("a"))!.text(), cluster.now()], ["b", startMs]);
  const fullMs = lock.remainingMs();
  await cluster.advance(5_000);
  assertEquals([lock.remainingMs(), cluster.now()], [fullMs - 5_000, startMs + 5_000]);
  await cluster.advance(120_000);
  assert(lock.held && lock.remainingMs() > 15_000);
  await lock.release();
  const slept = cluster.sleep(60_000);
  await cluster.run(slept);
  assertEquals(cluster.now(), startMs + 185_000);
});

Deno.test("testCluster: what expires ends for its holder, and is another's with a higher fence", async () => {
  await using cluster = await testCluster();
  const [one, two] = [cluster.connect(), cluster.connect()];
  const other = await one.locks.acquire("other");
  const lock = await one.locks.acquire("deploy");
  assertEquals(await two.locks.tryAcquire("deploy"), null);
  await cluster.expire("deploy");
  assertEquals([howOf(lock), howOf(other)], ["expired", "held"]);
  const next = await two.locks.acquire("deploy");
  assertGreater(next.fence, lock.fence);
  const late = await assertRejects(() => lock.renew(), QuorateError);
  assertEquals(late.code, "lock-lost");
  // Renewals of the next holder come through.
  await cluster.advance(120_000);
  assertEquals(next.held, true);
});

Deno.test("testCluster: a term and permits expire too; what is not held, or lives by a session, does not", async () => {
  await using cluster = await testCluster();
  const quorate = cluster.connect();
  const term = await quorate.elections.campaign("lead");
  const permits = Promise.withResolvers<Lock["signal"]>();
  const using_ = quorate.semaphores.request("pool", { limit: 1 }, async ({ signal }) => {
    permits.resolve(signal);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  });
  const failed = assertRejects(() => using_, QuorateError);
  const signal = await permits.promise;
  await cluster.expire("lead", "election");
  assertEquals([howOf(term), signal.aborted], ["expired", false]);
  await cluster.expire("pool", "semaphore");
  assertEquals((await cluster.run(failed)).how, "expired");
  await assertRejects(() => cluster.expire("deploy"), Error, "nobody holds lock deploy");
  const session = await quorate.sessions.open();
  await quorate.locks.acquire("deploy", { session });
  await assertRejects(() => cluster.expire("deploy"), Error, "may be bound to a session");
});

Deno.test("testCluster: a holder that is cut off loses by its own clock, before anybody else has it", async () => {
  await using cluster = await testCluster();
  const [one, two] = [cluster.connect(), cluster.connect()];
  const lock = await one.locks.acquire("deploy", { ttl: 10_000 });
  cluster.partition([one], [two, ...cluster.nodes]);
  const waiting = two.locks.acquire("deploy");
  let endedMs = 0;
  lock.signal.addEventListener("abort", () => endedMs = cluster.now());
  const next = await cluster.run(waiting);
  assertEquals(howOf(lock), "expired");
  assert(endedMs > 0 && endedMs < cluster.now());
  assertGreater(next.fence, lock.fence);
  cluster.heal();
  await cluster.advance(1_000);
  assertEquals([lock.held, next.held], [false, true]);
});

Deno.test("testCluster: the side with most nodes goes on, the other cannot", async () => {
  await using cluster = await testCluster();
  const [few, most] = [cluster.connect({ nodes: ["a"], timeout: 5_000 }), cluster.connect({ nodes: ["b", "c"] })];
  cluster.partition(["a"], ["b", "c"]);
  await cluster.run(most.kv.put("x", "1"));
  const error = await cluster.run(assertRejects(() => few.kv.put("x", "2"), QuorateError));
  assertEquals(error.retryable, true);
  cluster.heal();
  await cluster.run(few.kv.put("y", "3"));
  assertEquals((await cluster.run(few.kv.get("x")))!.text(), "1");
});

Deno.test("testCluster: what is sent across a cut arrives once it is healed, and counts once", async () => {
  await using cluster = await testCluster();
  const quorate = cluster.connect({ nodes: ["a"] });
  await quorate.kv.put("n", 0);
  cluster.partition([quorate], cluster.nodes);
  const put = quorate.kv.update("n", (entry) => Number(entry!.text()) + 1);
  await cluster.advance(15_000);
  assertEquals((await cluster.connect().kv.get("n"))!.text(), "0");
  cluster.heal();
  await cluster.run(put);
  assertEquals((await quorate.kv.get("n"))!.text(), "1");
});

Deno.test("testCluster: a stalled holder believes what it believed, and ends before anything else once it runs", async () => {
  await using cluster = await testCluster();
  const [zombie, other] = [cluster.connect(), cluster.connect()];
  const lock = await zombie.locks.acquire("deploy");
  const leftMs = lock.remainingMs();
  cluster.stall(zombie);
  const told = () => howOf(lock);
  const asked = zombie.kv.get("x").then(told, told);
  await cluster.advance(120_000);
  assertEquals([lock.held, lock.remainingMs()], [true, leftMs]);
  const next = await other.locks.acquire("deploy");
  await other.kv.put("release", "new", { fence: next.fence });
  const late = zombie.kv.put("release", "late", { fence: lock.fence });
  cluster.resume(zombie);
  assertEquals([howOf(lock), lock.remainingMs()], ["expired", 0]);
  assertEquals(await cluster.run(asked), "expired");
  assertEquals((await cluster.run(assertRejects(() => late, QuorateError))).code, "fence-too-low");
  assertEquals((await other.kv.get("release"))!.text(), "new");
  await cluster.advance(60_000);
  assertEquals(next.held, true);
});

Deno.test("testCluster: a node that is stopped is missed by none, and comes back with all it knew", async () => {
  await using cluster = await testCluster();
  const quorate = cluster.connect();
  const lock = await quorate.locks.acquire("deploy");
  for (const node of cluster.nodes) {
    cluster.stop(node);
    cluster.stop(node);
    await cluster.run(quorate.kv.put(node, node));
    await cluster.start(node);
    await cluster.start(node);
    await cluster.advance(1_000);
  }
  await cluster.advance(60_000);
  assertEquals(lock.held, true);
  for (const node of cluster.nodes) assertEquals((await cluster.run(quorate.kv.get(node)))!.text(), node);
});

Deno.test("testCluster: with all nodes gone a hold ends, a dispose does not throw, and a call fails", async () => {
  await using cluster = await testCluster();
  const quorate = cluster.connect({ timeout: 20_000 });
  const lock = await quorate.locks.acquire("deploy");
  const watching = (async () => {
    for await (const _ of quorate.elections.observe("lead")) return "told";
    return "ended";
  })();
  assertEquals(await cluster.run(watching), "told");
  for (const node of cluster.nodes) cluster.stop(node);
  await cluster.run(lock[Symbol.asyncDispose]());
  assertEquals(howOf(lock), "disposed");
  assertEquals((await cluster.run(assertRejects(() => quorate.kv.get("x"), QuorateError))).code, "not-ready");
  await cluster.start("a");
  await cluster.start("b");
  // Nobody gave it back.
  assertEquals(await cluster.run(quorate.locks.tryAcquire("deploy")), null);
  await (await cluster.run(quorate.locks.acquire("deploy"))).release();
});

Deno.test("testCluster: the same seed is the same run", async () => {
  const story = async (seed: number) => {
    await using cluster = await testCluster({ seed });
    const told: string[] = [];
    const turns = ["p", "q", "r"].map((who) =>
      cluster.connect().locks.request("turn", async (lock) => {
        told.push(`${who} ${lock.fence} ${cluster.now()}`);
        await cluster.sleep(7);
      })
    );
    cluster.stop("b");
    await cluster.run(Promise.all(turns));
    assertEquals(told.length, 3);
    return [...told, cluster.now()];
  };
  assertEquals(await story(7), await story(7));
});

Deno.test("testCluster: work that nothing can end, or that takes too long, is told", async () => {
  await using cluster = await testCluster();
  const { locks } = cluster.connect();
  await locks.acquire("deploy");
  await assertRejects(() => cluster.run(locks.acquire("deploy"), 60_000), Error, "not done within 60000 ms");
});

Deno.test("testCluster: a node that is not there, a client of another cluster and two nodes are mistakes", async () => {
  await using cluster = await testCluster({ nodes: 1 });
  await using other = await testCluster({ nodes: 1 });
  const stranger = other.connect();
  const mistakes = [
    () => cluster.connect({ nodes: ["b"] }),
    () => cluster.stop("b"),
    () => cluster.partition(["a"], ["b"]),
    () => cluster.partition(["a"], [stranger]),
    () => cluster.stall(stranger),
    () => cluster.resume(stranger),
  ];
  for (const mistake of mistakes) assertThrows(mistake, TypeError);
  await assertRejects(() => cluster.start("b"), TypeError);
  await assertRejects(() => testCluster({ nodes: 2 }), Error, "1 or 3 to 9");
  await assertRejects(() => cluster.expire("."), Error);
  assertStrictEquals(cluster.nodes.length, 1);
});
