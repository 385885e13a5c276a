/** Sessions on whole nodes (PROTOCOL.md §7): one keep-alive for many names, and an end that frees them. Faster than life. */
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import type { Page, SessionState } from "../../src/api.ts";
import { QuorateError } from "../../src/errors.ts";
import { MODE_NAMES } from "../../src/engine/modes.ts";
import type { Caller } from "../../src/service/service.ts";
import { fastClock, until } from "../replica/clocks.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "../replica/memory_cluster.ts";

const TIMES = 10;

async function withCluster(n: number, run: (cluster: MemoryCluster) => Promise<void>): Promise<void> {
  const cluster = await memoryCluster(n, { clock: fastClock(TIMES) });
  try {
    await run(cluster);
  } finally {
    cluster.close();
  }
}

const slow = (more: Partial<Caller> = {}) => caller({ timeoutMs: 20_000, ...more });

async function opened(cluster: MemoryCluster, id: string, ttlMs: number, who = slow()): Promise<string> {
  return (await cluster.node(id).sessions.open({ holder: "client", ttlMs }, who)).body.id;
}

async function refused(work: Promise<unknown>): Promise<{ readonly code: string; readonly session: unknown }> {
  const { code, facts } = await assertRejects(() => work, QuorateError);
  return { code, session: facts.more?.["session"] };
}

async function lockOf(cluster: MemoryCluster, id: string, name: string) {
  return (await cluster.node(id).locks.get(name, { stale: false, timeoutMs: 10_000 })).body;
}

async function endsOf(cluster: MemoryCluster, id: string, name: string) {
  return (await cluster.node(id).locks.history(name, { timeoutMs: 10_000 })).body.items.map(({ end }) => end);
}

async function valueOf(cluster: MemoryCluster, id: string, name: string): Promise<string | null> {
  return await cluster.node(id).registers.get(name, { stale: false, timeoutMs: 10_000 }).then(
    ({ body }) => atob(body.value),
    (error) => {
      assertEquals((error as QuorateError).code, "not-found");
      return null;
    },
  );
}

/** The node decides the end, and is gone before anybody has heard of what is to be freed. */
async function endThenDie(cluster: MemoryCluster, id: string, session: string): Promise<void> {
  const stopDropping = cluster.network.drop(({ from, content }) =>
    from === id && JSON.stringify(content).includes('"end-session"')
  );
  const ending = cluster.node(id).sessions.end(session, slow()).catch(() => {});
  const other = cluster.ids.find((one) => one !== id)!;
  await until("its end is decided", () => {
    return cluster.node(other).sessions.get(session, slow()).then(() => false, (error) => error.code === "lost");
  });
  cluster.kill(id);
  await ending;
  stopDropping();
}

/** One of each noun, each through another node. */
async function bindAll(cluster: MemoryCluster, session: string): Promise<void> {
  const node = (i: number) => cluster.node(cluster.ids[i % cluster.ids.length]!);
  await node(0).locks.acquire("l", request("client", { session }), slow());
  await node(1).elections.campaign("e", { candidate: "client", ttlMs: 30_000, waitMs: 0, session }, slow());
  const take = { holder: "client", ttlMs: 30_000, waitMs: 0, lockDelayMs: 0, limit: 2, permits: 2, session };
  await node(2).semaphores.take("s", take, slow());
  await node(0).registers.put("k", { bytes: btoa("here"), contentType: "text/plain", session }, slow());
}

