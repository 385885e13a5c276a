/** The machine's side of sessions: in a session's own log, and in the logs of what is bound to one. */
import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { ENDED_SESSIONS_PER_KEY, NAMES_PER_SESSION, ROW_MAX_BYTES } from "../../src/limits.ts";
import type { EndSession, Op, Result } from "../../src/machine/op.ts";
import { jsonBytes } from "../../src/machine/size.ts";
import { isFree, sessionsIn, viewGrants, viewRegister, viewSession } from "../../src/machine/view.ts";
import { contentOf, KeyLog, machine, randomness } from "./key_log.ts";

const OPEN: Op = { type: "open", holder: "client", ttlMs: 10_000 };

function opened(subject = "s"): KeyLog {
  const log = new KeyLog();
  assertEquals(log.do(OPEN, subject, "open"), { outcome: "opened", ttlMs: 10_000 });
  return log;
}

function bind(log: KeyLog, key: string, subject = "s"): Result {
  return log.do({ type: "bind", key }, subject);
}

const names = (log: KeyLog) => viewSession(log.state)!.names.map(([key]) => key);
const leases = (log: KeyLog) => machine.leases(log.state).map(({ id }) => id);

function ended(session: string, how: EndSession["how"] = "lapsed"): Op {
  return { type: "end-session", session, instance: 7, how, atMs: 9_000 };
}

function end(log: KeyLog, session: string, how?: EndSession["how"]): Result {
  return log.do(ended(session, how), "node");
}

Deno.test("session: opening is one lease; keeping it and binding to it begin that lease anew", () => {
  const log = opened();
  const first = machine.leases(log.state);
  assertEquals(first.map(({ id, ttlMs }) => [id, ttlMs]), [["session", 10_000]]);
  assertEquals(log.do({ type: "keep" }), { outcome: "session-kept", ttlMs: 10_000 });
  const [kept] = machine.leases(log.state);
  assert(kept!.by !== first[0]!.by);
  assertEquals(bind(log, "lock/x"), { outcome: "bound", ttlMs: 10_000 });
  assert(machine.leases(log.state)[0]!.by !== kept!.by);
  assertEquals(names(log), ["lock/x"]);
});

Deno.test("session: keeping it shows to no reader; opening, another name and the end do", () => {
  const log = opened();
  const revisions = [log.state.revision];
  const note = () => revisions.push(log.state.revision);
  log.do({ type: "keep" });
  note();
  bind(log, "lock/x");
  note();
  bind(log, "lock/x");
  note();
  log.do({ type: "close" });
  note();
  assertEquals(revisions.map((revision, i) => i > 0 && revision === revisions[i - 1]), [
    false,
    true,
    false,
    true,
    false,
  ]);
});

Deno.test("session: it is its subject's; for another it is as if there were none, and nothing of theirs happens", () => {
  const log = opened();
  const before = JSON.stringify({ ...contentOf(log.state), window: "" });
  for (const op of [OPEN, { type: "keep" }, { type: "bind", key: "lock/x" }, { type: "close" }] as const) {
    assertEquals(log.do(op, "stranger"), { outcome: "no-session" }, op.type);
  }
  assertEquals(JSON.stringify({ ...contentOf(log.state), window: "" }), before);
  const never = new KeyLog();
  for (const op of [{ type: "keep" }, { type: "bind", key: "lock/x" }, { type: "close" }] as const) {
    assertEquals(never.do(op), { outcome: "no-session" }, op.type);
  }
});

Deno.test("session: its end is final, by its owner or by a claim, and every later command is told so", () => {
  for (const how of ["closed", "lapsed"] as const) {
    const log = opened();
    bind(log, "lock/x");
    if (how === "closed") assertEquals(log.do({ type: "close" }), { outcome: "closed" });
    else log.lapse("session");
    assertEquals(viewSession(log.state)?.ended, { how, instance: log.instance });
    assertEquals(leases(log), []);
    for (const op of [{ type: "keep" }, { type: "bind", key: "lock/y" }, { type: "close" }] as const) {
      assertEquals(log.do(op), { outcome: "session-ended" }, op.type);
    }
    // The opening repeated is the first result again, and brings nothing back.
    assertEquals(log.do(OPEN, "s", "open"), { outcome: "opened", ttlMs: 10_000 });
    assertEquals([viewSession(log.state)?.ended?.how, names(log)], [how, ["lock/x"]]);
  }
});

