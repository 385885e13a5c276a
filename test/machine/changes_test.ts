import { assertEquals } from "@std/assert";
import { changesOf, occupiedOf } from "../../src/machine/changes.ts";
import type { Op } from "../../src/machine/op.ts";
import type { Command, Value } from "../../src/paxos/message.ts";
import { KeyLog } from "./key_log.ts";

/** What one value changed, of all that is counted. */
function changed(log: KeyLog, commands: readonly Command[], more: Partial<Value> = {}) {
  const before = log.state;
  log.decide(commands, more);
  return changesOf(before, log.state, { id: "a/n/1", proposer: "a", commands, ...more });
}

const NOTHING = { granted: 0, lapsed: 0, forced: 0, isForgotten: false, modeTo: null };

Deno.test("changes: a grant, a refusal, a renewal, a release and a hand-over out of the queue", () => {
  const log = new KeyLog();
  assertEquals(changed(log, [log.ask("one")]), { ...NOTHING, granted: 1 });
  const { fence } = log.state.holders[0]!;
  assertEquals(changed(log, [log.ask("two")]), NOTHING);
  assertEquals(changed(log, [log.command({ type: "renew", fence })]), NOTHING);
  assertEquals(changed(log, [log.ask("three", { wait: "b" })]), NOTHING);
  assertEquals(changed(log, [log.command({ type: "release", fence, atMs: 1 })]), { ...NOTHING, granted: 1 });
});

Deno.test("changes: several shared grants in one value are as many", () => {
  const log = new KeyLog();
  const shared = ["a", "b", "c"].map((holder) => log.ask(holder, { mode: "shared" }));
  assertEquals(changed(log, shared), { ...NOTHING, granted: 3 });
  const force: Op = { type: "force", reason: "why", atMs: 1 };
  assertEquals(changed(log, [log.command(force)]), { ...NOTHING, forced: 3 });
});

Deno.test("changes: a lease that ran out is one lapse; a place, a cooling period and one renewed meanwhile are none", () => {
  const log = new KeyLog();
  log.acquire("one", { lockDelayMs: 5_000 });
  log.acquire("two", { wait: "b" });
  const [hold, place] = [log.state.holders[0]!, log.state.queue[0]!];
  const renewed = { id: `f:${hold.fence}`, by: "an older value" };
  assertEquals(changed(log, [], { claims: [renewed] }), NOTHING);
  assertEquals(changed(log, [], { claims: [{ id: `p:${place[0]}`, by: place[7] }] }), NOTHING);
  const lapse = { id: `f:${hold.fence}`, by: hold.by };
  assertEquals(changed(log, [], { claims: [lapse] }), { ...NOTHING, lapsed: 1 });
  assertEquals(changed(log, [], { claims: [{ id: "cooling", by: log.state.cooling!.by }] }), NOTHING);
});

Deno.test("changes: a value with a ttl that nobody put again lapses, one that is deleted does not", () => {
  const put: Op = { type: "put", bytes: "", contentType: "text/plain", ttlMs: 1_000 } as Op;
  const log = new KeyLog();
  assertEquals(changed(log, [log.command(put)]), NOTHING);
  const claim = { id: "value", by: log.state.register!.value!.lease!.by };
  assertEquals(changed(log, [], { claims: [claim] }).lapsed, 1);
  log.do(put);
  assertEquals(changed(log, [log.command({ type: "delete" })]), NOTHING);
});

Deno.test("changes: another mode is told once, and only of a value that changes it", () => {
  const log = new KeyLog();
  assertEquals(changed(log, [], { nextMode: { kind: "classic", coordinator: "b" } }).modeTo, "classic");
  assertEquals(changed(log, [], { nextMode: { kind: "classic", coordinator: "c" } }).modeTo, null);
});

Deno.test("changes: a name is forgotten once, by the value that drops its past, and not by one that came too late", () => {
  const log = new KeyLog();
  log.release(log.grant("one"));
  const forget = (at: number) => changed(log, [log.command({ type: "keep-places", places: [], forget: at })]);
  assertEquals(changed(log, [log.command({ type: "keep-places", places: [] })]), NOTHING);
  assertEquals(forget(log.instance), NOTHING);
  assertEquals(forget(log.instance + 1), { ...NOTHING, isForgotten: true });
  assertEquals(forget(log.instance + 1), NOTHING);
});

Deno.test("occupied: null where nobody holds, waits or lives", () => {
  const log = new KeyLog();
  assertEquals(occupiedOf(log.state), null);
  const fence = log.grant("one");
  log.acquire("two", { wait: "b" });
  const first = log.state.queue[0]![0];
  assertEquals(occupiedOf(log.state), { held: 1, waiting: 1, firstHold: fence, firstWaiter: first, isSession: false });
  const session = new KeyLog();
  session.do({ type: "open", holder: "x", ttlMs: 1_000 });
  assertEquals(occupiedOf(session.state)?.isSession, true);
  session.do({ type: "close" });
  assertEquals(occupiedOf(session.state), null);
});
