import { assertEquals } from "@std/assert";
import { InOrder } from "./in_order.ts";

Deno.test("in order: each part whole and in its turn, the one whose turn it is at once", () => {
  const printed: string[] = [];
  const parts = new InOrder(3, (line) => printed.push(line));
  parts.print(2, "c 1");
  parts.print(0, "a 1");
  assertEquals(printed, ["a 1"]);
  parts.print(1, "b 1");
  parts.end(1);
  parts.print(2, "c 2");
  parts.print(0, "a 2");
  assertEquals(printed, ["a 1", "a 2"]);
  parts.end(0);
  assertEquals(printed, ["a 1", "a 2", "b 1", "c 1", "c 2"]);
  parts.print(2, "c 3");
  assertEquals(printed.at(-1), "c 3");
  parts.end(2);
  assertEquals(printed.length, 6);
});
