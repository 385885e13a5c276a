import { assertEquals } from "@std/assert";
import { fenceFaults, type GrantEvent } from "./fences.ts";

const grant = (lock: string, calledMs: number, returnedMs: number, fence: bigint): GrantEvent => ({
  lock,
  calledMs,
  returnedMs,
  fence,
});

Deno.test("fences: overlapping calls may be answered in any order, other locks count apart", () => {
  assertEquals(
    fenceFaults([grant("x", 0, 10, 2n), grant("x", 5, 8, 1n), grant("x", 11, 12, 3n), grant("y", 20, 21, 1n)]),
    [],
  );
});

Deno.test("fences: a fence twice, and one below a returned one, are found", () => {
  assertEquals(fenceFaults([grant("x", 0, 1, 7n), grant("x", 0, 1, 7n)]), ["x: fence 7 was granted twice"]);
  assertEquals(fenceFaults([grant("x", 0, 1, 7n), grant("x", 2, 3, 6n)]), [
    "x: fence 6 was granted after 7 had been returned",
  ]);
});
