/** What is left of a name that is forgotten, what it still tells, and what is never forgotten. */
import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { HISTORY_ITEMS } from "../../src/limits.ts";
import { isForgettable } from "../../src/machine/forget.ts";
import type { Op } from "../../src/machine/op.ts";
import { entriesOf } from "../../src/machine/state.ts";
import { MACHINE_OF_ALL } from "../../src/version.ts";
import { KeyLog, machine } from "./key_log.ts";

/** As nodes propose it: it raises the key, whatever version it has. */
function forget(log: KeyLog, at = log.instance + 1, more: readonly Op[] = []): void {
  const op: Op = { type: "keep-places", places: [], forget: at };
  log.decide([...more, op].map((one) => log.command(one, "a")), { machine: machine.versionFor(op) });
}

function usedLock(times: number): KeyLog {
  const log = new KeyLog(MACHINE_OF_ALL);
  for (let i = 0; i < times; i++) assertEquals(log.release(log.grant(`ci-${i}`)).outcome, "released");
  return log;
}

const put: Op = { type: "put", bytes: "eA==", contentType: "text/plain", fence: "77" };

Deno.test("forgetting: of a lock that was used often nothing is left but what must never go back", () => {
  const log = usedLock(HISTORY_ITEMS + 8);
  const before = log.state;
  assert(isForgettable(before));
  forget(log);
  const { state } = log;
  assertEquals([state.history, entriesOf(state), state.floors], [[], [], undefined]);
  assertEquals([state.revision, state.lastFence, state.kind], [before.revision, before.lastFence, "lock"]);
  assert(state.chain !== before.chain && state.chain !== undefined);
  assertLessOrEqual(JSON.stringify(state).length, 350);
  assertGreater(JSON.stringify(before).length, 4_000);
  assert(!isForgettable(state), "once is enough");
  assertGreater(Number(log.grant("next")), Number(before.lastFence));
  assertEquals(log.state.version, 4);
});

Deno.test("forgetting: a command that was applied before is never applied again, and one that was made before it is", () => {
  const log = usedLock(2);
  const old = log.ask("again", { id: "old" });
  assertEquals(log.one(old).outcome, "granted");
  log.release(log.state.lastFence);
  const late = log.ask("late", { id: "late" });
  forget(log);
  assertEquals(log.one(old).outcome, "expired-command");
  assertEquals(log.state.holders, []);
  assertEquals(log.one(late).outcome, "granted");
  assertEquals(log.one(late).outcome, "granted");
  assertEquals(log.state.holders.length, 1);
});

Deno.test("forgetting: nothing of what its proposer has not seen, and nothing by rules that do not know it", () => {
  const before = usedLock(1);
  for (const at of [before.instance, before.instance + 2]) {
    const log = usedLock(1);
    forget(log, at);
    assertEquals(log.state.history.length, 1, `${at}`);
  }
  const beside = usedLock(1);
  forget(beside, beside.instance + 1, [{ type: "force", reason: "for a test", atMs: 1 }]);
  assertEquals(beside.state.history.length, 1);
  const old = usedLock(1);
  old.decide([old.command({ type: "keep-places", places: [], forget: old.instance + 1 }, "a")]);
  assertEquals([old.state.history.length, old.state.version], [1, MACHINE_OF_ALL]);
});

Deno.test("forgetting: what is held, waited for, cooling, or has a value or a session is no name that nobody uses", () => {
  const uses: readonly ((log: KeyLog) => void)[] = [
    (log) => log.grant("me"),
    (log) => {
      log.grant("me", { lockDelayMs: 1_000 });
      log.lapse(log.hold.fence);
    },
    (log) => void log.do(put),
    (log) => void log.do({ type: "open", holder: "me", ttlMs: 1_000 }),
  ];
  for (const [i, use] of uses.entries()) {
    const log = new KeyLog(MACHINE_OF_ALL);
    use(log);
    const { chain: _, version: _v, ...before } = log.state;
    assert(!isForgettable(log.state), `${i}`);
    forget(log);
    const { chain: _c, version: _w, ...after } = log.state;
    assertEquals(after, before, `${i}`);
  }
});

Deno.test("forgetting: the fence of a register that is deleted stays, and so does the end of a session", () => {
  const register = new KeyLog(MACHINE_OF_ALL);
  register.do(put);
  register.do({ type: "delete" });
  forget(register);
  assertEquals(entriesOf(register.state), []);
  assertEquals(register.do({ ...put, fence: "76" }).outcome, "fence-too-low");

  const session = new KeyLog(MACHINE_OF_ALL);
  session.do({ type: "open", holder: "me", ttlMs: 1_000 });
  session.do({ type: "close" });
  forget(session);
  assertEquals(entriesOf(session.state), []);
  assertEquals(session.do({ type: "keep" }).outcome, "session-ended");
});