Deno.test("session: a claim of a lease that was renewed since ends nothing", () => {
  const log = opened();
  const old = log.lease("session");
  log.do({ type: "keep" });
  log.decide([], { claims: [old] });
  assertEquals(viewSession(log.state)?.ended, null);
  log.lapse("session");
  assertEquals(viewSession(log.state)?.ended?.how, "lapsed");
  log.lapse("session", viewSession(log.state)!.by);
  assertEquals(viewSession(log.state)?.ended?.instance, log.instance - 1, "the first end stays");
});

Deno.test("session: what it keeps and what collides with that: a batch keeps first, and ends after", () => {
  const log = new KeyLog();
  const order = machine.order([
    log.command({ type: "close" }, "s", "1"),
    log.command({ type: "bind", key: "lock/x" }, "s", "2"),
    log.command({ type: "keep" }, "s", "3"),
  ]);
  assertEquals(order.map(({ op }) => op.type), ["bind", "keep", "close"]);
});

Deno.test("session: so many names and no more, bytes counted too; a name it has is no further one", () => {
  const log = opened();
  for (let i = 0; i < NAMES_PER_SESSION; i++) assertEquals(bind(log, `lock/${i}`).outcome, "bound");
  assertEquals(bind(log, "lock/more"), { outcome: "too-large" });
  assertEquals(bind(log, "lock/0").outcome, "bound");
  assertEquals([names(log).length, names(log).at(-1)], [NAMES_PER_SESSION, "lock/0"]);
  const wide = opened();
  let count = 0;
  while (bind(wide, `lock/${`${count}`.padEnd(512, '"')}`).outcome === "bound") count++;
  assert(count > 20 && count < NAMES_PER_SESSION, `${count}`);
  assertLessOrEqual(jsonBytes(wide.state), ROW_MAX_BYTES);
});

Deno.test("session: a name is taken out only as it was last bound", () => {
  const log = opened();
  bind(log, "lock/x");
  const [old] = viewSession(log.state)!.names;
  bind(log, "lock/x");
  assertEquals(log.do({ type: "unbind", names: [old!] }, "node"), { outcome: "unbound" });
  assertEquals(names(log), ["lock/x"], "somebody is about to be granted it");
  log.do({ type: "unbind", names: viewSession(log.state)!.names }, "node");
  assertEquals(names(log), []);
});

Deno.test("session: 10,000 names one after another do not fill it, and its row stays small", () => {
  const log = opened();
  for (let i = 0; i < 10_000; i++) {
    if (bind(log, `lock/${i}`).outcome === "bound") continue;
    log.do({ type: "unbind", names: viewSession(log.state)!.names.slice(0, 128) }, "node");
    assertEquals(bind(log, `lock/${i}`).outcome, "bound", `${i}`);
    assertLessOrEqual(jsonBytes(log.state), ROW_MAX_BYTES);
  }
  assertEquals(names(log).at(-1), "lock/9999");
});

Deno.test("session: what is bound has no lease of its own; its place has one, and what is handed over until confirmed", () => {
  const log = new KeyLog();
  const fence = log.grant("h", { session: "S" });
  assertEquals(leases(log), []);
  log.decide([], { claims: [{ id: `f:${fence}`, by: log.hold.by }] });
  assertEquals(log.holders, ["h"], "so nobody can claim it");
  log.acquire("w", { wait: "a", session: "T", id: "w" });
  assertEquals(leases(log), [`p:${machine.placeId("s", "w")}`]);
  assertEquals(sessionsIn(log.state), ["S", "T"]);
  log.release(fence);
  const next = log.hold.fence;
  assertEquals([log.holders, log.hold.session, leases(log)], [["w"], "T", [`f:${next}`]]);
  assertEquals(log.renew(next).outcome, "renewed");
  assertEquals(leases(log), []);
  assertEquals(log.renew(next, 5_000), { outcome: "is-bound", fence: next });
  assertEquals(log.hold.ttlMs, 30_000);
});

