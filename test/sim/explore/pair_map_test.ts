import { assertEquals, assertThrows } from "@std/assert";
import { PairMap } from "./pair_map.ts";

Deno.test("pair map: what differs in its key or in either number is another", () => {
  const map = new PairMap<string, number | null>();
  const keys = [["x", 1, 2], ["y", 1, 2], ["x", 2, 1], ["x", 1, 0], ["x", 1, -1], ["x", 0, 2 ** 26 - 2]] as const;
  keys.forEach(([key, a, b], i) => {
    assertEquals(map.get(key, a, b), undefined);
    map.set(key, a, b, i);
  });
  assertEquals(keys.map(([key, a, b]) => map.get(key, a, b)), [0, 1, 2, 3, 4, 5]);
  map.set("x", 1, 2, null);
  assertEquals(map.get("x", 1, 2), null);
  assertThrows(() => map.set("x", 0, 2 ** 26 - 1, 1), RangeError);
  assertThrows(() => map.set("x", 2 ** 26, 0, 1), RangeError);
});
