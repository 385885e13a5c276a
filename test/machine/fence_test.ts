import { assert, assertEquals, assertThrows } from "@std/assert";
import { compareDecimals, isDecimal, numberOf, wasPossible } from "../../src/machine/fence.ts";

Deno.test("the k-th grant of instance I is I·1024 + k, also beyond the doubles", () => {
  assertEquals(numberOf(1, 1), "1025");
  assertEquals(numberOf(1, 1024), "2048");
  assertEquals(numberOf(2, 1), "2049");
  assertEquals(numberOf(Number.MAX_SAFE_INTEGER, 1), (9007199254740991n * 1024n + 1n).toString());
});

Deno.test("an instance has no room for grant 0 or 1025", () => {
  assertThrows(() => numberOf(1, 0));
  assertThrows(() => numberOf(1, 1025));
});

Deno.test("decimals compare as numbers, not as text", () => {
  assert(compareDecimals("9999", "10000") < 0);
  assert(compareDecimals("10001", "10000") > 0);
  assertEquals(compareDecimals("10000", "10000"), 0);
});

Deno.test("only canonical, bounded decimals are fences", () => {
  for (const good of ["0", "7", "1025", "9".repeat(20)]) assert(isDecimal(good), good);
  for (const bad of ["", "-1", "01", "1.5", "1e3", " 1", "1;", "9".repeat(21), 7, null]) assert(!isDecimal(bad));
});

Deno.test("a fence below the first instance or above the last grant was never granted", () => {
  assert(!wasPossible("1024", "5000"));
  assert(wasPossible("1025", "5000"));
  assert(wasPossible("5000", "5000"));
  assert(!wasPossible("5001", "5000"));
  assert(!wasPossible("1025", "0"));
});
