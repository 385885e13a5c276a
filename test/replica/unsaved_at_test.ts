import { assertEquals } from "@std/assert";
import { LAGGING_MAX_KEYS } from "../../src/limits.ts";
import { UnsavedAt } from "../../src/replica/unsaved_at.ts";

function unsaved(last: number, saved: number, run = "r1") {
  return { run, last, saved };
}

Deno.test("unsaved at a peer: told again is what its process had not written when another one speaks", () => {
  const at = new UnsavedAt();
  assertEquals(at.heard("r1"), []);
  for (const [i, key] of ["k", "l", "m", "n"].entries()) assertEquals(at.learned(key, 2, unsaved(i + 1, 0)), []);
  assertEquals(at.learned("k", 3, undefined), [], "written meanwhile, as this answer says");
  assertEquals(at.learned("m", 3, unsaved(5, 2)), [], "by this one all up to 2 is");
  assertEquals(at.heard("r1"), []);
  assertEquals(at.heard("r2"), ["n", "m"]);
  assertEquals(at.heard("r1"), []);
});

Deno.test("unsaved at a peer: an answer of its next process tells of the loss, and of its own", () => {
  const at = new UnsavedAt();
  at.learned("k", 2, unsaved(7, 6));
  assertEquals(at.learned("l", 2, unsaved(1, 0, "r2")), ["k"]);
  assertEquals(at.heard("r3"), ["l"]);
});

Deno.test("unsaved at a peer: an older answer that comes late settles nothing newer", () => {
  const at = new UnsavedAt();
  at.learned("k", 3, unsaved(2, 1));
  at.learned("k", 2, undefined);
  assertEquals(at.heard("r2"), ["k"]);
});

Deno.test("unsaved at a peer: an older answer that comes late takes nothing newer for written", () => {
  const at = new UnsavedAt();
  at.learned("k", 3, unsaved(3, 0));
  at.learned("k", 2, unsaved(1, 0));
  assertEquals(at.learned("l", 2, unsaved(4, 2)), []);
  assertEquals(at.heard("r2"), ["k", "l"]);
});

Deno.test("unsaved at a peer: of more names than it keeps, the oldest are left to their next use", () => {
  const at = new UnsavedAt();
  for (let i = 1; i <= LAGGING_MAX_KEYS + 5; i++) at.learned(`k${i}`, 2, unsaved(i, 0));
  const kept = at.heard("r2");
  assertEquals([kept.length, kept[0]], [LAGGING_MAX_KEYS, "k6"]);
});