Deno.test("session: its end frees holds and places bound to it, and nothing else; the next in line is served", () => {
  const log = new KeyLog();
  const fence = log.grant("h", { session: "S" });
  log.acquire("w1", { wait: "a", session: "S" });
  log.acquire("w2", { wait: "a", session: "T" });
  log.acquire("w3", { wait: "a", session: "S" });
  log.acquire("w4", { wait: "a" });
  assertEquals(end(log, "S"), { outcome: "freed", count: 3 });
  assertEquals([log.holders, log.waiters], [["w2"], ["w4"]]);
  const [item] = log.state.history;
  assertEquals([item?.fence, item?.end, item?.toMs], [fence, "session", 9_000]);
  assertEquals(log.release(fence), { outcome: "taken-over", fence });
  assertEquals(log.renew(fence), { outcome: "lost", fence });
  const before = JSON.stringify({ ...contentOf(log.state), window: "" });
  assertEquals(end(log, "S"), { outcome: "freed", count: 0 });
  assertEquals(JSON.stringify({ ...contentOf(log.state), window: "" }), before, "once more changes nothing");
});

Deno.test("session: after a lapse what had a lock delay cools for the longest of them, after an end by its owner not", () => {
  for (const [how, state] of [["lapsed", "cooling"], ["closed", "free"]] as const) {
    const log = new KeyLog();
    log.grant("h1", { session: "S", mode: "shared", lockDelayMs: 4_000 });
    log.grant("h2", { session: "S", mode: "shared", lockDelayMs: 9_000 });
    log.grant("h3", { session: "S", mode: "shared" });
    end(log, "S", how);
    const view = viewGrants(log.state);
    assertEquals([view.state, view.cooling?.ttlMs], [state, state === "free" ? undefined : 9_000]);
    assertEquals(log.acquire("next").outcome, how === "lapsed" ? "cooling" : "granted");
    assertEquals(isFree(log.state, { mode: "exclusive" }, new Set(["cooling"])), how === "lapsed");
  }
});

Deno.test("session: a grant, a place or a value that comes after its end is refused", () => {
  const log = new KeyLog();
  end(log, "S");
  assertEquals(log.acquire("h", { session: "S" }), { outcome: "session-ended" });
  assertEquals(log.acquire("w", { session: "S", wait: "a" }), { outcome: "session-ended" });
  assertEquals(log.do({ type: "campaign", candidate: "c", ttlMs: 1, atMs: 0, session: "S" }).outcome, "session-ended");
  assertEquals(viewGrants(log.state).state, "free");
  const register = new KeyLog();
  end(register, "S");
  const put: Op = { type: "put", bytes: "", contentType: "a/b", session: "S", fence: "9" };
  assertEquals(register.do(put), { outcome: "session-ended" });
  assertEquals([viewRegister(register.state).value, register.state.register], [null, undefined]);
});

Deno.test("session: a value ends with it; put anew without it, it stays", () => {
  const log = new KeyLog();
  const put = (session?: string): Op => ({
    type: "put",
    bytes: "aGk=",
    contentType: "a/b",
    ...(session === undefined ? {} : { session }),
  });
  log.do(put("S"));
  const { revision } = log.state;
  log.do(put("S"));
  assertEquals(log.state.revision, revision, "who puts the same again changes nothing");
  assertEquals([leases(log), sessionsIn(log.state)], [[], ["S"]]);
  log.do(put());
  assert(log.state.revision !== revision);
  assertEquals(end(log, "S"), { outcome: "freed", count: 0 });
  assert(viewRegister(log.state).value !== null);
  log.do(put("T"));
  assertEquals(end(log, "T"), { outcome: "freed", count: 1 });
  assertEquals(viewRegister(log.state).value, null);
});

Deno.test("session: a value cannot live by a ttl and by a session", () => {
  const op = { type: "put", bytes: "", contentType: "a/b", session: "S", ttlMs: 1_000 } as const;
  assertEquals(new KeyLog().do(op), { outcome: "unknown-op" });
});

Deno.test("session: its commands are for its own log, and end-session for every other", () => {
  const log = opened();
  assertEquals(end(log, "S"), { outcome: "unknown-op" });
  assertEquals(log.acquire("h"), { outcome: "unknown-op" });
  assertEquals(log.do({ type: "force", reason: "r", atMs: 0 }), { outcome: "unknown-op" });
  const lock = new KeyLog();
  lock.grant("h");
  for (const op of [OPEN, { type: "keep" }, { type: "bind", key: "k" }, { type: "close" }] as const) {
    assertEquals(lock.do(op), { outcome: "unknown-op" }, op.type);
  }
});

