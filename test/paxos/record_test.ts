/** States whose hash is not of all that they say: what records and those who send them tell each other of the rest. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { stepAcceptor } from "../../src/paxos/acceptor.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { AcceptorMessage, AcceptorRecord, Machine, Snapshot } from "../../src/paxos/message.ts";
import { freshRecord, sentSnapshot, snapshotOf } from "../../src/paxos/record.ts";
import { ballotOf, fast, machine, rulesOf, snapshotAfter, valueOf } from "./samples.ts";

/** By its hash any state is as good as another. */
const blind: Machine = { ...machine, hash: () => "same", contentHash: machine.hash };
const rules = { ...rulesOf("c", 3), machine: blind };
const AT = { key: "lock/x", epoch: 0, instance: 2 } as const;

function stateAfter(name: string): Snapshot {
  return sentSnapshot(blind, { ...snapshotAfter(fast("a"), [valueOf(name)], null), stateHash: "same" });
}

function recordAt({ contentHash: _, ...snapshot }: Snapshot): AcceptorRecord {
  return { ...freshRecord(blind, fast("a")), ...snapshot };
}

const OWN = stateAfter("a");
const OTHER = stateAfter("b");

function hear(record: AcceptorRecord, message: AcceptorMessage) {
  return stepAcceptor(rules, record, message, { from: "b", seenMs: {} });
}

function messagesWith(snapshot: Snapshot): readonly AcceptorMessage[] {
  return [
    { type: "accept", ...AT, ballot: STANDING, value: valueOf("b"), snapshot },
    { type: "prepare", ...AT, ballot: ballotOf(1, "b"), snapshot },
    { type: "learn", ...AT, certificate: null, snapshot },
  ];
}

Deno.test("a view, and who is told that it is behind, is sent the hash of all that the state says", () => {
  assertEquals([OWN.stateHash, OWN.contentHash], ["same", machine.hash(OWN.state)]);
  const record = recordAt(OWN);
  const view = hear(record, { type: "read", ...AT }).reply;
  assert(view.type === "view");
  assertEquals(view.snapshot, OWN);
  const ahead = hear(record, { type: "prepare", ...AT, instance: 1, ballot: ballotOf(1, "b") }).reply;
  assert(ahead.type === "ahead");
  assertEquals(ahead.snapshot, OWN);
  // Where the hash is of all of it there is nothing more to say.
  assertEquals(sentSnapshot(machine, snapshotOf(record)), snapshotOf(record));
});

Deno.test("a state that says something else under the same hash stops the key, by accept, prepare or learn", () => {
  for (const message of messagesWith(OTHER)) {
    const { record, reply } = hear(recordAt(OWN), message);
    assert(reply.type === "stopped", message.type);
    assertStringIncludes(reply.reason, `${OTHER.contentHash} elsewhere`);
    assertEquals(record.stopped, reply.reason);
  }
  const { contentHash: _, ...unsaid } = OTHER;
  for (const snapshot of [OWN, unsaid]) {
    for (const message of messagesWith(snapshot)) assertEquals(hear(recordAt(OWN), message).record.stopped, undefined);
  }
});

Deno.test("a state that is not what its content's hash is of is not installed", () => {
  for (const message of messagesWith({ ...OTHER, contentHash: `${OWN.contentHash}` })) {
    const before = freshRecord(blind, fast("a"));
    const { record, reply } = hear(before, message);
    assertEquals([record, reply.type], [before, "rejected"], message.type);
  }
  for (const message of messagesWith(OTHER)) {
    assertEquals(hear(freshRecord(blind, fast("a")), message).record.state, OTHER.state, message.type);
  }
});
