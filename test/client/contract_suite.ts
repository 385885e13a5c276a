/**
 * What the client promises, line by line, over nodes that somebody else started. Only standard APIs of the web and
 * node:assert, so that every runtime can run it.
 */
import assert from "node:assert/strict";
import type { Leader, Lock, QuorateError } from "../../src/mod.ts";

/** What is put to the test. */
export type Client = Pick<typeof import("../../src/mod.ts"), "connect" | "QuorateError">;

type Run = (client: Client, urls: readonly string[], absent: readonly string[]) => Promise<void>;
type Case = { readonly name: string; readonly run: Run };

const cases: Case[] = [];
/** Those that outlive a lease, which takes its time. */
const lasting: Case[] = [];

function test(name: string, run: Run): void {
  cases.push({ name, run });
}

function lastingTest(name: string, run: Run): void {
  lasting.push({ name, run });
}

/**
 * Resolves with what failed, and with how many cases there are.
 * @param absent origins at which nothing listens
 */
export async function runContract(client: Client, urls: readonly string[], absent: readonly string[]) {
  const failures: string[] = [];
  const one = ({ name, run }: Case) =>
    run(client, urls, absent).catch((error) => void failures.push(`${name}: ${error.stack ?? error}`));
  await Promise.all(lasting.map(one));
  for (const each of cases) await one(each);
  return { failures, count: cases.length + lasting.length };
}

/** Bounded in tries. */
async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 6_000; i++) {
    if (await isTrue()) return;
    await pause(10);
  }
  throw new Error(`did not come true: ${what}`);
}

/** Twice what a busy machine may keep a renewal waiting for. */
const TTL_MS = 4_000;

