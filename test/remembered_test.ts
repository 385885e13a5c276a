import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { Remembered } from "../src/remembered.ts";

Deno.test("remembered: never more than its bound, and never without what was set last", () => {
  const max = 1_000;
  const remembered = new Remembered<number>(max);
  for (let i = 0; i < 5_000; i++) {
    remembered.set(`${i}`, i);
    // Set again and again, it is never among the oldest.
    remembered.set("kept", i);
    assertLessOrEqual([...remembered.values()].length, max);
  }
  assertEquals(remembered.get("kept"), 4_999);
  assertEquals([remembered.get("4999"), remembered.get("4100")], [4_999, 4_100]);
  assertEquals(remembered.get("3900"), undefined);
});

Deno.test("remembered: a small one forgets one at a time, the oldest", () => {
  const remembered = new Remembered<string>(2);
  for (const key of ["a", "b", "a", "c"]) remembered.set(key, key);
  assertEquals(["a", "b", "c"].map((key) => remembered.get(key)), ["a", undefined, "c"]);
  remembered.delete("a");
  assert(remembered.get("a") === undefined);
});
