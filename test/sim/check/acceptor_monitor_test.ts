import { assert, assertEquals } from "@std/assert";
import type { AcceptorRecord, Ballot, Certificate, VoteKind } from "../../../src/paxos/mod.ts";
import { QuorumSystem } from "../../../src/paxos/mod.ts";
import { AcceptorMonitor } from "./acceptor_monitor.ts";
import { quorumRow } from "./quorum_table.ts";

const STANDING: Ballot = [0, "", 0];
const FIRST: Ballot = [1, "a/n", 0];

function record(more: Partial<AcceptorRecord> = {}): AcceptorRecord {
  const base = {
    epoch: 0,
    instance: 1,
    state: { mode: { kind: "prepare" } },
    stateHash: "h1",
    decidedBy: null,
  } as const;
  return { ...base, promised: STANDING, vote: null, ...more };
}

function vote(id: string, ballot = STANDING, kind: VoteKind = "fast", proposer = "a"): Partial<AcceptorRecord> {
  return { promised: ballot, vote: { ballot, kind, value: { id, proposer, commands: [] } } };
}

function decided(valueId: string, more: Partial<Certificate> = {}): Partial<AcceptorRecord> {
  const decidedBy: Certificate = {
    instance: 1,
    ballot: STANDING,
    kind: "inclusive",
    valueId,
    acceptors: ["a", "b"],
    ...more,
  };
  return { instance: 2, stateHash: `after ${valueId}`, decidedBy };
}

/** Members a, b, c; each step a node and what it commits. */
function watch(...steps: readonly (readonly [string, Partial<AcceptorRecord>])[]): AcceptorMonitor {
  const monitor = new AcceptorMonitor(["a", "b", "c"]);
  for (const [node, more] of steps) monitor.committed(node, "k", record(more));
  return monitor;
}

function assertFinds(monitor: AcceptorMonitor, what: string): void {
  assert(monitor.faults().some((fault) => fault.includes(what)), `${what}: ${JSON.stringify(monitor.faults())}`);
}

Deno.test("acceptor monitor: one round of Fast Paxos, and a recovery, are in order", () => {
  const fast = watch(["a", vote("v")], ["b", vote("v")], ["a", decided("v")], ["b", decided("v")]);
  assertEquals([fast.faults(), fast.decisions.inclusive, fast.decisions.recovered], [[], 1, 0]);
  const steps = [["a", vote("v")], ["b", vote("w", STANDING, "fast", "b")], ["a", {
    ...vote("v"),
    promised: FIRST,
  }]] as const;
  const classic = { ballot: FIRST, kind: "classic", acceptors: ["a", "c"] } as const;
  const recovered = watch(
    ...steps,
    ["a", vote("v", FIRST, "classic")],
    ["c", vote("v", FIRST, "classic")],
    ["a", decided("v", classic)],
  );
  assertEquals(recovered.faults(), []);
  assertEquals([recovered.decisions.collided, recovered.decisions.recovered], [1, 1]);
});

Deno.test("acceptor monitor: what a record may never do is found", () => {
  assertFinds(watch(["a", { instance: 2 }], ["a", {}]), "was at instance 2");
  assertFinds(watch(["a", { promised: FIRST }], ["a", {}]), "promise sank");
  assertFinds(watch(["a", vote("v")], ["a", {}]), "its vote is gone");
  assertFinds(watch(["a", vote("v", FIRST, "classic")], ["a", { ...vote("v"), promised: FIRST }]), "its vote sank");
  assertFinds(watch(["a", { promised: FIRST }], ["a", { ...vote("v"), promised: FIRST }]), "after it had promised");
  assertFinds(watch(["a", vote("v")], ["a", vote("w")]), "two votes in ballot");
  assertFinds(watch(["a", { stopped: "why" }]), "has stopped: why");
  assertFinds(watch(["a", { stateHash: "x" }], ["b", { stateHash: "y" }]), "has state y, others x");
  assertFinds(watch(["v", vote("v")]), "v has no vote");
});

Deno.test("acceptor monitor: a second chosen value is found, noticed by somebody or not", () => {
  const open = [["a", vote("v")], ["b", vote("v")], ["c", vote("v")]] as const;
  const classic = [["a", vote("w", FIRST, "classic")], ["b", vote("w", FIRST, "classic")]] as const;
  assertFinds(watch(...open, ...classic), "both v and w are chosen");
  assertFinds(watch(...classic, ["c", vote("v")], ["c", decided("v")]), "both w and v are chosen");
});

