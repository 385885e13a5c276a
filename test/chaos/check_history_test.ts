/** The checkers can fail: one lie at a time, planted in a history that is otherwise true. */
import { assert, assertEquals } from "@std/assert";
import { contradictions, type End, endFaults, lostWrites } from "./check_history.ts";
import { History, type Operation } from "./history.ts";

type Told = Partial<Operation> & Pick<Operation, "op" | "outcome">;

function at(callMs: number, returnMs: number, told: Told): Operation {
  return { process: "p", key: "x", fence: null, node: "a", tries: 1, ...told, callMs, returnMs };
}

const granted = (callMs: number, returnMs: number, fence: string, guaranteedUntilMs: number) =>
  at(callMs, returnMs, { op: "acquire", outcome: "granted", fence, guaranteedUntilMs });
const released = (callMs: number, returnMs: number, fence: string, outcome = "released") =>
  at(callMs, returnMs, { op: "release", outcome, fence });
const renewed = (callMs: number, returnMs: number, fence: string, guaranteedUntilMs: number) =>
  at(callMs, returnMs, { op: "renew", outcome: "renewed", fence, guaranteedUntilMs });
const read = (callMs: number, returnMs: number, revision: string, holders: string[], lastFence: string, node = "a") =>
  at(callMs, returnMs, { op: "read", outcome: "read", node, state: { revision, holders, lastFence } });

/** Two holders after each other; one renews, both give back; reads in between. */
const TRUE: readonly Operation[] = [
  granted(0, 10, "1025", 1_000),
  read(11, 15, "1025", ["1025"], "1025"),
  renewed(20, 30, "1025", 1_500),
  released(40, 50, "1025"),
  read(51, 55, "2049", [], "1025"),
  at(52, 53, { op: "acquire", outcome: "held" }),
  granted(60, 70, "3073", 1_060),
  at(62, 90, { op: "acquire", outcome: "unknown" }),
  released(80, 95, "3073", "unknown"),
  read(100, 110, "4097", [], "3073"),
  read(100, 111, "4097", [], "3073", "b"),
];
const ENDS: readonly End[] = [
  { lock: "x", fence: "1025", end: "released" },
  { lock: "x", fence: "3073", end: "released" },
];

function onlyFault(faults: readonly string[], pattern: RegExp): void {
  assertEquals(faults.length, 1, faults.join("\n"));
  assert(pattern.test(faults[0]!), faults[0]);
}

Deno.test("history: a true one has no fault", () => {
  assertEquals(contradictions(TRUE), []);
  assertEquals(lostWrites(TRUE), []);
  assertEquals(endFaults(TRUE, ENDS), []);
});

Deno.test("history: a fence granted twice, and one below a returned one", () => {
  onlyFault(contradictions([...TRUE, granted(62, 2_010, "3073", 2_500)]), /fence 3073 was granted twice/);
  const sunk = contradictions([...TRUE, granted(2_000, 2_010, "3072", 2_500)]);
  assert(sunk.some((fault) => /3072 was granted after 3073/.test(fault)), sunk.join("\n"));
});

Deno.test("history: a second holder while the first is guaranteed, by its grant or by its renewal", () => {
  const hold = granted(0, 10, "1", 1_000);
  onlyFault(contradictions([hold, granted(20, 900, "2", 2_000)]), /2 was answered at 900.0 ms, while 1 was held/);
  assertEquals(contradictions([hold, granted(20, 1_100, "2", 2_000)]), []);
  onlyFault(contradictions([hold, renewed(500, 510, "1", 1_500), granted(20, 1_100, "2", 2_000)]), /until 1500.0 ms/);
  // Also with another grant in between that is over sooner.
  onlyFault(
    contradictions([hold, granted(20, 1_010, "2", 1_020), renewed(500, 510, "1", 9_000)]),
    /2 was answered at 1010.0 ms, while 1 was held/,
  );
});

