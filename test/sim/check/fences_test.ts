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

Deno.test("fences: a read that says less than was returned, and a grant below what was read, are found", () => {
  const grants = [grant("x", 0, 1, 5n), grant("x", 10, 11, 9n)];
  assertEquals(fenceFaults(grants, [grant("x", 2, 3, 5n), grant("x", 9, 12, 5n), grant("y", 0, 1, 0n)]), []);
  assertEquals(fenceFaults(grants, [grant("x", 12, 13, 5n)]), ["x: fence 5 was read after 9 had been returned"]);
  assertEquals(fenceFaults(grants, [grant("x", 2, 3, 9n)]), ["x: fence 9 was granted after 9 had been returned"]);
});
