import { assertEquals } from "@std/assert";
import { Answers } from "./answers.ts";
import { acquire, others, plant, planted, put, release, SUBJECT } from "./planted.ts";

const KEY = "kv/x";

/** `a` is decided first, then so many others, and then `a` again, in the instance chosen at `10 + count + 10` ms. */
function twice(count: number, ask: (answers: Answers) => void): readonly string[] {
  const answers = new Answers(planted(KEY, [[["a", put("a")]], ...others(count), [["a", put("a")]]]), SUBJECT);
  ask(answers);
  return answers.faults();
}

const AGAIN = "kv/x: a took effect in 1 and again in 42, 401 commands later; it was ";

Deno.test("Answers: a command that was sent once, or with its born, takes effect once", () => {
  assertEquals(twice(400, (answers) => answers.tried(KEY, "a", 0, false)), [`${AGAIN}sent once without born`]);
  const born = (answers: Answers) => [0, 25].forEach((ms) => answers.tried(KEY, "a", ms, true));
  assertEquals(twice(400, born), [`${AGAIN}sent again with its born`]);
  assertEquals(twice(400, () => {}), [`${AGAIN}a node's own`]);
  assertEquals(twice(20, born), []);
});

Deno.test("Answers: a request that was sent again without born may count as new, but not before it was", () => {
  const again = (atMs: number) => (answers: Answers) => [0, atMs].forEach((ms) => answers.tried(KEY, "a", ms, false));
  assertEquals(twice(400, again(415)), []);
  assertEquals(twice(400, again(425)), [`${AGAIN}sent again without born`]);
});

Deno.test("Answers: what was told as done was decided, with that number", () => {
  const answers = new Answers(planted(KEY, [[["a", put("a")]]]), SUBJECT);
  for (const id of ["a", "b"]) answers.tried(KEY, id, 0, false);
  answers.done(KEY, "a", "1025");
  assertEquals(answers.faults(), []);
  answers.done(KEY, "a", "1026");
  answers.done(KEY, "b", "1025");
  assertEquals(answers.faults(), [
    "kv/x: a was told 1026, and no decided value says so of it",
    "kv/x: b was told 1025, and no decided value says so of it",
  ]);
});

Deno.test("Answers: a write that was refused was not done, before or after", () => {
  const refusedAt = (ms: number) => {
    const answers = new Answers(planted(KEY, [...others(1), [["a", put("a")]]]), SUBJECT);
    answers.tried(KEY, "a", 0, false);
    answers.refused(KEY, "a", "precondition-failed", ms);
    return answers.faults();
  };
  const what = "kv/x: a, sent once without born, was told precondition-failed, and";
  assertEquals(refusedAt(30), [`${what} had taken effect in 2`]);
  assertEquals(refusedAt(15), [`${what} took effect after that, in 2`]);
});

Deno.test("Answers: who was told that a lock is held does not hold it afterwards, unless it asks again", () => {
  const [lock, id] = ["lock/x", "b"];
  const heldAnyway = (isAskedAgain: boolean) => {
    const log = planted(lock, [[["a", acquire("a")]], [[id, acquire(id, true)]]]);
    const answers = new Answers(log, SUBJECT);
    answers.tried(lock, id, 0, false);
    answers.refused(lock, id, "held", 25);
    assertEquals(answers.faults(), []);
    if (isAskedAgain) answers.tried(lock, id, 26, false);
    plant(log, lock, 3, [["a-x", release("1025")]]);
    return answers.faults();
  };
  const fault = "lock/x: b, sent once without born, was told held, and holds fence 3073 after that";
  assertEquals([heldAnyway(false), heldAnyway(true)], [[fault], []]);
});