Deno.test("acceptor monitor: a decision that rests on too little is found", () => {
  assertFinds(watch(["a", vote("v")], ["a", decided("v")]), "of whom only a voted for it");
  assertFinds(watch(["a", vote("v")], ["a", decided("v", { acceptors: ["a"] })]), "too few of 3");
  const both = [["a", vote("v")], ["b", vote("v")]] as const;
  assertFinds(watch(...both, ["a", decided("v", { kind: "open" })]), "too few of 3");
  assertFinds(watch(...both, ["a", decided("v", { kind: "classic" })]), "whose votes are fast");
  assertFinds(watch(...both, ["a", decided("v", { acceptors: ["a", "a"] })]), "too few of 3");
  const others = [["b", vote("v")], ["c", vote("v")]] as const;
  assertFinds(watch(...others, ["b", decided("v", { acceptors: ["b", "c"] })]), "without its proposer's own vote");
});

Deno.test("acceptor monitor: a reply that rests on what is not committed is found", () => {
  const seen = () => watch(["a", vote("v")]);
  const state = { mode: { kind: "prepare" } } as const;
  const snapshot = { instance: 2, state, stateHash: "x", decidedBy: null };
  const accepted = { type: "accepted", instance: 1, ballot: STANDING, kind: "fast" } as const;
  const refused = { type: "refused", instance: 1, ballot: STANDING } as const;
  const standing = { ballot: STANDING, kind: "fast", value: { id: "v", proposer: "a", commands: [] } } as const;
  const right = [
    { ...accepted, valueId: "v" },
    { ...refused, promised: STANDING, vote: standing },
    { type: "learned", instance: 1 },
  ] as const;
  for (const reply of right) {
    const monitor = seen();
    monitor.replied("a", "k", reply);
    assertEquals(monitor.faults(), []);
  }
  const wrong = [
    { ...accepted, valueId: "w" },
    { ...refused, promised: FIRST, vote: null },
    { type: "promise", instance: 1, ballot: FIRST, vote: standing },
    { type: "opened", instance: 1, ballot: FIRST },
    { type: "ahead", snapshot },
    { type: "view", snapshot, promised: STANDING, vote: null },
    { type: "learned", instance: 2 },
  ] as const;
  for (const reply of wrong) {
    const monitor = seen();
    monitor.replied("a", "k", reply);
    assertFinds(monitor, `its ${reply.type} rests on nothing committed`);
  }
});

Deno.test("acceptor monitor: what is told of a record that only a Learn has moved on rests on its vote for what was chosen", () => {
  const state = { mode: { kind: "prepare" } } as const;
  const snapshot = { instance: 2, state, stateHash: "x", decidedBy: null };
  const unsaved = { run: "r", last: 1, saved: 0 };
  const told = [
    { type: "ahead", snapshot },
    { type: "view", snapshot, promised: STANDING, vote: null },
    { type: "behind", instance: 2 },
    { type: "learned", instance: 2, unsaved },
  ] as const;
  const classic = (id: string) => vote(id, STANDING, "classic");
  const chosen = (own: string) => watch(["b", classic("v")], ["c", classic("v")], ["a", classic(own)]);
  for (const reply of told) {
    const right = chosen("v");
    right.replied("a", "k", reply);
    assertEquals(right.faults(), []);
    for (const wrong of [watch(["a", vote("v")]), chosen("w")]) {
      wrong.replied("a", "k", reply);
      assertFinds(wrong, `its ${reply.type} rests on nothing committed`);
    }
  }
  const forgotten = chosen("v");
  forgotten.replied("a", "k", { type: "learned", instance: 2 });
  assertFinds(forgotten, "its learned rests on nothing committed");
});

Deno.test("acceptor monitor: a ballot opened for others and not on the own record is found", () => {
  const any = { type: "any", key: "k", epoch: 0, instance: 1, ballot: FIRST, recovery: "coordinated" } as const;
  const monitor = watch();
  monitor.sent("a", any);
  assertFinds(monitor, "which is not open on its own record");
  const right = watch(["a", { promised: FIRST, any: { ballot: FIRST, recovery: "coordinated" } }]);
  right.sent("a", any);
  right.replied("a", "k", { type: "opened", instance: 1, ballot: FIRST });
  assertEquals(right.faults(), []);
});

