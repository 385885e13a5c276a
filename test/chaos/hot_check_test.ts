/** The checkers of `deno task hot`, each shown a history with one lie in it. */
import { assertEquals } from "@std/assert";
import type { Effect } from "./decided.ts";
import { checkCount, checkWrites, type Observed, type Read, type Write } from "./hot_check.ts";
import { checkTurns, type DecidedGrant, type Turn } from "./hot_check_locks.ts";
import type { Told, Try } from "./hot_client.ts";

const SILENT: Told = {
  status: 200,
  code: null,
  outcome: null,
  revision: null,
  instance: null,
  born: null,
  body: null,
  text: "",
};

function tried(callMs: number, returnMs: number, told: Partial<Told> | null, born: number | null = null): Try {
  return { callMs, returnMs, url: "", born, told: told === null ? null : { ...SILENT, ...told } };
}
const done = (callMs: number, returnMs: number, revision: string, born: number | null = null) =>
  tried(callMs, returnMs, { revision }, born);
const expired = (outcome: string | null, born: number | null = null) =>
  tried(0, 1, { status: 409, code: "expired-command", outcome }, born);
const unknown = (born: number | null = null) =>
  tried(0, 1, { status: 504, code: "outcome-unknown", outcome: "unknown" }, born);
const refused = (born: number | null = null) => tried(0, 1, { status: 412, code: "precondition-failed" }, born);

function write(id: string, ...tries: Try[]): Write {
  return { id, value: `value of ${id}`, tries };
}
function effect(id: string, revision: string, at = Number(revision)): Effect {
  return { id, instance: Number(revision), revision, at };
}
function found(
  writes: Write[],
  effects: Effect[],
  more: Partial<Pick<Observed, "reads" | "viaGateway">> = {},
): string[] {
  const { wrong } = checkWrites({ writes, effects, reads: [], viaGateway: false, ...more });
  return [...wrong].map(([kind, all]) => `${kind}: ${all.join(" | ")}`);
}

Deno.test("checkWrites: a true history is left alone, and what nobody was told is counted with what came of it", () => {
  const writes = [
    write("a", done(0, 10, "1")),
    write("b", unknown(), done(20, 30, "2", 1)),
    write("c", unknown()),
    write("d", tried(0, 1, null)),
    write("e", refused()),
    write("f", done(40, 50, "4"), tried(60, 70, { status: 409, code: "expired-command", outcome: "unknown" }, 3)),
    write("g", tried(0, 1, { status: 503, code: "no-quorum", outcome: "none" })),
    // It is the retry that was done.
    write("h", tried(0, 1, { status: 503, code: "no-quorum", outcome: "none" }), done(60, 70, "5")),
  ];
  const effects = [effect("a", "1"), effect("b", "2"), effect("c", "3"), effect("f", "4"), effect("h", "5")];
  const { wrong, ...counts } = checkWrites({ writes, effects, reads: [], viaGateway: false });
  assertEquals(wrong, new Map());
  assertEquals(counts, { acknowledged: 4, refused: 2, unknown: 2, unknownApplied: 1, retries: 3, lateRepeats: 0 });
});

Deno.test("checkWrites: expired-command is found on a first try, and on a retry that says no outcome or had no born", () => {
  assertEquals(found([write("a", expired("unknown"))], []), ["expired-command on a first try: a"]);
  assertEquals(found([write("a", unknown(), expired(null, 1))], []), ["expired-command without outcome unknown: a"]);
  assertEquals(found([write("a", unknown(), expired("unknown"))], []), ["expired-command without Quorate-Born: a"]);
  // A gateway has a born of its own, and tries of its own before the one that is answered.
  assertEquals(found([write("a", unknown(), expired("unknown"))], [], { viaGateway: true }), []);
  assertEquals(found([write("a", expired("unknown"))], [], { viaGateway: true }), [
    "expired-command on a first try: a",
  ]);
  assertEquals(found([write("a", unknown(), expired("unknown", 1))], []), []);
});

