import { assertEquals } from "@std/assert";
import { type DecidedSend } from "../../src/leases/own_sends.ts";
import { earlyAnswer, type HandOver } from "../../src/leases/early_answer.ts";
import { EARLY_LEFT_MS, HANDOVER_TTL_MS } from "../../src/limits.ts";

/** The hand-over was made at instance 7. */
const HOLD = { fence: `${7 * 1024 + 1}`, ttlMs: 60_000, lockDelayMs: 0, unconfirmed: true };
const LEASE_MS = HANDOVER_TTL_MS;
/** So much may have passed before its caller is told: 9,900 ms are told, and 3,000 must be left. */
const OLDEST_MS = 6_900;

function handOver(more: Partial<HandOver> = {}): HandOver {
  const decided = [{ instance: 5, sentMs: 1_000 }];
  return { hold: HOLD, renews: true, isOfSet: false, cameMs: 1_000, nowMs: 1_500, decided, ...more };
}

function since(...decided: readonly DecidedSend[]): number | null {
  return earlyAnswer(handOver({ decided, nowMs: 2_500 }))?.sinceMs ?? null;
}

Deno.test("early answer: it counts from a command of this process that was decided up to the hand-over, for ten seconds at most", () => {
  assertEquals(earlyAnswer(handOver()), { sinceMs: 1_000, leaseMs: LEASE_MS });
  assertEquals(earlyAnswer(handOver({ hold: { ...HOLD, ttlMs: 8_000 } })), { sinceMs: 1_000, leaseMs: 8_000 });
});

Deno.test("early answer: of commands up to the hand-over's own instance the one that was sent last counts", () => {
  assertEquals(since({ instance: 5, sentMs: 1_000 }, { instance: 6, sentMs: 2_000 }), 2_000);
  assertEquals(since({ instance: 6, sentMs: 2_000 }, { instance: 7, sentMs: 1_900 }), 2_000);
  assertEquals(since({ instance: 7, sentMs: 2_200 }), 2_200, "in the very value that handed it over");
});

Deno.test("early answer: what was decided after the hand-over says nothing of it", () => {
  assertEquals(since({ instance: 8, sentMs: 2_000 }), null);
  assertEquals(since({ instance: 5, sentMs: 1_000 }, { instance: 8, sentMs: 2_000 }), 1_000);
});

Deno.test("early answer: what was sent before the request came is no command of its time", () => {
  assertEquals(since({ instance: 5, sentMs: 999 }), null);
  assertEquals(since(), null);
});

Deno.test("early answer: three seconds of the guarantee are left, or it waits for the confirmation", () => {
  const at = (nowMs: number, hold: HandOver["hold"] = HOLD) => earlyAnswer(handOver({ nowMs, hold })) !== null;
  assertEquals(EARLY_LEFT_MS, 3_000);
  assertEquals([at(1_000 + OLDEST_MS), at(1_000 + OLDEST_MS + 1)], [true, false]);
  // A short ttl has no more to give.
  assertEquals([at(1_000, { ...HOLD, ttlMs: 3_031 }), at(1_000, { ...HOLD, ttlMs: 3_030 })], [true, false]);
});

for (
  const [what, more] of [
    ["a caller that did not say that it renews", { renews: false }],
    ["a grant of a set", { isOfSet: true }],
    ["a grant that is bound to a session", { hold: { ...HOLD, session: "5b2f0c9d41e84a7f9c3e6d8a7b1f2e40" } }],
    ["a grant with a lock delay, which one that was never confirmed would not have", {
      hold: { ...HOLD, lockDelayMs: 1 },
    }],
    ["a grant that is confirmed", { hold: { ...HOLD, unconfirmed: false } }],
  ] as const
) {
  Deno.test(`early answer: none for ${what}`, () => {
    assertEquals(earlyAnswer(handOver(more)), null);
  });
}
