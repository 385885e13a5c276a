import { assert, assertEquals } from "@std/assert";
import { BACKOFF_MAX_MS, LOSER_WAIT_MIN_MS } from "../../src/limits.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import type { Transport } from "../../src/ports.ts";
import { COLD_RTT_MS, Timing } from "../../src/replica/timing.ts";

function timing(rtts: Readonly<Record<string, number>>, random = 0.5, n = 5, me = "a", unknownMs?: number): Timing {
  const transport: Transport = {
    send: () => Promise.reject(new Error("nothing is sent")),
    rttMs: (to) => rtts[to] ?? 0,
    close: () => {},
  };
  const members = "abcdefghi".slice(0, n).split("");
  return new Timing(me, new QuorumSystem(members), transport, { next: () => random, id: () => "x" }, unknownMs);
}

const WORLD = { b: 78, c: 136, d: 173, e: 174 };

Deno.test("timing: the round trip is the one to the farthest of the nearest classic quorum", () => {
  assertEquals(timing(WORLD).rttMs(), 136);
  assertEquals(timing({ b: 10, c: 200 }, 0.5, 3).rttMs(), 10);
  // A node that does not vote takes one member more.
  assertEquals(timing({ a: 30, b: 10, c: 200 }, 0.5, 3, "v").rttMs(), 30);
});

Deno.test("timing: alone, or with nobody met yet, it is the floor, not 0", () => {
  assertEquals(timing({}, 0.5, 1).rttMs(), 5);
  assertEquals(timing({}).rttMs(), 5);
});

Deno.test("timing: of who serves a shared store, whom it has not met yet is taken to be far, and whom it has is nearer", () => {
  assertEquals(timing({}, 0.5, 5, "a", COLD_RTT_MS).rttMs(), COLD_RTT_MS);
  assertEquals(timing({ c: 10 }, 0.5, 3, "a", COLD_RTT_MS).rttMs(), 10);
});

Deno.test("timing: a loser waits two round trips, and never less than the least", () => {
  assertEquals(timing(WORLD).loserMs(), 272);
  assertEquals(timing({}).loserMs(), LOSER_WAIT_MIN_MS);
});

Deno.test("timing: back-off is uniform from 0, doubles, and has a bound", () => {
  assertEquals(timing(WORLD, 0).backOffMs(9), 0);
  assertEquals(timing(WORLD, 0.5).backOffMs(0), 68);
  assertEquals(timing(WORLD, 0.5).backOffMs(1), 136);
  for (const attempt of [3, 10, 64, 2_000]) {
    assertEquals(timing(WORLD, 0.5).backOffMs(attempt), BACKOFF_MAX_MS / 2);
  }
});

Deno.test("timing: patience grows with the attempts and is bounded, whatever their number", () => {
  const { patienceMs } = { patienceMs: (k: number) => timing({}).patienceMs(k) };
  assertEquals([0, 1, 2].map(patienceMs), [100, 200, 400]);
  for (const attempt of [4, 64, 2_000]) assertEquals(patienceMs(attempt), BACKOFF_MAX_MS);
  assert(timing(WORLD).patienceMs(0) >= timing(WORLD).rttMs());
});

Deno.test("timing: patience has room for both round trips of a ballot, however slow they are", () => {
  for (const rtt of [300, 600, 900]) {
    const { patienceMs } = { patienceMs: (k: number) => timing({ b: rtt, c: rtt, d: rtt, e: rtt }).patienceMs(k) };
    for (const attempt of [0, 1, 64]) assertEquals(patienceMs(attempt), 4 * rtt);
  }
});
