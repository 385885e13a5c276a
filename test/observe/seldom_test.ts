import { assertEquals } from "@std/assert";
import { Seldom } from "../../src/observe/seldom.ts";

Deno.test("seldom: at once, then once a minute with how many there were", () => {
  let now = 0;
  const told: number[] = [];
  const seldom = new Seldom(() => now, (count) => told.push(count));
  for (const atMs of [0, 1, 59_999, 60_000, 60_001, 500_000]) {
    now = atMs;
    seldom.note();
  }
  assertEquals(told, [1, 3, 2]);
});
