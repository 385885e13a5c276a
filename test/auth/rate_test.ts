import { assert, assertEquals } from "@std/assert";
import { RateLimiter } from "../../src/auth/rate.ts";

const RATE = { perSecond: 200, burst: 400 };

Deno.test("rate: the burst at once and not one more, then as many as time has brought", () => {
  const limiter = new RateLimiter(RATE);
  for (let i = 0; i < 400; i++) assertEquals(limiter.take("s", 1_000), 0);
  assertEquals(limiter.take("s", 1_000), 5, "a 200th of a second");
  assertEquals(limiter.take("s", 1_004), 1);
  assertEquals(limiter.take("s", 1_005), 0, "what it was told was true");
  assertEquals(limiter.take("s", 1_005), 5);
  let passed = 0;
  for (let ms = 1_005; ms <= 3_005; ms++) if (limiter.take("s", ms) === 0) passed++;
  assertEquals(passed, 400, "200 a second for two");
});

Deno.test("rate: a rest fills it up to the burst and no further; to be refused costs nothing", () => {
  const limiter = new RateLimiter(RATE);
  limiter.take("s", 0);
  let passed = 0;
  while (limiter.take("s", 1e9) === 0) passed++;
  assertEquals(passed, 400);
  for (let i = 0; i < 1_000; i++) limiter.take("s", 1e9);
  assertEquals(limiter.take("s", 1e9 + 5), 0);
});

Deno.test("rate: what one subject uses another has still", () => {
  const limiter = new RateLimiter({ perSecond: 1, burst: 1 });
  assertEquals([limiter.take("a", 0), limiter.take("a", 0), limiter.take("b", 0)], [0, 1_000, 0]);
});

Deno.test("rate: subjects remembered are bounded; forgotten is whoever rested longest, and those that ask go on being counted", () => {
  const limiter = new RateLimiter({ perSecond: 1, burst: 2 }, 3);
  limiter.take("busy", 0);
  for (let i = 0; i < 100; i++) {
    assertEquals(limiter.take(`other-${i}`, i), 0);
    if (i === 0) assertEquals(limiter.take("busy", i), 0);
  }
  // Forgotten by now, so full again: the bound is on memory, and a subject is a configured one.
  assertEquals([limiter.take("busy", 100), limiter.take("busy", 100)], [0, 0]);
  assert(limiter.take("busy", 100) > 0);
});