Deno.test("sessions: one keep-alive keeps all that is bound, whatever its noun, through any node", () =>
  withCluster(3, async (cluster) => {
    const session = await opened(cluster, "a", 4_000);
    await bindAll(cluster, session);
    const clock = fastClock(TIMES);
    const untilMs = clock.now() + 12_000;
    for (let i = 0; clock.now() < untilMs; i++) {
      const { body } = await cluster.node(cluster.ids[i % 3]!).sessions.keep(session, slow());
      assertEquals(body.id, session);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assertEquals((await lockOf(cluster, "b", "l")).state, "held");
    assertEquals((await refused(cluster.node("c").locks.acquire("l", request("x"), slow()))).code, "held");
    assertEquals(await valueOf(cluster, "c", "k"), "here");
    const { body } = await cluster.node("b").sessions.get(session, slow());
    assertEquals(
      new Set(body.bound.map(({ noun, name }) => `${noun} ${name}`)),
      new Set(["lock l", "election e", "semaphore s", "kv k"]),
    );
  }));

Deno.test("sessions: ended by its owner, all that hung on it is free at once, and history says why", () =>
  withCluster(3, async (cluster) => {
    const session = await opened(cluster, "a", 600_000);
    await bindAll(cluster, session);
    await cluster.node("b").locks.acquire("slow", request("client", { session, lockDelayMs: 60_000 }), slow());
    const { body } = await cluster.node("b").sessions.end(session, slow());
    assertEquals(body.outcome, "ended");
    for (const name of ["l", "slow"]) {
      assertEquals([(await lockOf(cluster, "c", name)).state, await endsOf(cluster, "c", name)], ["free", ["session"]]);
    }
    assertEquals((await cluster.node("c").elections.get("e", { stale: false, timeoutMs: 9_000 })).body.leader, null);
    assertEquals((await cluster.node("c").semaphores.get("s", { stale: false, timeoutMs: 9_000 })).body.available, 2);
    assertEquals(await valueOf(cluster, "c", "k"), null);
    const again = await cluster.node("c").sessions.end(session, slow());
    assertEquals(again.body.outcome, "already-ended");
  }));

Deno.test("sessions: one that is not kept ends for good and frees everything; what has a lock delay cools first", () =>
  withCluster(3, async (cluster) => {
    const session = await opened(cluster, "a", 2_000);
    await bindAll(cluster, session);
    await cluster.node("b").locks.acquire("slow", request("client", { session, lockDelayMs: 30_000 }), slow());
    // Nobody wants anything: the nodes through which it was kept see to it.
    await until("it has ended", async () => (await lockOf(cluster, "c", "l")).state === "free");
    await until("the other cools", async () => (await lockOf(cluster, "c", "slow")).state === "cooling");
    assertEquals(await endsOf(cluster, "b", "l"), ["session"]);
    await until("its value is gone", async () => await valueOf(cluster, "b", "k") === null);
    assertEquals((await refused(cluster.node("b").locks.acquire("slow", request("next"), slow()))).code, "cooling");
    for (const id of cluster.ids) {
      const lost = { code: "lost", session };
      assertEquals(await refused(cluster.node(id).sessions.keep(session, slow())), lost);
      assertEquals(await refused(cluster.node(id).sessions.get(session, slow())), lost);
      assertEquals(await refused(cluster.node(id).locks.acquire("l", request("x", { session }), slow())), lost);
      const put = { bytes: btoa("late"), contentType: "text/plain", session };
      assertEquals(await refused(cluster.node(id).registers.put("k", put, slow())), lost);
    }
    assertEquals(await valueOf(cluster, "c", "k"), null);
    assertEquals((await lockOf(cluster, "a", "l")).state, "free");
    await until("nothing is left to be freed", async () => {
      const error = await assertRejects(() => cluster.node("a").sessions.get(session, slow()), QuorateError);
      return error.code === "lost";
    });
  }));

Deno.test("sessions: every node it was kept through is dead: who wants a name finds its end out, and gets it", () =>
  withCluster(5, async (cluster) => {
    const session = await opened(cluster, "a", 2_000);
    await cluster.node("a").locks.acquire("l", request("client", { session }), slow());
    const put = { bytes: btoa("up"), contentType: "text/plain", session };
    await cluster.node("a").registers.put("k", put, slow());
    await cluster.node("a").registers.put("k2", put, slow());
    cluster.kill("a");
    await until(
      "somebody who only tries gets it",
      () => cluster.node("c").locks.acquire("l", request("next"), slow()).then(() => true, () => false),
    );
    assertEquals(await endsOf(cluster, "d", "l"), ["session"]);
    await until("a reader sees that the value ended", async () => await valueOf(cluster, "d", "k") === null);
    await until(
      "who creates the other anew may",
      () =>
        cluster.node("e").registers.put("k2", { bytes: "", contentType: "a/b", ifNoneMatch: ["*"] }, slow())
          .then(() => true, () => false),
    );
  }));

Deno.test("sessions: the node that decided the end dies before it freed anything: who waits is served all the same", () =>
  withCluster(5, async (cluster) => {
    const session = await opened(cluster, "b", 600_000);
    await cluster.node("b").locks.acquire("l", request("client", { session }), slow());
    await cluster.node("b").locks.acquire("m", request("client", { session }), slow());
    const waiting = cluster.node("c").locks.acquire("l", request("next", { waitMs: 200_000 }), slow());
    await until("it waits", async () => (await lockOf(cluster, "d", "l")).waiterCount === 1);
    await endThenDie(cluster, "b", session);
    assertEquals((await waiting).body.holder, "next");
    await until(
      "and who only tries",
      () => cluster.node("e").locks.acquire("m", request("next"), slow()).then(() => true, () => false),
    );
    assertEquals([await endsOf(cluster, "d", "l"), await endsOf(cluster, "d", "m")], [["session"], ["session"]]);
  }));

Deno.test("sessions: a waiter and a candidate whose session ends wait no longer, and are told why", () =>
  withCluster(3, async (cluster) => {
    await cluster.node("a").locks.acquire("l", request("holder", { ttlMs: 600_000 }), slow());
    await cluster.node("a").elections.campaign("e", { candidate: "one", ttlMs: 600_000, waitMs: 0 }, slow());
    const closed = await opened(cluster, "b", 600_000);
    const waiting = refused(
      cluster.node("c").locks.acquire("l", request("w", { waitMs: 300_000, session: closed }), slow()),
    );
    await until("it waits", async () => (await lockOf(cluster, "b", "l")).waiterCount === 1);
    await cluster.node("a").sessions.end(closed, slow());
    assertEquals(await waiting, { code: "lost", session: closed });
    assertEquals((await lockOf(cluster, "b", "l")).waiterCount, 0);
    // And one that its client went silent on.
    const silent = await opened(cluster, "b", 3_000);
    const candidate = { candidate: "two", ttlMs: 30_000, waitMs: 300_000, session: silent };
    assertEquals(await refused(cluster.node("c").elections.campaign("e", candidate, slow())), {
      code: "lost",
      session: silent,
    });
  }));

Deno.test("sessions: a waiter whose session is kept elsewhere is served, and its grant lives on by the session", () =>
  withCluster(3, async (cluster) => {
    const { body: held } = await cluster.node("a").locks.acquire("l", request("holder", { ttlMs: 600_000 }), slow());
    const session = await opened(cluster, "b", 6_000);
    const waiting = cluster.node("c").locks.acquire("l", request("w", { waitMs: 300_000, session }), slow());
    let keeping = true;
    const keeper = (async () => {
      while (keeping) {
        await cluster.node("a").sessions.keep(session, slow());
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    })();
    const clock = fastClock(TIMES);
    const untilMs = clock.now() + 15_000;
    await until("15 s are over", () => clock.now() > untilMs);
    await cluster.node("b").locks.release("l", held.fence, slow());
    const { body } = await waiting;
    assertEquals([body.session, body.ttlMs], [session, 6_000]);
    const [holder] = (await lockOf(cluster, "b", "l")).holders;
    assertEquals(holder?.fence, body.fence);
    // Longer than the hand-over's own lease, and than the session's ttl.
    const laterMs = clock.now() + 15_000;
    await until("15 s more are over", () => clock.now() > laterMs);
    assertEquals((await lockOf(cluster, "b", "l")).holders.map(({ fence }) => fence), [body.fence]);
    keeping = false;
    await keeper;
    await until("then it is free", async () => (await lockOf(cluster, "b", "l")).state === "free");
  }));

Deno.test("sessions: the same Idempotency-Key is the same session through any node, also when it has ended", () =>
  withCluster(3, async (cluster) => {
    const same = slow();
    const id = await opened(cluster, "a", 600_000, same);
    for (let i = 0; i < 40; i++) await cluster.node("b").sessions.keep(id, slow());
    assertEquals(await opened(cluster, "c", 600_000, same), id, "also after its result left the window");
    const other = await refused(cluster.node("c").sessions.open({ holder: "client", ttlMs: 9_000 }, same));
    assertEquals(other.code, "idempotency-mismatch");
    await cluster.node("b").sessions.end(id, slow());
    // A repetition is answered from the own record, which hears of the end a moment later.
    await until(
      "its end is known everywhere",
      () =>
        cluster.node("a").sessions.open({ holder: "client", ttlMs: 600_000 }, same).then(
          () => false,
          (error) => error.code === "lost" && error.facts.more.session === id,
        ),
    );
  }));

Deno.test("sessions: it is its subject's: for anybody else there is none, and nothing of theirs is bound or kept", () =>
  withCluster(3, async (cluster) => {
    const id = await opened(cluster, "a", 600_000);
    const absent = "0".repeat(32);
    const { sessions, locks, registers } = cluster.node("b");
    for (const [session, subject] of [[id, "stranger"], [absent, "tester"]] as const) {
      const who = () => slow({ subject });
      const none = { code: "not-found", session };
      assertEquals(await refused(sessions.keep(session, who())), none);
      assertEquals(await refused(sessions.end(session, who())), none);
      assertEquals(await refused(sessions.get(session, who())), none);
      assertEquals(await refused(locks.acquire("l", request("x", { session }), who())), none);
      assertEquals(await refused(registers.put("k", { bytes: "", contentType: "a/b", session }, who())), none);
    }
    assertEquals((await lockOf(cluster, "c", "l")).lastFence, "0");
    assertEquals((await sessions.get(id, slow())).body.bound, []);
  }));

Deno.test("sessions: what a caller is told holds: the guarantee is the session's ttl, and nobody gets the name before", () =>
  withCluster(3, async (cluster) => {
    const clock = fastClock(TIMES);
    const session = await opened(cluster, "a", 5_000);
    const midMs = clock.now() + 2_500;
    await until("half of it is over", () => clock.now() > midMs);
    const sentMs = clock.now();
    const { body } = await cluster.node("b").locks.acquire("l", request("client", { session }), slow());
    assertEquals([body.ttlMs, body.guaranteedForMs], [5_000, 4_950], "to bind is a sign of life");
    const next = await cluster.node("c").locks.acquire("l", request("next", { waitMs: 300_000 }), slow());
    // By the same clock, and never earlier however slow the machine is.
    assertGreater(clock.now() - sentMs, body.guaranteedForMs);
    assertGreater(BigInt(next.body.fence), BigInt(body.fence));
    assertEquals(await refused(cluster.node("b").locks.renew("l", body.fence, {}, slow())), {
      code: "lost",
      session: undefined,
    });
  }));

Deno.test("sessions: a bound grant is renewed by its session, takes no ttl of its own, and is released as any other", () =>
  withCluster(3, async (cluster) => {
    const session = await opened(cluster, "a", 600_000);
    const { body } = await cluster.node("b").elections.campaign(
      "e",
      { candidate: "c", ttlMs: 30_000, waitMs: 0, session },
      slow(),
    );
    const { elections } = cluster.node("c");
    assertEquals((await elections.proclaim("e", body.term, { value: "v" }, slow())).body.value, "v");
    const own = elections.proclaim("e", body.term, { ttlMs: 9_000, value: "w" }, slow());
    assertEquals((await refused(own)).code, "invalid-request");
    const { leader } = (await elections.get("e", { stale: false, timeoutMs: 9_000 })).body;
    assertEquals(leader?.value, "v");
    assertGreater(leader!.lapsesInMs, 30_000, "it is the session's");
    assertEquals((await elections.resign("e", body.term, slow())).body.outcome, "released");
  }));

Deno.test("sessions: a set of locks is bound as one, and one that ends gives none of it", () =>
  withCluster(3, async (cluster) => {
    const session = await opened(cluster, "a", 600_000);
    const { body } = await cluster.node("b").locks.acquireAll(["y", "x"], request("client", { session }), slow());
    assertEquals(body.grants.map((grant) => [grant.name, grant.session]), [["y", session], ["x", session]]);
    await cluster.node("a").locks.acquire("held", request("holder", { ttlMs: 600_000 }), slow());
    const set = ["held", "first"];
    const waiting = refused(
      cluster.node("c").locks.acquireAll(set, request("set", { session, waitMs: 300_000 }), slow()),
    );
    await until("it waits", async () => (await lockOf(cluster, "a", "held")).waiterCount === 1);
    await cluster.node("b").sessions.end(session, slow());
    assertEquals(await waiting, { code: "lost", session });
    const { receipt } = await cluster.node("a").sessions.end(session, slow());
    assert(receipt.instance < 50, `it was asked ${receipt.instance} times for what has ended`);
    for (const name of ["x", "y", "first"]) assertEquals((await lockOf(cluster, "b", name)).state, "free", name);
  }));

for (const mode of MODE_NAMES) {
  Deno.test(`sessions: in mode ${mode}, of sessions and of what is bound, also through a node that does not vote`, async () => {
    const modes = ["session/", "lock/", "election/", "semaphore/", "kv/"].map((prefix) => ({ prefix, mode }));
    const cluster = await memoryCluster(3, { clock: fastClock(TIMES), modes, learners: 1 });
    try {
      const session = await opened(cluster, "v", 600_000);
      await bindAll(cluster, session);
      const { locks } = cluster.node("v");
      const { body } = await locks.acquire("m", request("client", { session }), slow());
      assertEquals(body.session, session);
      const waiting = locks.acquire("l", request("next", { waitMs: 200_000 }), slow());
      await until("it waits", async () => (await lockOf(cluster, "b", "l")).waiterCount === 1);
      await cluster.node("b").sessions.keep(session, slow());
      await cluster.node("v").sessions.end(session, slow());
      assertEquals((await waiting).body.holder, "next");
      assertEquals((await lockOf(cluster, "c", "m")).state, "free");
      assertEquals(await valueOf(cluster, "v", "k"), null);
      // And one that is not kept, of which only the node without a vote knows.
      const silent = await opened(cluster, "v", 2_000);
      await locks.acquire("n", request("client", { session: silent }), slow());
      const { body: next } = await locks.acquire("n", request("next", { waitMs: 200_000 }), slow());
      assertEquals([next.holder, await endsOf(cluster, "b", "n")], ["next", ["session"]]);
    } finally {
      cluster.close();
    }
  });
}

Deno.test("sessions: a list has one's own that live, page by page, however many there are beside them, and tells of none", async () => {
  const cluster = await memoryCluster(1);
  try {
    const { sessions } = cluster.node("a");
    const openAs = async (subject: string) =>
      (await sessions.open({ holder: "h", ttlMs: 3_600_000 }, caller({ subject }))).body.id;
    const theirs: string[] = [];
    for (let i = 0; i < 52; i++) theirs.push(...await Promise.all(Array.from({ length: 100 }, () => openAs("them"))));
    const mine = (await Promise.all(Array.from({ length: 5 }, () => openAs("me")))).sort();
    await sessions.end(mine[2]!, caller({ subject: "me" }));
    mine.splice(2, 1);
    const pages = async (limit: number) => {
      const found: string[] = [];
      const cursors: string[] = [];
      let cursor: string | null = null;
      do {
        const page: Page<SessionState> = await sessions.list({ prefix: "", limit, cursor, timeoutMs: 30_000 }, "me");
        assert(page.items.length <= limit);
        found.push(...page.items.map(({ id }) => id));
        cursor = page.cursor;
        if (cursor !== null) cursors.push(cursor);
      } while (cursor !== null);
      return { found, cursors };
    };
    for (const limit of [1, 2, 100]) {
      const { found, cursors } = await pages(limit);
      assertEquals(found, mine, `limit ${limit}`);
      assertEquals(cursors.filter((cursor) => theirs.includes(cursor)), []);
      // The last page of all is not full: too many were looked at to go on.
      if (limit === 100) assertEquals(cursors.length, 1);
    }
    const some = await sessions.list({ prefix: mine[1]!.slice(0, 8), limit: 9, cursor: null, timeoutMs: 30_000 }, "me");
    assertEquals([some.items.map(({ id }) => id), some.cursor], [[mine[1]!], null]);
  } finally {
    cluster.close();
  }
});