Deno.test("session: the widest queue of what is bound stays in its row when all of it is served, and when its sessions end", () => {
  const session = (i: number) => `${i}`.padStart(32, "0");
  for (const how of ["served", "ended"] as const) {
    const log = new KeyLog();
    const fence = log.grant("first", { session: session(0) });
    let count = 0;
    const wide = () => ({ wait: "a", mode: "shared", session: session(count + 1), metadata: '"'.repeat(256) }) as const;
    while (log.acquire(`${count}`.padEnd(128, "\\"), wide()).outcome === "queued") count++;
    assert(count > 30, `${count}`);
    if (how === "served") log.release(fence);
    for (let i = 0; how === "ended" && i < count; i++) end(log, session(i));
    assertLessOrEqual(jsonBytes(log.state), ROW_MAX_BYTES, how);
    for (const { fence } of log.state.holders) {
      log.decide([log.command({ type: "renew", fence })], { id: `node/${"r".repeat(22)}/${9_999_999}` });
    }
    assertLessOrEqual(jsonBytes(log.state), ROW_MAX_BYTES, how);
    assert(log.holders.length > 0, how);
  }
});

Deno.test("session: a repeated request that is bound must say the same session", () => {
  const log = new KeyLog();
  log.grant("h", { id: "k", session: "S" });
  for (let i = 0; i < 100; i++) log.do({ type: "leave", place: "none", atMs: 0 });
  assertEquals(log.acquire("h", { id: "k", session: "S" }).outcome, "granted");
  assertEquals(log.acquire("h", { id: "k", session: "T" }), { outcome: "idempotency-mismatch" });
  assertEquals(log.acquire("h", { id: "k" }), { outcome: "idempotency-mismatch" });
});

for (const seed of [1, 2, 3]) {
  Deno.test(`session: random histories ${seed}: nothing bound to a session whose end was told is granted or kept`, () => {
    const next = randomness(seed);
    const below = (n: number) => Math.floor(next() * n);
    const log = new KeyLog();
    const gone: string[] = [];
    let sessions = 0;
    let freed = 0;
    for (let step = 0; step < 3_000; step++) {
      const recent = `S${Math.max(0, sessions - below(4))}`;
      const session = next() < 0.7 ? { session: recent } : {};
      const what = below(10);
      if (what < 5) {
        const mode = next() < 0.5 ? "shared" : "exclusive";
        const wait = next() < 0.6 ? { wait: "a" } : {};
        const result = log.acquire(`h${step}`, { mode, lockDelayMs: below(2) * 1_000, ...wait, ...session });
        const isGone = "session" in session && gone.slice(-ENDED_SESSIONS_PER_KEY).includes(recent);
        assertEquals(result.outcome === "session-ended", isGone, `${step}`);
      } else if (what < 7 && log.state.holders.length > 0) {
        log.release(log.state.holders[below(log.state.holders.length)]!.fence);
      } else if (what === 7 && machine.leases(log.state).length > 0) {
        log.lapse(machine.leases(log.state)[below(machine.leases(log.state).length)]!.id);
      } else if (what === 8 && log.state.holders.length > 0) {
        log.renew(log.hold.fence);
      } else if (what === 9) {
        const result = end(log, recent, next() < 0.5 ? "lapsed" : "closed");
        if (result.outcome === "freed") freed += result.count;
        gone.push(...gone.splice(0).filter((id) => id !== recent), recent);
        sessions += below(3);
      }
      for (const id of gone.slice(-ENDED_SESSIONS_PER_KEY)) {
        assert(!sessionsIn(log.state).includes(id), `${step}: ${id}`);
      }
      assertLessOrEqual(log.state.endedSessions?.length ?? 0, ENDED_SESSIONS_PER_KEY);
      // Nobody waits for what is free.
      const { holders, cooling, queue } = log.state;
      assert(holders.length > 0 || cooling !== null || queue.length === 0, `${step}`);
    }
    assert(freed > 20, `${freed} ended with their session`);
    assertLessOrEqual(jsonBytes(log.state), ROW_MAX_BYTES);
  });
}
