import { assertEquals } from "@std/assert";
import { type Gone, leftBehind, notTogether } from "./left_behind.ts";
import { acquire, plant, type Planted, planted, release, SUBJECT } from "./planted.ts";

const KEY = "lock/x";
/** Instances are chosen at 10, 20, 30 … ms. */
const STEPS: readonly (readonly Planted[])[] = [[["a", acquire("a")]], [["b", acquire("b", true)]], [], []];

function left(id: string, atMs: number, stayMs: number, more: readonly (readonly Planted[])[] = []): readonly string[] {
  const gone: Gone = { what: "went away", keys: [KEY], id, atMs, stayMs };
  return leftBehind(planted(KEY, [...STEPS, ...more]), SUBJECT, [gone], 0);
}

Deno.test("leftBehind: a hold or a place that stays too long is found, for ever or by how much", () => {
  assertEquals(left("a", 20, 15), ["lock/x: a went away, and its fence 1025 stayed for ever"]);
  assertEquals(left("b", 20, 15), ["lock/x: b went away, and its place stayed for ever"]);
  assertEquals(left("a", 20, 15, [[["a-x", release("1025")]]]), [
    "lock/x: a went away, and its fence 1025 stayed 15 ms too long",
  ]);
  assertEquals(left("a", 20, 30, [[["a-x", release("1025")]]]), []);
  assertEquals(left("c", 20, 15), []);
});

Deno.test("leftBehind: what a place becomes has its own time, and what was derived from the request is its own", () => {
  assertEquals(left("b", 20, 30, [[["a-x", release("1025")]]]), [
    "lock/x: b went away, and its fence 5121 stayed for ever",
  ]);
  const log = planted(KEY, [[["a~1", acquire("a")]]]);
  const gone = { what: "was told held", keys: [KEY], id: "a", atMs: 20, stayMs: 5 };
  assertEquals(leftBehind(log, SUBJECT, [gone], 0), ["lock/x: a was told held, and its fence 1025 stayed for ever"]);
  assertEquals(leftBehind(log, SUBJECT, [{ ...gone, id: "a~1~2" }, { ...gone, id: "" }], 0), []);
});

Deno.test("leftBehind: who may come back keeps what was confirmed, and whoever was told of a fence gives it back", () => {
  const log = planted(KEY, [...STEPS, [["a-x", release("1025")]]]);
  const gone = { what: "went away", keys: [KEY], atMs: 20, stayMs: 5, mayComeBack: true } as const;
  assertEquals(leftBehind(log, SUBJECT, [{ ...gone, id: "a" }], 0), []);
  assertEquals(leftBehind(log, SUBJECT, [{ ...gone, id: "b" }], 0), [
    "lock/x: b went away, and its fence 5121 stayed for ever",
    "lock/x: b went away, and its place stayed 25 ms too long",
  ]);
  const told = { what: "was told lost", keys: [KEY], id: "a", atMs: 20, stayMs: 5 };
  assertEquals(leftBehind(log, SUBJECT, [{ ...told, told: [`${KEY} 1025`] }], 0), []);
  assertEquals(leftBehind(log, SUBJECT, [{ ...told, told: ["lock/y 1025"] }], 0).length, 1);
});

Deno.test("leftBehind: what a try that was given up is granted after the answer may lapse by itself, if nobody confirms it", () => {
  const ended = [["b-x", release("5121")]] as const;
  const queued = planted(KEY, [...STEPS, [["a-x", release("1025")]], [], [], [], [], ended]);
  const confirmed = planted(KEY, [[["b", acquire("b")]], [], [], [], [], [], [], [], [], [["b-x", release("1025")]]]);
  const gone = { what: "was told held", keys: [KEY], id: "b", stayMs: 15, lateMs: 60 };
  const late = (log: typeof queued, atMs: number, more = {}) =>
    leftBehind(log, SUBJECT, [{ ...gone, atMs, ...more }], 0).length;
  assertEquals([late(queued, 40), late(queued, 60)], [0, 1]);
  assertEquals([late(queued, 40, { lateMs: 0 }), late(confirmed, 5)], [1, 1]);
});

Deno.test("leftBehind: what may still be there when it is looked at last is not said to stay for ever", () => {
  const gone = { what: "went away", keys: [KEY], id: "b", atMs: 20, stayMs: 15 };
  const seen = (untilMs: number) => leftBehind(planted(KEY, STEPS), SUBJECT, [gone], 0, untilMs).length;
  assertEquals([seen(35), seen(36)], [0, 1]);
});

Deno.test("leftBehind: nothing is asked of anybody while everything fails", () => {
  const log = planted(KEY, [...STEPS, [["a-x", release("1025")]]]);
  const gone = { what: "went away", keys: [KEY], id: "a", atMs: 20, stayMs: 15 };
  assertEquals([leftBehind(log, SUBJECT, [gone], 34).length, leftBehind(log, SUBJECT, [gone], 35).length], [1, 0]);
});

Deno.test("notTogether: all at once or none", () => {
  const log = planted(KEY, [[["a", acquire("a")]], [["a-x", release("1025")]]]);
  plant(log, "lock/y", 1, [["a", acquire("a")]]);
  const told = (fence: string) => [{ id: "a", fences: [[KEY, "1025"], ["lock/y", fence]] as const }];
  assertEquals(notTogether(log, told("1025")), []);
  assertEquals(notTogether(log, told("1026")), [
    "a was told lock/x,1025,lock/y,1026, and not all of that was ever held",
  ]);
  const late = planted(KEY, [[["a", acquire("a")]], [["a-x", release("1025")]]]);
  plant(late, "lock/y", 1, []);
  plant(late, "lock/y", 2, []);
  plant(late, "lock/y", 3, [["a", acquire("a")]]);
  assertEquals(notTogether(late, told("3073")), [
    "a was told lock/x,1025,lock/y,3073, and never held all of that at once",
  ]);
});