Deno.test("checkWrites: a refusal of what was applied is found, also one that a retry with a born was answered", () => {
  assertEquals(found([write("a", expired(null))], [effect("a", "1")]), [
    "expired-command on a first try: a",
    "refused and applied: a: expired-command, revision 1",
  ]);
  assertEquals(found([write("a", refused())], [effect("a", "7")]), [
    "refused and applied: a: precondition-failed, revision 7",
  ]);
  assertEquals(found([write("a", unknown(), refused(1))], [effect("a", "7")]), [
    "refused and applied: a: outcome-unknown, precondition-failed, revision 7",
  ]);
  assertEquals(found([write("a", done(0, 1, "7"), refused(1))], [effect("a", "7")]), [
    "a retry with Quorate-Born was refused after all: a: 200, precondition-failed",
  ]);
  // Nobody knows what that one's first try came to, and it did without the header that would say.
  assertEquals(found([write("a", unknown(), refused())], [effect("a", "7")]), []);
});

Deno.test("checkWrites: an acknowledged write that was never decided is found, and one told another's revision", () => {
  assertEquals(found([write("a", done(0, 1, "1"))], []), ["acknowledged and not applied: a"]);
  assertEquals(found([write("a", done(0, 1, "2"))], [effect("a", "1"), effect("b", "2")]), [
    "revision of another write: a: 2, not 1",
  ]);
});

Deno.test("checkWrites: a second application is found with what it undid, unless it was asked for and late", () => {
  const others = [write("x", done(2, 3, "2")), write("y", unknown())];
  const between = [effect("x", "2"), effect("y", "3")];
  const history = (again: Effect, ...tries: Try[]) =>
    found([write("a", done(0, 1, "1"), ...tries), ...others], [effect("a", "1"), ...between, again]);
  const undone = "acknowledged and undone: x by a";
  const [near, far] = [effect("a", "4"), effect("a", "90")];
  assertEquals(history(far), ["applied twice though sent once: a: revisions 1 and 90", undone]);
  assertEquals(history(near, done(9, 10, "4")), ["applied twice: a: revisions 1 and 4", undone]);
  assertEquals(history(far, done(9, 10, "90", 1)), ["applied twice: a: revisions 1 and 90", undone]);
  // Within the last 32 commands even a retry without a born is exact.
  assertEquals(history(effect("a", "33"), done(9, 10, "33")), ["applied twice: a: revisions 1 and 33", undone]);
  assertEquals(history(far, done(9, 10, "90")), []);
  // One retry brings one application, not two.
  const thrice = found([write("a", done(0, 1, "1"), done(9, 10, "90"))], [effect("a", "1"), far, effect("a", "200")]);
  assertEquals(thrice, ["applied twice: a: revisions 90 and 200"]);
});

Deno.test("checkWrites: a write acknowledged before another was sent comes before it", () => {
  const effects = [effect("late", "1"), effect("early", "2")];
  const early = write("early", done(0, 10, "2"));
  assertEquals(found([early, write("late", done(11, 20, "1"))], effects), [
    "applied before an older one: late, and then early",
  ]);
  assertEquals(found([early, write("late", done(9, 20, "1"))], effects), []);
});

Deno.test("checkWrites: a read that shows what was not decided, or what was overwritten before it began, is found", () => {
  const writes = [write("a", done(0, 10, "1")), write("b", done(11, 20, "2"))];
  const effects = [effect("a", "1"), effect("b", "2")];
  const read = (read: Read) => found(writes, effects, { reads: [read] });
  assertEquals(read({ callMs: 15, revision: "1", value: "value of a" }), []);
  assertEquals(read({ callMs: 21, revision: "2", value: "value of b" }), []);
  assertEquals(read({ callMs: 21, revision: "1", value: "value of a" }), ["read too old: 1 after 2"]);
  assertEquals(read({ callMs: 21, revision: "2", value: "value of a" }), [
    "read and not decided: value of a at revision 2",
  ]);
});

Deno.test("checkCount: a counter below what was acknowledged, or above that and all unknown, is found", () => {
  const writes = [write("a", done(0, 1, "1")), write("b", done(2, 3, "2")), write("c", unknown())];
  const effects = [effect("a", "1"), effect("b", "2")];
  const kinds = (value: number) => {
    const checked = checkWrites({ writes, effects, reads: [], viaGateway: false });
    checkCount(checked.wrong, value, checked);
    return [...checked.wrong.keys()];
  };
  assertEquals([kinds(1), kinds(2), kinds(3), kinds(4)], [["miscounted"], [], [], ["miscounted"]]);
});

