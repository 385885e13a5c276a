import { assertEquals } from "@std/assert";
import { Slowness } from "../../src/replica/slowness.ts";

/** A hundred commits a second; of each second so many are slow. */
function told(slow: readonly number[]): readonly string[] {
  const lines: string[] = [];
  const slowness = new Slowness((line) => lines.push(line));
  [...slow, 0].forEach((count, second) => {
    for (let i = 0; i < 100; i++) slowness.note(second * 1_000 + i * 10, i < count ? 251 : 250);
  });
  return lines;
}

const TEN = Array<number>(10).fill(2);
const SLOW = "the store is slow: commits took up to 251 ms, and above 250 ms for 10 s";

Deno.test("slowness: told after ten slow seconds on end, once, and once when it is over", () => {
  assertEquals(told(TEN), [SLOW]);
  assertEquals(told([...TEN, 2, 2, 2]), [SLOW]);
  assertEquals(told([...TEN, 0, 0]), [SLOW, "the store is fast again"]);
});

Deno.test("slowness: nine seconds, a good one between, or one commit in a hundred are no news", () => {
  assertEquals(told(TEN.slice(1)), []);
  assertEquals(told([...TEN.slice(1), 0, ...TEN.slice(1)]), []);
  assertEquals(told(Array(30).fill(1)), []);
});

Deno.test("slowness: seconds without commits say nothing", () => {
  const lines: string[] = [];
  const slowness = new Slowness((line) => lines.push(line));
  for (let second = 0; second < 20; second += 2) slowness.note(second * 1_000, 300);
  assertEquals(lines, []);
  slowness.note(20_000, 300);
  assertEquals([lines.length, slowness.isSlow], [1, true]);
});
