import { assertEquals } from "@std/assert";
import { Recent } from "../../src/watch/recent.ts";

Deno.test("recent: what changed after a number, each key once, in order of its latest change", () => {
  const recent = new Recent(10);
  assertEquals(recent.since(0), []);
  for (const key of ["a", "b", "a", "c"]) recent.note(key);
  assertEquals(recent.since(0), [{ key: "b", n: 2 }, { key: "a", n: 3 }, { key: "c", n: 4 }]);
  assertEquals(recent.since(2), [{ key: "a", n: 3 }, { key: "c", n: 4 }]);
  assertEquals(recent.since(4), []);
});

Deno.test("recent: a number of the future, or from before what is remembered, is not known", () => {
  const recent = new Recent(2);
  for (const key of ["a", "b", "a", "c"]) recent.note(key);
  // b's change, the 2nd, is forgotten: who saw the 1st only would miss it.
  assertEquals([recent.since(1), recent.since(5)], [null, null]);
  assertEquals(recent.since(2), [{ key: "a", n: 3 }, { key: "c", n: 4 }]);
});
