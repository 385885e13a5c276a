import { assertEquals, assertLessOrEqual } from "@std/assert";
import { DRIFT } from "../../../src/limits.ts";
import { boundsOf, historyItem } from "../../../src/service/views/lease.ts";

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

Deno.test("boundsOf: a wait timed by a fast clock and counted on a slow one ends no later than it did", () => {
  const ttlMs = 1_000;
  for (const trueMs of [10, 10_000, 180_000, 300_000]) {
    const { waitedMs, guaranteedForMs } = boundsOf({ ttlMs }, trueMs * (1 + DRIFT));
    // When that much has gone by on the slowest clock there may be, so much true time has.
    const holderSafeUntilMs = (waitedMs + guaranteedForMs) / (1 - DRIFT);
    // Acceptors, the fastest of them, call it lapsed no sooner than this.
    assertLessOrEqual(holderSafeUntilMs, trueMs + ttlMs * (1 + DRIFT) / (1 + DRIFT), `${trueMs}`);
  }
});

Deno.test("boundsOf: the guarantee is never more than the ttl, however long the wait", () => {
  for (const waited of [0, 1, 300_000]) assertLessOrEqual(boundsOf({ ttlMs: 1_000 }, waited).guaranteedForMs, 1_000);
});
