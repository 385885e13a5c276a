import { assertEquals, assertLessOrEqual } from "@std/assert";
import { DRIFT } from "../../src/limits.ts";
import { boundsOf, historyItem } from "../../src/replica/lease_views.ts";

Deno.test("lease views: the history has its times as text, and a reason only where somebody gave one", () => {
  const ended = { fence: "1025", holder: "me", subject: "s", fromMs: 0, toMs: 1_500, end: "forced" } as const;
  const shown = {
    fence: "1025",
    holder: "me",
    subject: "s",
    from: "1970-01-01T00:00:00.000Z",
    to: "1970-01-01T00:00:01.500Z",
    end: "forced",
  };
  assertEquals(historyItem(ended) as unknown, shown);
  assertEquals(historyItem({ ...ended, reason: "stuck" }) as unknown, { ...shown, reason: "stuck" });
});

Deno.test("lease views: a wait that a fast clock timed is no longer than it was, and neither is the guarantee after it", () => {
  const ttlMs = 1_000;
  for (const trueMs of [10, 10_000, 300_000]) {
    // As fast as clocks may be: what is left after the wait must not be more than the ttl, which began at its end.
    const { guaranteedForMs } = boundsOf({ ttlMs }, trueMs * (1 + DRIFT), trueMs * (1 + DRIFT));
    assertLessOrEqual(guaranteedForMs - trueMs, ttlMs * (1 - DRIFT));
  }
});
