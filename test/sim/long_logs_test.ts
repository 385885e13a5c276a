/** What 100,000 commands leave of one name is as small as what the first hundred leave. */
import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import type { Op, Put } from "../../src/machine/op.ts";
import { jsonBytes } from "../../src/machine/size.ts";
import type { Command } from "../../src/paxos/message.ts";
import { FAST, KeyLog, machine } from "../machine/key_log.ts";

const ASKS: readonly Op[] = [
  { type: "acquire", holder: "h", mode: "exclusive", ttlMs: 30_000, lockDelayMs: 0, atMs: 1 },
  { type: "take", limit: 4, permits: 3, holder: "h", ttlMs: 30_000, lockDelayMs: 0, atMs: 1 },
  { type: "campaign", candidate: "h", value: "v", ttlMs: 30_000, atMs: 1 },
];

for (const ask of ASKS) {
  Deno.test(`what is asked for by ${ask.type} and released 50,000 times is as small as after the first hundred`, () => {
    let state = machine.init(FAST);
    let early = 0;
    for (let i = 1; i <= 100_000; i += 2) {
      const command = (at: number, op: Op): Command => ({ subject: "s", id: `id${at}`, born: at, op });
      const one = (at: number, op: Op) => {
        const value = { id: `a/Q3xT0pLkVb8yZr1WmNcD5A/${at}`, proposer: "a", commands: [command(at, op)] };
        const { state: next, results } = machine.applyWithResults(state, at, value);
        state = next;
        return results[0]!;
      };
      const granted = one(i, ask);
      assert(granted.outcome === "granted", granted.outcome);
      assertEquals(one(i + 1, { type: "release", fence: granted.fence, atMs: 1 }).outcome, "released");
      if (i < 200) early = jsonBytes(state);
    }
    // Only the digits of its numbers have grown.
    assertLessOrEqual(jsonBytes(state), early * 1.15);
    console.log(`${ask.type}: ${early} bytes after 200 commands, ${jsonBytes(state)} after 100,000`);
  });
}

const put = (bytes: string, more: Partial<Put>): Put => ({ type: "put", bytes, contentType: "text/plain", ...more });

Deno.test("a register written 100,000 times stays as small as after the first writes", () => {
  const log = new KeyLog();
  let most = 0;
  for (let i = 0; i < 100_000; i++) {
    log.do(put("QUJD", i % 3 === 0 ? { ttlMs: 5_000 } : {}), `subject${i % 7}`);
    if (i % 1_000 === 999) most = Math.max(most, jsonBytes(log.state));
  }
  assertEquals(log.state.revision.length > 0, true);
  assertLessOrEqual(most, 3_000, `${most} bytes`);
  console.log(`a register after 100,000 writes: ${jsonBytes(log.state)} bytes, ${most} at most`);
});