Deno.test("history: a guarantee that was not kept, a renewal after the end, a release that nobody asked for", () => {
  const hold = granted(0, 10, "1", 1_000);
  onlyFault(contradictions([hold, at(20, 30, { op: "renew", outcome: "lost", fence: "1" })]), /1 was lost at 30.0 ms/);
  onlyFault(
    contradictions([hold, released(20, 30, "1", "taken-over")]),
    /taken-over at 30.0 ms, guaranteed until 1000/,
  );
  assertEquals(contradictions([hold, released(20, 1_001, "1", "ended")]), []);
  onlyFault(
    contradictions([hold, released(20, 30, "1"), renewed(40, 50, "1", 60)]),
    /renewed at 50.0 ms, after it was/,
  );
  onlyFault(contradictions([hold, released(20, 30, "1", "already-released")]), /nobody released fence 1 before/);
  // A release is remembered for four instances: a node cut off for longer has it applied again. 1025 is of instance 1.
  const late = { ...released(20, 30, "1025", "already-released") };
  const others = (fence: string) => contradictions([granted(0, 10, "1025", 1_000), granted(22, 25, fence, 900), late]);
  onlyFault(others(`${1_024 * 5 + 1}`), /nobody released fence 1025 before/);
  assertEquals(others(`${1_024 * 6 + 1}`), []);
  // A second try may find what the first has done.
  assertEquals(contradictions([hold, { ...released(20, 30, "1", "already-released"), tries: 2 }]), []);
});

Deno.test("history: an answer that nobody has given cause for", () => {
  for (const outcome of ["internal", "forced", "404", "not-found"]) {
    onlyFault(contradictions([released(0, 1, "1", outcome)]), new RegExp(`release of 1 was answered ${outcome}`));
  }
  onlyFault(contradictions([at(0, 1, { op: "acquire", outcome: "invalid-request" })]), /invalid-request/);
});

Deno.test("history: one revision, two states", () => {
  onlyFault(contradictions([...TRUE, read(100, 112, "4097", ["9"], "3073", "c")]), /4097.*but c tells holders 9/);
});

Deno.test("lost writes: a grant, a hold, a release that a later read does not show", () => {
  const hold = granted(0, 10, "1025", 1_000);
  onlyFault(lostWrites([hold, read(20, 30, "5", ["7"], "7"), released(12, 19, "1025")]), /no grant above 7, 1025/);
  onlyFault(lostWrites([hold, read(20, 30, "2000", [], "1025", "c")]), /c at 20.0 ms does not show fence 1025/);
  // It may have ended, or be about to.
  assertEquals(lostWrites([hold, read(20, 1_001, "2000", [], "1025")]), []);
  assertEquals(lostWrites([hold, released(25, 40, "1025", "unknown"), read(20, 30, "2000", [], "1025")]), []);
  onlyFault(
    lostWrites([hold, released(12, 19, "1025"), read(20, 30, "2000", ["1025"], "1025")]),
    /shows fence 1025, which was released before/,
  );
});

Deno.test("lost writes: a read that takes back what another told; overlapping ones may tell either", () => {
  onlyFault(
    lostWrites([read(0, 10, "9", [], "8"), read(11, 20, "8", [], "8", "b")]),
    /b at 11.0 ms is at revision 8, 9/,
  );
  assertEquals(lostWrites([read(0, 10, "9", [], "8"), read(9, 20, "8", [], "8", "b")]), []);
});

Deno.test("ends: what the node says ended otherwise, was never released, or is nowhere", () => {
  const end = (fence: string, how: string): End => ({ lock: "x", fence, end: how });
  onlyFault(endFaults(TRUE, [end("1025", "lapsed"), ENDS[1]!]), /1025 was released, but it ended lapsed/);
  onlyFault(endFaults(TRUE, [ENDS[0]!]), /3073 is neither held nor ended/);
  onlyFault(endFaults(TRUE, [ENDS[0]!, end("3073", "forced")]), /3073 ended forced/);
  onlyFault(endFaults([granted(0, 1, "5", 9)], [end("5", "released")]), /nobody released fence 5/);
  assertEquals(endFaults([granted(0, 1, "5", 9)], [end("5", "lapsed")]), []);
  assertEquals(endFaults([granted(0, 1, "5", 9), read(2, 3, "5", ["5"], "5")], []), []);
});

Deno.test("history: its lines are JSON, one per operation, the mix in front", () => {
  const history = new History();
  for (const operation of TRUE) history.add(operation);
  const lines = history.lines("kill").trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(lines, TRUE.map((operation) => ({ mix: "kill", ...operation })));
});