function granted(callMs: number, returnMs: number, fence: string, guaranteedForMs = 1_000): Try {
  return tried(callMs, returnMs, { body: { fence, ttlMs: 1_010, waitedMs: 0, guaranteedForMs } });
}
function released(callMs: number, outcome: string, fence: string): Try {
  return tried(callMs, callMs + 1, { outcome, body: { outcome, fence } });
}
function decided(holder: string, fence: string, how: Partial<DecidedGrant> = {}): [string, DecidedGrant] {
  return [fence, { holder, fence, command: `command of ${holder}`, isReleased: true, isHeld: false, ...how }];
}
function foundIn(turns: Turn[], ...grants: [string, DecidedGrant][]): string[] {
  const { wrong } = checkTurns(turns, new Map(grants));
  return [...wrong].map(([kind, all]) => `${kind}: ${all.join(" | ")}`);
}
const turn = (id: string, acquire: Try[], release: Try[] = []): Turn => ({ id, acquire, release });

Deno.test("checkTurns: turns one after another are left alone", () => {
  const turns = [
    turn("a", [granted(0, 10, "1")], [released(20, "released", "1")]),
    turn("b", [granted(0, 30, "2")], [released(40, "released", "2")]),
    // It could not be given back, and lapsed.
    turn("c", [granted(40, 50, "3")], [released(2_000, "ended", "3")]),
    turn("d", [granted(60, 1_050, "4")]),
    turn("e", [tried(0, 1, { status: 409, code: "held" })]),
    turn("f", [tried(0, 1, null)]),
  ];
  const grants = [decided("a", "1"), decided("b", "2"), decided("c", "3", { isReleased: false }), decided("d", "4")];
  // One that came when its node had given up was given back at once.
  assertEquals(foundIn(turns, ...grants, decided("e", "5"), decided("f", "6", { isReleased: false })), []);
});

Deno.test("checkTurns: a fence of two, one that grows smaller, and two holders at a time are found", () => {
  const given = (callMs: number, fence: string) => [released(callMs, "released", fence)];
  assertEquals(
    foundIn(
      [turn("a", [granted(0, 1, "1")], given(2, "1")), turn("b", [granted(0, 5, "1")], given(6, "1"))],
      decided("a", "1"),
    ),
    ["told a grant that was not decided: b: 1", "one fence for two: 1: b, a"],
  );
  const both = [decided("a", "1"), decided("b", "2")];
  assertEquals(
    foundIn(
      [turn("a", [granted(10, 11, "1")], given(12, "1")), turn("b", [granted(0, 5, "2")], given(6, "2"))],
      ...both,
    ),
    ["a later grant has the lower fence: 1, then 2"],
  );
  assertEquals(
    foundIn([turn("a", [granted(0, 5, "1")]), turn("b", [granted(0, 900, "2")], given(950, "2"))], ...both),
    ["two hold it: fences 1 and 2"],
  );
});

Deno.test("checkTurns: an acquire that was refused and granted, granted twice, or too old on its first try is found", () => {
  const held = turn("a", [tried(0, 1, { status: 409, code: "held" })]);
  assertEquals(foundIn([held], decided("a", "1", { isReleased: false })), ["refused and granted: a: fence 1"]);
  assertEquals(foundIn([], decided("a", "1"), decided("a", "2")), ["granted twice: a (command of a): fences 1 and 2"]);
  assertEquals(foundIn([turn("a", [expired("unknown")])]), ["expired-command on a first try: a"]);
});

Deno.test("checkTurns: a release that was told what did not happen is found", () => {
  const answered = (outcome: string, how: Partial<DecidedGrant>) =>
    foundIn([turn("a", [granted(0, 1, "1")], [released(2, outcome, "1")])], decided("a", "1", how));
  assertEquals(answered("released", { isReleased: false }), ["told released and not released: a: 1"]);
  assertEquals(answered("released", { isHeld: true }), ["told the end of a grant that stands: a: released, 1"]);
  assertEquals(answered("ended", {}), ["told ended and was released: a: 1"]);
  assertEquals(answered("ended", { isReleased: false }), []);
  const missing = tried(2, 3, { status: 404, code: "not-found" });
  assertEquals(foundIn([turn("a", [granted(0, 1, "1")], [missing])], decided("a", "1")), [
    "told never granted: a at 2",
  ]);
});
