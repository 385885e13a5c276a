import { assert, assertEquals } from "@std/assert";
import { History } from "./history.ts";
import { percentile, table, verdict } from "./report.ts";
import type { MixResult } from "./run_mix.ts";

const GOOD: MixResult = {
  mix: "pause",
  operations: 5_000,
  calmPerSecond: 250,
  grants: 1_000,
  unknown: 3,
  counts: { kills: 0, pauses: 4, partitions: 0, rollbacks: 0, fullDisks: 0 },
  links: { carried: 9, lostRequests: 0, lostResponses: 0, delayed: 0, repeated: 0 },
  holderPauses: 6,
  success: { definite: 1_999, asked: 2_000 },
  heal: { writable: [10, 20, 30], granted: [10, 20, 1_000], faults: [] },
  lost: [],
  contradictions: [],
  fencedViolations: [],
  unfencedViolations: ["x: fence 1 wrote 1 over 1"],
  refusedWrites: 2,
  disk: null,
  history: new History(),
};

Deno.test("verdict: a good run exits with 0, and says what the control lost", () => {
  const { lines, exitCode } = verdict([GOOD]);
  assertEquals(exitCode, 0);
  assertEquals(lines, [
    "control pause: without fence checks 1 updates were lost, with them 0; 2 late accesses refused, 6 holders paused",
  ]);
});

Deno.test("verdict: each kind of violation exits with 1, also beside a void mix", () => {
  for (const kind of ["lost", "contradictions", "fencedViolations"] as const) {
    const { lines, exitCode } = verdict([{ ...GOOD, [kind]: ["this line"] }, { ...GOOD, calmPerSecond: 1 }]);
    assertEquals(exitCode, 1, kind);
    assert(lines.includes("  this line"), kind);
  }
});

Deno.test("verdict: void where it was too slow before the faults, or the control lost nothing", () => {
  assertEquals(verdict([{ ...GOOD, calmPerSecond: 99.9 }]).exitCode, 2);
  assertEquals(verdict([{ ...GOOD, unfencedViolations: [] }]).exitCode, 2);
  // Also if no holder was ever paused.
  assertEquals(verdict([{ ...GOOD, unfencedViolations: [], holderPauses: 0 }]).exitCode, 2);
  // Where no holder is to be paused there is nothing to lose.
  assertEquals(verdict([{ ...GOOD, mix: "kill", unfencedViolations: [], holderPauses: 0 }]).exitCode, 0);
});

Deno.test("verdict: aims that are missed are told", () => {
  const said = (result: MixResult) => verdict([result]).lines.join("\n");
  assert(
    /aim missed pause: writable again after 2001 ms/.test(said({ ...GOOD, heal: { ...GOOD.heal, writable: [2_001] } })),
  );
  const down: MixResult = { ...GOOD, mix: "minority-down", holderPauses: 0 };
  assert(/aim met minority-down: 1999 of 2000/.test(said(down)));
  assert(/aim missed minority-down: 1997 of 2000/.test(said({ ...down, success: { definite: 1_997, asked: 2_000 } })));
});

Deno.test("table: one row per mix, and their sum", () => {
  const lines = table([GOOD, { ...GOOD, mix: "kill", holderPauses: 0 }]).split("\n");
  assertEquals(lines.length, 5);
  assertEquals(new Set(lines.map((line) => line.length)).size, 1);
  const cells = (line: string) => line.split("|").slice(1, -1).map((cell) => cell.trim());
  assertEquals(cells(lines[2]!).slice(0, 8), ["pause", "5000", "250", "1000", "3", "0", "10", "0"]);
  assertEquals(cells(lines[4]!).slice(0, 8), ["all", "10000", "", "2000", "6", "0", "14", "0"]);
  assertEquals(cells(lines[2]!).slice(-3), ["20/30", "20/1000", "99.950"]);
});

Deno.test("percentile: of few, of many, of none", () => {
  assertEquals([percentile([3, 1, 2], 0.5), percentile([3, 1, 2], 0.99), percentile([], 0.5)], [2, 3, 0]);
  assertEquals(percentile(Array.from({ length: 1_000 }, (_, i) => i + 1), 0.99), 990);
});
