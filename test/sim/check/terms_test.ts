import { assertEquals } from "@std/assert";
import { Terms } from "./terms.ts";

Deno.test("terms: a term told again is in order, of a second leader it is a fault; elections count apart", () => {
  const terms = new Terms();
  terms.told("x", "1", "a");
  terms.told("x", "1", "a");
  terms.told("x", "2", "b");
  terms.told("y", "1", "b");
  assertEquals(terms.faults(), []);
  terms.told("x", "1", "b");
  assertEquals(terms.faults(), ["x: term 1 was a's, then b's"]);
});
