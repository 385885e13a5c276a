import { assertEquals } from "@std/assert";
import { historyItem } from "../../src/replica/lease_views.ts";

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
