import { assertEquals } from "@std/assert";
import { seededRandomness } from "../../src/testing/seeded.ts";

Deno.test("seeded randomness: streams of one seed are their own", () => {
  const numbers = (stream: number) => {
    const random = seededRandomness(3, stream);
    return [random.next(), random.next()];
  };
  assertEquals(numbers(1), numbers(1));
  assertEquals(new Set([0, 1, 2, 3].flatMap(numbers)).size, 8);
});
