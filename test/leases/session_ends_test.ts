/** Sessions in virtual time, on clocks that differ and a network that loses: what a client may rely on, and that all ends. */
import { assert, assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import { DRIFT } from "../../src/limits.ts";
import { viewGrants, viewSession } from "../../src/machine/view.ts";
import type { Caller } from "../../src/service/service.ts";
import { seededRandomness, VirtualClock } from "../sim/virtual_time.ts";
import { memoryCluster, request } from "../replica/memory_cluster.ts";
import { inVirtualTime } from "./session_world.ts";

const who = (id: string, more: Partial<Caller> = {}) => ({
  subject: "s",
  idempotencyKey: id,
  timeoutMs: 5_000,
  ...more,
});
const TTL_MS = 5_000;
/** Its time by the slowest clock, and what it takes to ask, decide and free. */
const FREE_WITHIN_MS = TTL_MS * (1 + DRIFT) ** 2 + 3_000;

Deno.test("session ends: every node that kept it is dead: a waiter's node gets the name once a quorum saw it run out", () =>
  inVirtualTime(7, 5, async ({ clock, cluster }) => {
    const { sessions, locks } = cluster.node("a");
    const { body: session } = await sessions.open({ holder: "h", ttlMs: TTL_MS }, who("open"));
    await locks.acquire("l", request("h", { session: session.id }), who("l"));
    const waiting = cluster.node("c").locks.acquire("l", request("w", { waitMs: 60_000 }), who("w"));
    await clock.sleep(3_000);
    const sentMs = clock.now();
    await sessions.keep(session.id, who("keep"));
    cluster.kill("a");
    assertEquals((await waiting).body.holder, "w");
    assertGreaterOrEqual(clock.now() - sentMs, TTL_MS * (1 - DRIFT));
    assertLessOrEqual(clock.now() - sentMs, FREE_WITHIN_MS);
  }));

Deno.test("session ends: a candidate whose session runs out is told at once, though the node that kept it is dead", () =>
  inVirtualTime(8, 5, async ({ clock, cluster }) => {
    const { body: session } = await cluster.node("a").sessions.open({ holder: "h", ttlMs: TTL_MS }, who("open"));
    const asking = { candidate: "h", ttlMs: 600_000, waitMs: 0 };
    await cluster.node("c").elections.campaign("e", asking, who("leader"));
    const candidate = { ...asking, candidate: "x", waitMs: 60_000, session: session.id };
    const told = cluster.node("b").elections.campaign("e", candidate, who("candidate"))
      .then(() => "led", (error) => [error.code, error.facts.more.session]);
    await clock.sleep(3_000);
    const sentMs = clock.now();
    await cluster.node("a").sessions.keep(session.id, who("keep"));
    cluster.kill("a");
    assertEquals(await told, ["lost", session.id]);
    assertGreaterOrEqual(clock.now() - sentMs, TTL_MS * (1 - DRIFT));
    assertLessOrEqual(clock.now() - sentMs, FREE_WITHIN_MS);
  }));

Deno.test("session ends: nobody wants anything: the nodes that kept it see to its end, and values bound to it are gone", () =>
  inVirtualTime(9, 3, async ({ clock, cluster }) => {
    const { body: session } = await cluster.node("a").sessions.open({ holder: "h", ttlMs: TTL_MS }, who("open"));
    const put = { bytes: btoa("up"), contentType: "text/plain", session: session.id };
    await cluster.node("b").registers.put("k", put, who("put"));
    await cluster.node("b").locks.acquire("l", request("h", { session: session.id, lockDelayMs: 9_000 }), who("l"));
    await clock.sleep(FREE_WITHIN_MS);
    // As every record has it: no read here brings anything about.
    for (const id of cluster.ids) {
      const { body } = await cluster.node(id).locks.get("l", { stale: true, timeoutMs: 1_000 });
      assertEquals(body.state, "cooling", id);
      const code = await cluster.node(id).registers.get("k", { stale: true, timeoutMs: 1_000 })
        .then(() => "there", (error) => error.code);
      assertEquals(code, "not-found", id);
    }
  }));

Deno.test("session ends: the node that decided the end is gone before it freed a name: who waits there is served", () =>
  inVirtualTime(10, 5, async ({ clock, cluster }) => {
    const { sessions, locks } = cluster.node("a");
    const { body: session } = await sessions.open({ holder: "h", ttlMs: 600_000 }, who("open"));
    await locks.acquire("l", request("h", { session: session.id }), who("l"));
    const waiting = cluster.node("c").locks.acquire("l", request("w", { waitMs: 60_000 }), who("w"));
    await clock.sleep(1_000);
    cluster.network.drop(({ from, content }) => from === "a" && JSON.stringify(content).includes('"end-session"'));
    const sentMs = clock.now();
    const ending = sessions.end(session.id, who("end", { timeoutMs: 300 })).catch(() => {});
    await clock.sleep(150);
    cluster.kill("a");
    assertEquals((await waiting).body.holder, "w");
    assertLessOrEqual(clock.now() - sentMs, 3_000);
    await ending;
  }));

Deno.test("session ends: the node that decided the end is gone before it freed a name: the first that reads or tries sees none of it", () =>
  inVirtualTime(12, 5, async ({ clock, cluster }) => {
    const { sessions, locks, registers } = cluster.node("a");
    const { body: session } = await sessions.open({ holder: "h", ttlMs: 600_000 }, who("open"));
    await locks.acquire("l", request("h", { session: session.id }), who("l"));
    const put = { bytes: btoa("up"), contentType: "text/plain", session: session.id };
    await registers.put("k", put, who("k"));
    await registers.put("k2", put, who("k2"));
    cluster.network.drop(({ from, content }) => from === "a" && JSON.stringify(content).includes('"end-session"'));
    const ending = sessions.end(session.id, who("end", { timeoutMs: 300 })).catch(() => {});
    await clock.sleep(150);
    cluster.kill("a");
    const get = { stale: false, timeoutMs: 30_000 };
    const first = await Promise.all([
      cluster.node("b").registers.get("k", get).then(() => "there", (error) => error.code),
      cluster.node("c").registers.put("k2", { ...put, ifNoneMatch: ["*"] }, who("late")).catch((error) => error.code),
      cluster.node("c").registers.put("k2", { bytes: "", contentType: "a/b", ifNoneMatch: ["*"] }, who("new")).then(
        () => "new",
      ),
      cluster.node("d").locks.acquire("l", request("next"), who("next")).then(() => "granted"),
    ]);
    assertEquals(first, ["not-found", "lost", "new", "granted"]);
    await ending;
  }));

Deno.test("session ends: word of an end was lost with the node that decided it: who wants what it held finds out from the others", () =>
  inVirtualTime(15, 3, async ({ clock, cluster }) => {
    const { sessions, locks, registers } = cluster.node("a");
    const { body: session } = await sessions.open({ holder: "h", ttlMs: 3_600_000 }, who("open"));
    for (const name of ["l", "m"]) await locks.acquire(name, request("h", { session: session.id }), who(name));
    const put = { bytes: btoa("up"), contentType: "text/plain", session: session.id };
    await registers.put("k", put, who("k"));
    const waiting = cluster.node("c").locks.acquire("l", request("w", { waitMs: 600_000 }), who("w"));
    await clock.sleep(1_000);
    cluster.network.cut("a", "c");
    cluster.network.drop(({ from, content }) => from === "a" && JSON.stringify(content).includes('"end-session"'));
    const ending = sessions.end(session.id, who("end", { timeoutMs: 300 })).catch(() => {});
    await clock.sleep(150);
    cluster.kill("a");
    // By c's own record it lives for another hour.
    const sentMs = clock.now();
    assertEquals((await waiting).body.holder, "w");
    assertLessOrEqual(clock.now() - sentMs, 6_000);
    const got = await Promise.all([
      cluster.node("c").locks.acquire("m", request("next"), who("next")).then(() => "granted", (error) => error.code),
      cluster.node("c").registers.get("k", { stale: false, timeoutMs: 30_000 }).then(
        () => "there",
        (error) => error.code,
      ),
    ]);
    assertEquals(got, ["granted", "not-found"]);
    await ending;
  }));

Deno.test("session ends: word of an end was lost, and nobody waits: who tries again later has it", () =>
  inVirtualTime(16, 3, async ({ clock, cluster }) => {
    const { sessions, locks } = cluster.node("a");
    const { body: session } = await sessions.open({ holder: "h", ttlMs: 3_600_000 }, who("open"));
    await locks.acquire("l", request("h", { session: session.id }), who("l"));
    await clock.sleep(500);
    // From here on it takes the session to live for a while.
    const tried = await cluster.node("c").locks.acquire("l", request("w"), who("w1")).catch((error) => error.code);
    assertEquals(tried, "held");
    cluster.network.cut("a", "c");
    cluster.network.drop(({ from, content }) => from === "a" && JSON.stringify(content).includes('"end-session"'));
    const ending = sessions.end(session.id, who("end", { timeoutMs: 300 })).catch(() => {});
    await clock.sleep(150);
    cluster.kill("a");
    await clock.sleep(3_500);
    assertEquals((await cluster.node("c").locks.acquire("l", request("w"), who("w2"))).body.holder, "w");
    await ending;
  }));

Deno.test("session ends: a grant out of the queue counts from its answer, also of the session it is bound to", () =>
  inVirtualTime(13, 3, async ({ clock, cluster }) => {
    const { body: held } = await cluster.node("a").locks.acquire("l", request("h", { ttlMs: 600_000 }), who("held"));
    const { body: session } = await cluster.node("a").sessions.open({ holder: "w", ttlMs: TTL_MS }, who("open"));
    const sentMs = clock.now();
    const bound = request("w", { waitMs: 60_000, session: session.id });
    const waiting = cluster.node("b").locks.acquire("l", bound, who("w"));
    await clock.sleep(4_000);
    await cluster.node("a").locks.release("l", held.fence, who("release"));
    const { body } = await waiting;
    assertGreaterOrEqual(body.guaranteedForMs, 4_000);
    // Its client says nothing more, and the next waits for it.
    await cluster.node("c").locks.acquire("l", request("next", { waitMs: 60_000 }), who("next"));
    assertGreaterOrEqual(clock.now() - sentMs, body.guaranteedForMs);
  }));

Deno.test("session ends: to renew what is bound keeps its session, and counts from that", () =>
  inVirtualTime(14, 3, async ({ clock, cluster }) => {
    const { body: session } = await cluster.node("a").sessions.open({ holder: "h", ttlMs: TTL_MS }, who("open"));
    const { body: grant } = await cluster.node("a").locks.acquire("l", request("h", { session: session.id }), who("l"));
    await clock.sleep(4_000);
    const sentMs = clock.now();
    const { body } = await cluster.node("b").locks.renew("l", grant.fence, {}, who("renew"));
    await cluster.node("c").locks.acquire("l", request("next", { waitMs: 60_000 }), who("next"));
    assertGreaterOrEqual(clock.now() - sentMs, body.guaranteedForMs);
  }));

Deno.test("session ends: the node that decides an end frees at once, without the pause of those that only hear of it", () =>
  inVirtualTime(11, 3, async ({ clock, cluster }) => {
    const { body: session } = await cluster.node("a").sessions.open({ holder: "h", ttlMs: TTL_MS }, who("open"));
    for (let i = 0; i < 10; i++) {
      await cluster.node("b").locks.acquire(`l${i}`, request("h", { session: session.id }), who(`l${i}`));
    }
    const recordOf = (key: string) =>
      cluster.store("c").update(key, (record) => ({ record: null, reply: record === null ? null : record.state }));
    const hasEnded = async () => viewSession((await recordOf(`session/${session.id}`))!)?.ended?.how === "lapsed";
    const isFree = async (i: number) => viewGrants((await recordOf(`lock/l${i}`))!).state === "free";
    for (let i = 0; i < 1_000 && !await hasEnded(); i++) await clock.sleep(10);
    const endedMs = clock.now();
    const areFree = async () => (await Promise.all(Array.from({ length: 10 }, (_, i) => isFree(i)))).every(Boolean);
    for (let i = 0; i < 1_000 && !await areFree(); i++) await clock.sleep(10);
    assert(await hasEnded() && await areFree());
    assertLessOrEqual(clock.now() - endedMs, 200);
  }));

Deno.test("session ends: a keep that only its writer knows as decided is passed on by who wants what is bound", async () => {
  const clock = new VirtualClock();
  const random = seededRandomness(1);
  const run = async () => {
    const cluster = await memoryCluster(3, { clock, random });
    cluster.network.delay(() => 5);
    const of = (key: string): Caller => ({ subject: "tester", idempotencyKey: key, timeoutMs: 2_000 });
    const { body: { id } } = await cluster.node("a").sessions.open({ holder: "me", ttlMs: 2_000 }, of("open"));
    const bound = { ...request("me", { ttlMs: 2_000 }), session: id };
    await cluster.node("a").locks.acquire("x", bound, of("take"));
    await clock.sleep(500);
    cluster.kill("c");
    // b votes for it, and hears no more of it.
    const end = cluster.network.drop(({ content }) => content.type === "learn");
    await cluster.node("a").sessions.keep(id, of("keep"));
    cluster.kill("a");
    end();
    await cluster.restart("a");
    await clock.sleep(1_000);
    const wanted = request("other", { waitMs: 60_000 });
    const { body } = await cluster.node("a").locks.acquire("x", wanted, { ...of("want"), timeoutMs: 2_000 });
    assertEquals(body.holder, "other");
    cluster.close();
  };
  await clock.run(run(), 120_000);
});