function longerThanTtl(): Promise<void> {
  return pause(TTL_MS + 500);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A sign of life moves the end of a guarantee on by as much as it was sent later, whatever its answer took. */
async function assertMovesOn(hold: { remainingMs(): number }, showLife: () => Promise<unknown>): Promise<void> {
  const endMs = () => performance.now() + hold.remainingMs();
  const beforeMs = endMs();
  await pause(200);
  await showLife();
  assert.ok(endMs() > beforeMs + 100, `${endMs() - beforeMs} ms`);
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(() => null, (error) => error as QuorateError);
  return error === null ? "resolved" : error.code ?? error.name;
}

test("locks.request calls back with a lock that is held, and gives it back", async ({ connect }, urls) => {
  const { locks } = connect(urls);
  let seen: Lock | undefined;
  const result = await locks.request("r1", (lock) => {
    seen = lock;
    assert.equal(typeof lock.fence, "bigint");
    assert.equal(lock.held, true);
    assert.equal(lock.signal.aborted, false);
    assert.ok(lock.remainingMs() > 20_000 && lock.remainingMs() < 30_000);
    return "made";
  });
  assert.equal(result, "made");
  assert.equal(seen!.held, false);
  assert.equal(seen!.signal.reason.how, "disposed");
  assert.deepEqual(await locks.query({ prefix: "r1" }), { held: [], pending: [] });
});

test("locks.request rejects with what the callback throws, and gives the lock back", async ({ connect }, urls) => {
  const { locks } = connect(urls);
  await assert.rejects(locks.request("r2", () => Promise.reject(new RangeError("mine"))), RangeError);
  assert.notEqual(await locks.tryAcquire("r2").then(async (lock) => (await lock?.release(), lock)), null);
});

test("locks.request takes turns in the order of the requests", async ({ connect }, urls) => {
  const clients = urls.map((url) => connect(url));
  const order: string[] = [];
  const first = await clients[0]!.locks.acquire("turns");
  const waiting: Promise<void>[] = [];
  for (const [i, { locks }] of clients.entries()) {
    let isQueued = false;
    const onPosition = () => isQueued = true;
    waiting.push(locks.request("turns", { onPosition }, (lock) => void order.push(`${i} ${lock.fence > first.fence}`)));
    await until("it waits", () => isQueued);
  }
  await first.release();
  await Promise.all(waiting);
  assert.deepEqual(order, clients.map((_, i) => `${i} true`));
});

test("ifAvailable calls back with null where somebody holds it, and with a lock else", async ({ connect }, urls) => {
  const { locks } = connect(urls);
  const other = await locks.acquire("if");
  const ask = () => locks.request("if", { ifAvailable: true }, (lock) => lock === null ? "null" : "lock");
  assert.equal(await ask(), "null");
  await other.release();
  assert.equal(await ask(), "lock");
});

test("tryAcquire gives null where somebody holds it", async ({ connect }, urls) => {
  const { locks } = connect(urls);
  const lock = await locks.tryAcquire("try");
  assert.notEqual(lock, null);
  assert.equal(await locks.tryAcquire("try"), null);
  await lock!.release();
});

test("acquire rejects with held once wait is over, and leaves the queue", async ({ connect, QuorateError }, urls) => {
  const { locks } = connect(urls);
  const lock = await locks.acquire("wait");
  const error = await locks.acquire("wait", { wait: 50 }).then(() => null, (error) => error);
  assert.ok(error instanceof QuorateError);
  assert.deepEqual([error.code, error.retryable], ["held", true]);
  assert.equal((await locks.query({ prefix: "wait" })).pending.length, 0);
  await lock.release();
});

test("shared holders hold together, and keep an exclusive one out", async ({ connect }, urls) => {
  const { locks } = connect(urls);
  const [a, b] = [await locks.acquire("sh", { mode: "shared" }), await locks.acquire("sh", { mode: "shared" })];
  assert.equal(a.mode, "shared");
  assert.equal(await locks.tryAcquire("sh"), null);
  await Promise.all([a.release(), b.release()]);
  await (await locks.acquire("sh")).release();
});

test("several locks come together or not at all", async ({ connect }, urls) => {
  const { locks } = connect(urls);
  const both = await locks.acquire(["set/b", "set/a", "set/b"]);
  assert.deepEqual([...both.fences.keys()], ["set/b", "set/a"]);
  assert.equal(both.fence, both.fences.get("set/b"));
  assert.equal(await locks.tryAcquire(["set/c", "set/a"]), null);
  await (await locks.acquire("set/c", { wait: 0 })).release();
  await both.renew();
  await both.release();
  assert.deepEqual((await locks.query({ prefix: "set/" })).held, []);
  await locks.request(["set/a", "set/c"], (lock) => assert.equal(lock.held, true));
});

test("several locks are waited for", async ({ connect }, urls) => {
  const { locks } = connect(urls);
  const one = await locks.acquire("many/b");
  const both = locks.acquire(["many/a", "many/b"]);
  await until("it waits", async () => (await locks.query({ prefix: "many/b" })).pending.length === 1);
  await one.release();
  await (await both).release();
});

test("names may hold anything that nodes take", async ({ connect }, urls) => {
  const { locks, kv } = connect(urls);
  for (const name of ["a/b c", "ü?x=1&y", "100%", "-", "q'#+"]) {
    await locks.request(name, (lock) => assert.equal(lock.name, name));
    await kv.put(name, name);
    assert.equal((await kv.get(name))!.text(), name);
  }
});

test("what is named events is a name like any other", async ({ connect }, urls) => {
  const { locks, elections, semaphores, kv } = connect(urls);
  const name = "events";
  const lock = await locks.acquire(name);
  await lock.renew();
  const gone = new AbortController();
  await assert.rejects(locks.acquire(name, { signal: gone.signal, onPosition: () => gone.abort() }));
  await until("the place is left", async () => (await locks.query({ prefix: name })).pending.length === 0);
  await lock.release();
  await locks.request([name, "events/1"], (both) => both.renew());
  assert.deepEqual(await locks.query({ prefix: name }), { held: [], pending: [] });
  const term = await elections.campaign(name, { value: "one" });
  await term.proclaim("two");
  assert.equal((await elections.leader(name))!.value, "two");
  for await (const leader of elections.observe(name)) {
    assert.equal(leader!.term, term.fence);
    break;
  }
  await term.release();
  await semaphores.request(name, { limit: 1 }, (permits) => permits.renew());
  const revision = await kv.put(name, "one");
  assert.equal((await kv.get(name))!.revision, revision);
  assert.ok(await kv.update(name, (entry) => `${entry!.text()} more`) !== null);
  assert.equal(await kv.put(name, "two", { ttl: 60_000, over: revision! }), null);
  assert.equal(await kv.delete(name), true);
});

test("the id of a session is not enough to live by it", async ({ connect }, urls) => {
  const quorate = connect(urls);
  const { locks, elections, semaphores, kv } = quorate;
  const one = await quorate.sessions.open();
  const session = one.id as never;
  const asked = [
    locks.acquire("by-id", { session }),
    locks.tryAcquire(["by-id", "by-id/2"], { session }),
    elections.campaign("by-id", { session }),
    semaphores.request("by-id", { limit: 1, session }, () => {}),
    quorate.register("by-id", "x", { session }),
  ];
  for (const asking of asked) assert.equal(await codeOf(asking), "invalid-request");
  assert.deepEqual(await locks.query({ prefix: "by-id" }), { held: [], pending: [] });
  assert.equal(await kv.get("by-id"), null);
  // What is put by itself renews nothing.
  assert.ok(await kv.put("by-id", "x", { session: one.id }) !== null);
  assert.equal(await codeOf(kv.put("by-id", "y", { session: "a&b=c" })), "invalid-request");
  await one.release();
});

test("an abort while waiting rejects with its reason, and the place is left", async ({ connect }, urls) => {
  const { locks } = connect(urls);
  const lock = await locks.acquire("ab");
  const gone = new AbortController();
  const reason = new Error("changed my mind");
  let isQueued = false;
  const options = { signal: gone.signal, onPosition: () => isQueued = true };
  const waiting = locks.acquire("ab", options);
  await until("it waits", () => isQueued);
  const next = locks.acquire("ab");
  await until("both wait", async () => (await locks.query({ prefix: "ab" })).pending.length === 2);
  gone.abort(reason);
  assert.equal(await waiting.catch((error) => error), reason);
  await until("one waits", async () => (await locks.query({ prefix: "ab" })).pending.length === 1);
  await lock.release();
  await (await next).release();
  assert.equal(await locks.acquire("ab", { signal: gone.signal }).catch((error) => error), reason);
});

test("an abort before the answer leaves nothing held", async ({ connect }, urls) => {
  const { locks } = connect(urls);
  for (const wait of [0, 60_000]) {
    const name = `early/${wait}`;
    const gone = new AbortController();
    const asked = locks.acquire(name, { signal: gone.signal, wait });
    gone.abort();
    await assert.rejects(asked, { name: "AbortError" });
    const next = await locks.acquire(name, { wait: 20_000 });
    await next.release();
  }
});

test("query tells who holds and who waits, in which mode", async ({ connect }, urls) => {
  const { locks } = connect(urls);
  const lock = await locks.acquire("qu/1", { holder: "h", metadata: "more" });
  const waiting = locks.acquire("qu/1", { holder: "w", mode: "shared" });
  await until("it waits", async () => (await locks.query({ prefix: "qu/" })).pending.length === 1);
  assert.deepEqual(await locks.query({ prefix: "qu/" }), {
    held: [{ name: "qu/1", mode: "exclusive", holder: "h", fence: lock.fence }],
    pending: [{ name: "qu/1", mode: "shared", holder: "w", position: 1 }],
  });
  await lock.release();
  await (await waiting).release();
});

lastingTest("a lock renews itself beyond its ttl, and by hand", async ({ connect }, urls) => {
  const { locks } = connect(urls);
  const lock = await locks.acquire("renews", { ttl: TTL_MS });
  await assertMovesOn(lock, () => lock.renew());
  await longerThanTtl();
  assert.equal(lock.held, true);
  await lock.release();
  await lock.release();
  await lock[Symbol.asyncDispose]();
  assert.equal(await codeOf(lock.renew()), "lock-lost");
});

test("a lock that an admin ends says so", async ({ connect }, urls) => {
  const { locks } = connect(urls);
  const lock = await locks.acquire("forced");
  const body = JSON.stringify({ reason: "stuck" });
  assert.equal((await fetch(`${urls[0]}/v1/locks/forced`, { method: "DELETE", body })).status, 200);
  assert.equal(await codeOf(lock.renew()), "lock-lost");
  assert.deepEqual([lock.held, lock.remainingMs(), lock.signal.reason.how], [false, 0, "forced"]);
  const error = locks.request("forced", async (lock) => {
    await fetch(`${urls[0]}/v1/locks/forced`, { method: "DELETE", body });
    await lock.renew().catch(() => {});
  });
  assert.equal(await codeOf(error), "lock-lost");
});

test("an election has one leader, who is seen, says more, and steps down", async ({ connect }, urls) => {
  const { elections } = connect(urls);
  const stop = new AbortController();
  const seen: (Leader | null)[] = [];
  const watching = (async () => {
    for await (const leader of elections.observe("lead", { signal: stop.signal })) seen.push(leader);
  })();
  const term = await elections.campaign("lead", { candidate: "one", value: "http://one" });
  assert.equal(term.candidate, "one");
  assert.deepEqual(await elections.leader("lead"), { candidate: "one", term: term.fence, value: "http://one" });
  assert.equal(await codeOf(elections.campaign("lead", { wait: 0 })), "held");
  await term.proclaim("http://other");
  await until("it is seen", () => seen.at(-1)?.value === "http://other");
  await term.release();
  await until("nobody leads", () => seen.at(-1) === null);
  assert.equal(await elections.leader("lead"), null);
  stop.abort();
  await watching;
  assert.equal(await codeOf(term.proclaim("late")), "lost");
});

test("elections.run leads, steps down and campaigns again until its signal aborts", async ({ connect }, urls) => {
  const { elections } = connect(urls);
  const stop = new AbortController();
  const terms: bigint[] = [];
  let wasTold = false;
  await elections.run("run", { candidate: "me", signal: stop.signal }, async (term) => {
    terms.push(term.fence);
    if (terms.length < 2) return;
    stop.abort();
    wasTold = term.signal.aborted && term.held;
    await term.renew();
  });
  assert.ok(terms[1]! > terms[0]!);
  assert.equal(wasTold, true);
  assert.equal(await elections.leader("run"), null);
  const failing = elections.run("run", {}, () => Promise.reject(new RangeError("mine")));
  await assert.rejects(failing, RangeError);
  assert.equal(await elections.leader("run"), null);
});

test("a semaphore has its limit", async ({ connect }, urls) => {
  const { semaphores } = connect(urls);
  let [now, most] = [0, 0];
  await Promise.all([1, 2, 3, 4, 5].map(() =>
    semaphores.request("pool", { limit: 2 }, async (permits) => {
      most = Math.max(most, ++now);
      assert.equal(permits.permits, 1);
      await permits.renew();
      now--;
    })
  ));
  assert.equal(most, 2);
  await semaphores.request("pool", { limit: 3, permits: 3 }, async () => {
    assert.equal(await codeOf(semaphores.request("pool", { limit: 3, wait: 0 }, () => {})), "held");
    assert.equal(await codeOf(semaphores.request("pool", { limit: 4, wait: 0 }, () => {})), "limit-mismatch");
  });
});

test("kv writes, reads, compares, deletes", async ({ connect }, urls) => {
  const { kv } = connect(urls);
  assert.equal(await kv.get("k/1"), null);
  const first = await kv.put("k/1", "ä");
  const read = (await kv.get("k/1"))!;
  assert.deepEqual([read.revision, read.text(), read.contentType], [first, "ä", "text/plain; charset=utf-8"]);
  assert.equal(await kv.put("k/1", "x", { over: null }), null);
  assert.equal(await kv.put("k/1", "x", { over: 1n }), null);
  const second = await kv.put("k/1", { a: 1 }, { over: first! });
  assert.ok(second! > first!);
  assert.deepEqual((await kv.get("k/1"))!.json(), { a: 1 });
  await kv.put("k/1", new Uint8Array([0, 255]), { fence: 20n });
  assert.deepEqual([...(await kv.get("k/1"))!.value], [0, 255]);
  assert.equal(await codeOf(kv.put("k/1", "late", { fence: 19n })), "fence-too-low");
  assert.equal(await codeOf(kv.put("k/1", "late", { fence: 19n, over: 1n })), "fence-too-low");
  assert.equal(await kv.delete("k/1", { over: 1n }), false);
  assert.equal(await kv.delete("k/1"), true);
  assert.equal(await kv.delete("k/1"), false);
  assert.equal(await codeOf(kv.put("k/big", "x".repeat(40_000))), "too-large");
});

test("kv.put writes bytes of any kind as they are, and refuses what JSON would lose", async ({ connect }, urls) => {
  const { kv } = connect(urls);
  const bytes = new Uint8Array([9, 1, 0, 2, 9]);
  for (const value of [bytes.buffer, bytes, new DataView(bytes.buffer), new Uint8ClampedArray(bytes)]) {
    await kv.put("k/bytes", value);
    const { contentType, value: read } = (await kv.get("k/bytes"))!;
    assert.deepEqual([contentType, ...read], ["application/octet-stream", ...bytes]);
  }
  await kv.put("k/bytes", bytes.subarray(1, 4));
  assert.deepEqual([...(await kv.get("k/bytes"))!.value], [1, 0, 2]);
  const lost = [
    undefined,
    () => 1,
    Symbol("s"),
    Promise.resolve("late"),
    new Map([[1, 2]]),
    new Set([1]),
    new Blob(["x"]),
  ];
  for (const value of lost) assert.equal(await codeOf(kv.put("k/bytes", value as never)), "invalid-request");
  assert.deepEqual([...(await kv.get("k/bytes"))!.value], [1, 0, 2]);
  for (const value of [{}, [], Object.create(null), null, 0, false, { toJSON: () => ({}) }, new Date(0)]) {
    await kv.put("k/json", value);
    assert.deepEqual((await kv.get("k/json"))!.text(), JSON.stringify(value));
  }
});

test("kv.update loses no increment of two writers", async ({ connect }, urls) => {
  const clients = urls.map((url) => connect(url));
  await Promise.all(clients.map(async ({ kv }) => {
    for (let i = 0; i < 10; i++) await kv.update("counter", (entry) => Number(entry?.text() ?? 0) + 1);
  }));
  const { kv } = clients[0]!;
  assert.equal((await kv.get("counter"))!.text(), `${10 * clients.length}`);
  const { revision } = (await kv.get("counter"))!;
  assert.equal(await kv.update("counter", () => undefined), revision);
  assert.equal(await kv.update("no counter", () => undefined), null);
});

test("kv.list has all pages, in order", async ({ connect }, urls) => {
  const { kv } = connect(urls);
  const keys = Array.from({ length: 40 }, (_, i) => `list/${`${i}`.padStart(2, "0")}`);
  await Promise.all(keys.map((key) => kv.put(key, key)));
  const seen: string[] = [];
  for await (const entry of kv.list("list/")) seen.push(entry.text());
  assert.deepEqual(seen, keys);
});

test("kv.watch keeps a map and tells the changes", async ({ connect }, urls) => {
  const { kv } = connect(urls);
  await kv.put("w/1", "one");
  const watch = kv.watch("w/");
  await watch.ready;
  assert.equal(watch.entries.get("w/1")!.text(), "one");
  const told: string[] = [];
  const reading = (async () => {
    for await (const { key, entry } of watch) told.push(`${key} ${entry?.text() ?? "gone"}`);
  })();
  await kv.put("w/2", "two");
  await until("it is heard", () => watch.entries.get("w/2")?.text() === "two");
  await kv.delete("w/1");
  await until("its end is heard", () => !watch.entries.has("w/1"));
  await until("all is told", () => told.includes("w/1 gone"));
  assert.deepEqual(told, ["w/1 one", "w/2 two", "w/1 gone"]);
  watch.close();
  await reading;
});

lastingTest("register keeps a value as long as it is held", async ({ connect }, urls) => {
  const quorate = connect(urls);
  const { kv } = quorate;
  const one = await quorate.register("svc/a", "http://a", { ttl: TTL_MS });
  await longerThanTtl();
  assert.equal((await kv.get("svc/a"))!.text(), "http://a");
  assert.equal(one.signal.aborted, false);
  await one.release();
  assert.equal(await kv.get("svc/a"), null);
  const again = await quorate.register("svc/c", "back", { ttl: TTL_MS });
  await kv.delete("svc/c");
  await until("it is put again", async () => (await kv.get("svc/c"))?.text() === "back");
  assert.equal(again.signal.aborted, false);
  await again.release();
  const two = await quorate.register("svc/b", "mine", { ttl: TTL_MS });
  await kv.put("svc/b", "theirs");
  await until("it is noticed", () => two.signal.aborted);
  await two[Symbol.asyncDispose]();
  assert.equal((await kv.get("svc/b"))!.text(), "theirs");
});

lastingTest("what is bound to a session ends with it", async ({ connect }, urls) => {
  const quorate = connect(urls);
  const { locks, kv, elections } = quorate;
  const session = await quorate.sessions.open({ ttl: TTL_MS, holder: "me" });
  let lock!: Lock;
  await assertMovesOn(session, async () => lock = await locks.acquire("s/lock", { session }));
  const term = await elections.campaign("s/lead", { session });
  await kv.put("s/kv", "here", { session });
  const registered = await quorate.register("s/svc", "here", { session });
  await longerThanTtl();
  assert.deepEqual([session.held, lock.held, term.held], [true, true, true]);
  await session.renew();
  await session.release();
  assert.deepEqual([lock.held, term.held, registered.signal.aborted], [false, false, true]);
  assert.equal(await elections.leader("s/lead"), null);
  assert.deepEqual([await kv.get("s/kv"), await kv.get("s/svc")], [null, null]);
  assert.equal(await codeOf(locks.acquire("s/lock", { session })), "lost");
  await (await locks.acquire("s/lock", { wait: 0 })).release();
});

test("hedged, each request goes to two nodes at once, and is done once", async ({ connect }, urls) => {
  const { locks, kv } = connect(urls, { hedge: 0 });
  let revision: bigint | null = null;
  for (let i = 0; i < 5; i++) {
    revision = await kv.put("hedged", `${i}`, { over: revision });
    assert.notEqual(revision, null);
    const lock = await locks.acquire("hedged");
    assert.equal(await locks.tryAcquire("hedged"), null);
    await lock.renew();
    await lock.release();
  }
  assert.equal((await kv.get("hedged"))?.text(), "4");
  const one = connect(urls[0]!).locks;
  assert.deepEqual((await one.query({ prefix: "hedged" })).held, []);
});

test("a mistake is refused with its code, at once", async ({ connect, QuorateError }, urls) => {
  const { locks, kv } = connect(urls);
  const error = await locks.acquire("bad", { ttl: 5 }).catch((error) => error);
  assert.ok(error instanceof QuorateError);
  assert.deepEqual([error.code, error.retryable, error.problem!["field"]], ["invalid-request", false, "ttlMs"]);
  assert.equal(await codeOf(locks.acquire("")), "invalid-request");
  assert.equal(await codeOf(kv.get("..")), "invalid-request");
  assert.throws(() => connect([]), TypeError);
  assert.throws(() => connect("ftp://x"), TypeError);
  assert.throws(() => connect("no url"), TypeError);
  for (const hedge of [-1, NaN]) assert.throws(() => connect("http://127.0.0.1:1", { hedge }), TypeError);
});

test("a cluster that nobody reaches is an error that may be tried again", async ({ connect }, _urls, absent) => {
  const { locks, kv } = connect(absent, { timeout: 200 });
  const error = await locks.acquire("x").catch((error) => error);
  // No page is told whether a request that failed was sent.
  const told = "document" in globalThis ? ["outcome-unknown", true, "unknown"] : ["not-ready", true, "none"];
  assert.deepEqual([error.code, error.retryable, error.outcome], told);
  assert.equal(await codeOf(kv.get("x")), "not-ready");
});