Deno.test("acceptor monitor: a message that claims what never happened is found", () => {
  const at = { key: "k", epoch: 0, instance: 1 } as const;
  const value = { id: "v", proposer: "a", commands: [] };
  const cast = { ballot: STANDING, kind: "fast", value } as const;
  const certificate = {
    instance: 1,
    ballot: STANDING,
    kind: "inclusive",
    valueId: "v",
    acceptors: ["a", "b"],
  } as const;
  const messages = [
    [{ type: "learn", ...at, certificate, value }, "of whom only nobody voted for it"],
    [{ type: "accept", ...at, instance: 2, ballot: FIRST, value, decided: certificate }, "of whom only nobody voted"],
    [{ type: "accepted", ...at, vote: cast }, "a vote of a in 0,,0 that was never cast"],
    [
      { type: "collision", ...at, ballot: STANDING, reports: [{ from: "b", vote: cast }] },
      "a vote of b in 0,,0 that was never cast",
    ],
  ] as const;
  for (const [message, what] of messages) {
    const monitor = watch();
    monitor.sent("a", message);
    assertFinds(monitor, what);
  }
  const monitor = watch(["a", vote("v")], ["b", vote("v")]);
  for (const [message] of messages) if (!("decided" in message)) monitor.sent("a", message);
  // A value that anybody may send needs nobody's vote first.
  monitor.sent("c", { type: "accept", ...at, ballot: STANDING, value: { ...value, id: "w", proposer: "" } });
  assertEquals(monitor.faults(), []);
});

Deno.test("acceptor monitor: a value that leaves before its own vote is the only one its node may vote for there", () => {
  const value = { id: "v", proposer: "a", commands: [] };
  const accept = (ballot: Ballot, id = "v") => {
    return { type: "accept", key: "k", epoch: 0, instance: 1, ballot, value: { ...value, id } } as const;
  };
  const early = watch();
  early.sent("a", accept(STANDING));
  early.committed("a", "k", record(vote("v")));
  early.sent("a", accept(STANDING));
  assertEquals(early.faults(), []);

  const other = watch();
  other.sent("a", accept(STANDING));
  other.committed("a", "k", record(vote("w", STANDING, "fast", "b")));
  assertFinds(other, "votes for w in 0,,0, where it has sent v");
  const second = watch();
  second.sent("a", accept(STANDING));
  second.sent("a", accept(STANDING, "x"));
  assertFinds(second, "sends x in 0,,0, and before it v");
  const late = watch(["a", vote("w", STANDING, "fast", "b")]);
  late.sent("a", accept(STANDING));
  assertFinds(late, "sends v in 0,,0, and before it w");
  const recovered = watch();
  recovered.sent("a", accept(STANDING));
  recovered.committed("a", "k", record(vote("w", FIRST, "classic", "b")));
  assertEquals(recovered.faults(), []);

  const explicit = watch();
  explicit.sent("a", accept(FIRST));
  assertFinds(explicit, "without its own vote for it");
  const shared = new AcceptorMonitor(["a", "b", "c"], undefined, undefined, () => true);
  shared.sent("a", accept(STANDING));
  assertFinds(shared, "without its own vote for it");
});

Deno.test("acceptor monitor: an announced rollback may sink a record, but takes no vote back", () => {
  const monitor = watch(["a", vote("v")], ["a", { instance: 3 }]);
  monitor.rolledBack("a");
  monitor.committed("a", "k", record());
  assertEquals(monitor.faults(), []);
  monitor.committed("a", "k", record(vote("w")));
  assertFinds(monitor, "two votes in ballot");
});

Deno.test("acceptor monitor: a member whose store was lost writes no record again", () => {
  const monitor = watch(["a", vote("v")]);
  monitor.lost("a");
  assertEquals([monitor.faults(), monitor.hasLost("a"), monitor.hasLost("b")], [[], true, false]);
  monitor.committed("b", "k", record(vote("v")));
  assertEquals(monitor.faults(), []);
  monitor.committed("a", "k", record());
  assertFinds(monitor, "its store was lost, and it votes again");
});

Deno.test("quorum table: as the code has it, for every size", () => {
  for (const n of [1, 3, 4, 5, 6, 7, 8, 9]) {
    const { classic, openFast, inclusiveFast } = new QuorumSystem("abcdefghi".slice(0, n).split("")).sizes;
    assertEquals({ classic, open: openFast, inclusive: inclusiveFast }, quorumRow(n));
  }
});
