import { assert, assertEquals, assertNotEquals, assertStrictEquals, assertStringIncludes } from "@std/assert";
import { DRIFT } from "../../src/limits.ts";
import { stepAcceptor } from "../../src/paxos/acceptor.ts";
import { barring } from "../../src/paxos/barring.ts";
import { type Ballot, type NodeId, STANDING, STANDING_RECOVERY } from "../../src/paxos/ballot.ts";
import {
  type Accept,
  type AcceptorMessage,
  type AcceptorRecord,
  type AcceptorReply,
  type Certificate,
  type Decide,
  type Envelope,
  type Learn,
  leaseKey,
  type Mode,
  type Prepare,
  type Recover,
  type Report,
  type Value,
} from "../../src/paxos/message.ts";
import type { AcceptorRules } from "../../src/paxos/record.ts";
import {
  ballotOf,
  certificateOf,
  classic,
  command,
  directValue,
  fast,
  fresh,
  frozen,
  KEY,
  logOf,
  machine,
  recordAt,
  reportsOf,
  rulesOf,
  snapshotAfter,
  valueOf,
  voteFor,
} from "./samples.ts";

/** One acceptor under test: node `c` of three unless said otherwise. Every input is frozen first. */
class Acceptor {
  readonly rules: AcceptorRules;
  record: AcceptorRecord;

  constructor(mode: Mode | AcceptorRecord, { me = "c", n = 3 }: { me?: NodeId; n?: number } = {}) {
    this.rules = frozen(rulesOf(me, n));
    this.record = frozen("kind" in mode ? fresh(mode) : mode);
  }

  hear(message: AcceptorMessage, from: NodeId | "", seenMs: Envelope["seenMs"] = {}): AcceptorReply {
    const { record, reply } = stepAcceptor(this.rules, this.record, frozen(message), frozen({ from, seenMs }));
    this.record = frozen(record);
    return frozen(reply);
  }

  /** Hears it and asserts that the very same record came back. */
  hearUnmoved(message: AcceptorMessage, from: NodeId | "", seenMs: Envelope["seenMs"] = {}): AcceptorReply {
    const before = this.record;
    const reply = this.hear(message, from, seenMs);
    assertStrictEquals(this.record, before);
    return reply;
  }
}

const AT = { key: KEY, epoch: 0, instance: 1 } as const;

function prepare(ballot: Ballot, more: Partial<Prepare> = {}): Prepare {
  return { type: "prepare", ...AT, ballot, ...more };
}

function accept(ballot: Ballot, value: Value, more: Partial<Accept> = {}): Accept {
  return { type: "accept", ...AT, ballot, value, ...more };
}

function decide(certificate: Certificate): Decide {
  return { type: "decide", ...AT, instance: certificate.instance, certificate };
}

function learn(certificate: Certificate | null, more: Partial<Learn> = {}): Learn {
  return { type: "learn", ...AT, certificate, ...more };
}

function recover(reports: readonly Report[], more: Partial<Recover> = {}): Recover {
  return { type: "recover", ...AT, ballot: STANDING, reports, freshId: "c/c/1", ...more };
}

function typeOf(reply: AcceptorReply): AcceptorReply["type"] {
  return reply.type;
}

const A = valueOf("a");
const B = valueOf("b");
const X = directValue("x");

// Prepare

Deno.test("prepare above the promise is promised, with the vote of the same write", () => {
  const acceptor = new Acceptor(fast("a"));
  const ballot = ballotOf(1, "a");
  assertEquals(acceptor.hear(prepare(ballot), "a"), { type: "promise", instance: 1, ballot, vote: null });
  assertEquals(acceptor.record.promised, ballot);
});

Deno.test("a promise carries the vote cast in a lower ballot", () => {
  const acceptor = new Acceptor(fast("a"));
  acceptor.hear(accept(STANDING, B), "b");
  const ballot = ballotOf(3, "a");
  assertEquals(acceptor.hear(prepare(ballot), "a"), { type: "promise", instance: 1, ballot, vote: voteFor(B) });
});

Deno.test("a repeated prepare gets the same answer and changes nothing", () => {
  const acceptor = new Acceptor(fast("a"));
  const first = acceptor.hear(prepare(ballotOf(1, "a")), "a");
  assertEquals(acceptor.hearUnmoved(prepare(ballotOf(1, "a")), "a"), first);
});

Deno.test("a prepare repeated after a vote in its ballot is refused: the first answer is not true any more", () => {
  const acceptor = new Acceptor(fast("a"));
  const ballot = ballotOf(1, "a");
  acceptor.hear(prepare(ballot), "a");
  acceptor.hear(accept(ballot, A), "a");
  const reply = acceptor.hearUnmoved(prepare(ballot), "a");
  assertEquals(reply, { type: "refused", instance: 1, ballot, promised: ballot, vote: voteFor(A, ballot, "classic") });
});

Deno.test("a prepare below the promise is refused and names it: a promise never sinks", () => {
  const acceptor = new Acceptor(fast("a"));
  acceptor.hear(prepare(ballotOf(2, "b")), "b");
  for (const ballot of [ballotOf(1, "a"), ballotOf(2, "a"), ballotOf(1, "c")]) {
    const from = ballot[1].slice(0, 1);
    const reply = acceptor.hearUnmoved(prepare(ballot), from);
    assertEquals(reply, { type: "refused", instance: 1, ballot, promised: ballotOf(2, "b"), vote: null });
  }
  assertEquals(typeOf(acceptor.hear(prepare(ballotOf(2, "c")), "c")), "promise");
});

Deno.test("a ballot is prepared by its owner only, and the standing ones by nobody", () => {
  const acceptor = new Acceptor(fast("a"));
  assertEquals(typeOf(acceptor.hearUnmoved(prepare(ballotOf(1, "a")), "b")), "rejected");
  assertEquals(typeOf(acceptor.hearUnmoved(prepare(ballotOf(1, "a")), "")), "rejected");
  assertEquals(typeOf(acceptor.hearUnmoved(prepare(STANDING), "")), "rejected");
  assertEquals(typeOf(acceptor.hearUnmoved(prepare(STANDING_RECOVERY), "a")), "rejected");
});

// Accept

Deno.test("accept in an owned ballot is a classic vote, and raises the promise with it", () => {
  const acceptor = new Acceptor(fast("a"));
  const ballot = ballotOf(1, "b");
  assertEquals(acceptor.hear(accept(ballot, A), "b"), {
    type: "accepted",
    instance: 1,
    ballot,
    kind: "classic",
    valueId: A.id,
  });
  assertEquals(acceptor.record.promised, ballot);
  assertEquals(acceptor.record.vote, voteFor(A, ballot, "classic"));
});

Deno.test("accept in another's ballot is rejected", () => {
  const acceptor = new Acceptor(fast("a"));
  assertEquals(typeOf(acceptor.hearUnmoved(accept(ballotOf(1, "b"), A), "a")), "rejected");
  assertEquals(typeOf(acceptor.hearUnmoved(accept(ballotOf(1, "b"), A), "")), "rejected");
  // So is the recovery step of an explicit ballot: its coordinator's, who opened it, and nobody else's.
  assertEquals(typeOf(acceptor.hearUnmoved(accept([1, "b/t", 1], A), "a")), "rejected");
});

Deno.test("accept below the promise is refused", () => {
  const acceptor = new Acceptor(fast("a"));
  acceptor.hear(prepare(ballotOf(2, "b")), "b");
  const promised = ballotOf(2, "b");
  for (const [ballot, value, from] of [[STANDING, A, "a"], [ballotOf(1, "a"), A, "a"]] as const) {
    const reply = acceptor.hearUnmoved(accept(ballot, value), from);
    assertEquals(reply, { type: "refused", instance: 1, ballot, promised, vote: null });
  }
});

Deno.test("one vote per ballot: the second value of a fast ballot is refused with the vote it met", () => {
  const acceptor = new Acceptor(fast("a"));
  acceptor.hear(accept(STANDING, A), "a");
  assertEquals(acceptor.hearUnmoved(accept(STANDING, B), "b"), {
    type: "refused",
    instance: 1,
    ballot: STANDING,
    promised: STANDING,
    vote: voteFor(A),
  });
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING, X), "")), "refused");
});

Deno.test("a repeated accept gets its first answer, whatever was promised since", () => {
  const acceptor = new Acceptor(fast("a"));
  const first = acceptor.hear(accept(STANDING, A), "a");
  assertEquals(acceptor.hearUnmoved(accept(STANDING, A), "a"), first);
  acceptor.hear(prepare(ballotOf(4, "b")), "b");
  assertEquals(acceptor.hearUnmoved(accept(STANDING, A), "a"), first);
});

Deno.test("a later vote replaces an earlier one; a vote below is not cast again", () => {
  const acceptor = new Acceptor(fast("a"));
  acceptor.hear(accept(STANDING, A), "a");
  acceptor.hear(accept(ballotOf(1, "b"), B), "b");
  assertEquals(acceptor.record.vote?.value, B);
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING, A), "a")), "refused");
});

Deno.test("R1: a value of a node is voted for in a fast ballot only if that node itself sent it", () => {
  const acceptor = new Acceptor(fast("a"));
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING, A), "b")), "rejected");
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING, A), "")), "rejected");
  // A node that is no acceptor has no vote of its own for the others to prove.
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING, valueOf("z")), "z")), "rejected");
  assertEquals(acceptor.record.vote, null);
});

Deno.test("a value without a proposer is voted for whoever brings it", () => {
  for (const from of ["", "a", "z"]) {
    const acceptor = new Acceptor(fast("a"));
    assertEquals(typeOf(acceptor.hear(accept(STANDING, X), from)), "accepted");
    assertEquals(acceptor.record.vote, voteFor(X));
  }
});

Deno.test("standing classic: only the coordinator's, as a classic vote", () => {
  const acceptor = new Acceptor(classic("a"));
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING, B), "b")), "rejected");
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING, X), "")), "rejected");
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING_RECOVERY, A), "a")), "rejected");
  const reply = acceptor.hear(accept(STANDING, A), "a");
  assert(reply.type === "accepted");
  assertEquals(reply.kind, "classic");
  assertEquals(acceptor.record.vote, voteFor(A, STANDING, "classic"));
});

Deno.test("standing prepare: both standing ballots are unusable", () => {
  const acceptor = new Acceptor({ kind: "prepare" });
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING, A), "a")), "rejected");
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING, X), "")), "rejected");
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING_RECOVERY, A), "a")), "rejected");
  assertEquals(typeOf(acceptor.hear(prepare(ballotOf(1, "a")), "a")), "promise");
  assertEquals(typeOf(acceptor.hear(accept(ballotOf(1, "a"), A), "a")), "accepted");
});

Deno.test("the standing recovery is the coordinator's alone, and only where recovery is coordinated", () => {
  const acceptor = new Acceptor(fast("a"));
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING_RECOVERY, B), "b")), "rejected");
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING_RECOVERY, B), "")), "rejected");
  const reply = acceptor.hear(accept(STANDING_RECOVERY, B), "a");
  assert(reply.type === "accepted");
  assertEquals(reply.kind, "classic");
  const other = new Acceptor(fast("a", "uncoordinated"));
  assertEquals(typeOf(other.hearUnmoved(accept(STANDING_RECOVERY, B), "a")), "rejected");
});

Deno.test("the standing recovery ranks above the standing ballot and below every explicit one", () => {
  const acceptor = new Acceptor(fast("a"));
  acceptor.hear(accept(STANDING_RECOVERY, B), "a");
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING, A), "a")), "refused");
  assertEquals(typeOf(acceptor.hear(prepare(ballotOf(1, "b")), "b")), "promise");
  const late = new Acceptor(fast("a"));
  late.hear(prepare(ballotOf(1, "b")), "b");
  assertEquals(typeOf(late.hearUnmoved(accept(STANDING_RECOVERY, B), "a")), "refused");
});

Deno.test("two values in one classic ballot stop the key, and it stays stopped", () => {
  for (const [mode, ballot, from] of [[classic("a"), STANDING, "a"], [fast("a"), ballotOf(1, "b"), "b"]] as const) {
    const acceptor = new Acceptor(mode);
    acceptor.hear(accept(ballot, A), from);
    const reply = acceptor.hear(accept(ballot, B), from);
    assert(reply.type === "stopped");
    assertStringIncludes(reply.reason, "two values in classic ballot");
    assertEquals(acceptor.record.stopped, reply.reason);
    assertEquals(acceptor.record.vote?.value, A);
    for (
      const message of [
        prepare(ballotOf(9, "a")),
        accept(ballot, A),
        { type: "read", ...AT } as const,
        learn(null),
        recover([]),
        { type: "lapsed?", ...AT, leases: [] } as const,
        prepare(ballotOf(9, "a"), { epoch: 3 }),
      ]
    ) {
      assertEquals(acceptor.hearUnmoved(message, "a"), reply);
    }
  }
});

Deno.test("a twin of this very node gets the vote cast before it, not a stop", () => {
  const acceptor = new Acceptor(classic("c"));
  acceptor.hear(accept(STANDING, valueOf("c", 1)), "c");
  const reply = acceptor.hearUnmoved(accept(STANDING, valueOf("c", 2)), "c");
  assert(reply.type === "refused");
  assertEquals(reply.vote, voteFor(valueOf("c", 1), STANDING, "classic"));
});

// Alignment

const ONE = certificateOf(1, A, "inclusive", "ab");
const S1 = snapshotAfter(fast("a"), [A], ONE);

Deno.test("ahead: a message for a decided instance gets the decision, not a 'no vote'", () => {
  const acceptor = new Acceptor(recordAt(S1));
  const before = prepare(ballotOf(7, "b"));
  for (const message of [before, accept(STANDING, B)]) {
    assertEquals(acceptor.hearUnmoved(message, "b"), { type: "ahead", snapshot: S1 });
  }
  assertEquals(acceptor.hearUnmoved(recover([]), "c"), { type: "ahead", snapshot: S1 });
});

Deno.test("behind: without what is missing no vote and no promise", () => {
  const acceptor = new Acceptor(fast("a"));
  for (const message of [prepare(ballotOf(1, "b"), { instance: 2 }), accept(STANDING, B, { instance: 3 })]) {
    assertEquals(acceptor.hearUnmoved(message, "b"), { type: "behind", instance: 1 });
  }
});

Deno.test("the certificate of the value one voted for moves on, then the message is heard, in one step", () => {
  const acceptor = new Acceptor(fast("a"));
  acceptor.hear(accept(STANDING, A), "a");
  acceptor.hear(prepare(ballotOf(1, "b")), "b");
  const next = valueOf("b", 2);
  const reply = acceptor.hear(accept(STANDING, next, { instance: 2, decided: ONE }), "b");
  assertEquals(typeOf(reply), "accepted");
  assertEquals(acceptor.record, {
    epoch: 0,
    instance: 2,
    state: S1.state,
    stateHash: S1.stateHash,
    decidedBy: ONE,
    promised: STANDING,
    vote: voteFor(next),
  });
});

Deno.test("a certificate moves on one's own vote of any ballot, but never across a gap or without the value", () => {
  const later = new Acceptor(fast("a"));
  later.hear(accept(ballotOf(5, "b"), A), "b");
  assertEquals(typeOf(later.hear(prepare(ballotOf(1, "b"), { instance: 2, decided: ONE }), "b")), "promise");
  assertEquals(later.record.instance, 2);

  const gap = new Acceptor(fast("a"));
  gap.hear(accept(STANDING, A), "a");
  assertEquals(typeOf(gap.hearUnmoved(accept(STANDING, B, { instance: 3, decided: ONE }), "b")), "behind");

  const other = new Acceptor(fast("a"));
  other.hear(accept(STANDING, B), "b");
  assertEquals(typeOf(other.hearUnmoved(accept(STANDING, B, { instance: 2, decided: ONE }), "b")), "behind");
});

Deno.test("a certificate that is of something else, or no quorum of its kind, moves nothing", () => {
  const bad: Certificate[] = [
    { ...ONE, instance: 2 },
    certificateOf(1, A, "inclusive", "a"),
    certificateOf(1, A, "inclusive", "bc"),
    certificateOf(1, A, "inclusive", "az"),
    certificateOf(1, A, "inclusive", "aa"),
    certificateOf(1, A, "open", "ab"),
    certificateOf(1, A, "classic", "a"),
    certificateOf(1, A, "classic", "yz"),
  ];
  for (const decided of bad) {
    const acceptor = new Acceptor(fast("a"));
    acceptor.hear(accept(STANDING, A), "a");
    const reply = acceptor.hearUnmoved(accept(STANDING, valueOf("b", 2), { instance: 2, decided }), "b");
    assertEquals(typeOf(reply), "rejected", JSON.stringify(decided));
    if (decided.instance === 1) {
      assertEquals(typeOf(acceptor.hearUnmoved(learn(decided, { value: A }), "b")), "rejected");
    }
  }
});

Deno.test("a snapshot installs, clears the vote and the promise, and the message is heard", () => {
  const acceptor = new Acceptor(fast("a"));
  acceptor.hear(accept(STANDING, B), "b");
  acceptor.hear(prepare(ballotOf(6, "b")), "b");
  const three = snapshotAfter(fast("a"), [A, B], certificateOf(2, B, "classic", "ab"));
  const ballot = ballotOf(1, "a");
  const reply = acceptor.hear(prepare(ballot, { instance: 3, snapshot: three }), "a");
  assertEquals(reply, { type: "promise", instance: 3, ballot, vote: null });
  assertEquals(acceptor.record, { epoch: 0, ...three, promised: ballot, vote: null });
});

Deno.test("a snapshot whose hash is not its state's is rejected", () => {
  const acceptor = new Acceptor(fast("a"));
  const snapshot = { ...S1, stateHash: "other" };
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING, B, { instance: 2, snapshot }), "b")), "rejected");
  assertEquals(typeOf(acceptor.hearUnmoved(learn(null, { snapshot }), "b")), "rejected");
});

Deno.test("a snapshot of another instance than the message's brings it nowhere", () => {
  const acceptor = new Acceptor(fast("a"));
  const reply = acceptor.hearUnmoved(accept(STANDING, B, { instance: 3, snapshot: S1 }), "b");
  assertEquals(reply, { type: "behind", instance: 1 });
});

Deno.test("a snapshot whose certificate names no quorum is rejected", () => {
  const acceptor = new Acceptor(fast("a"));
  const snapshot = { ...S1, decidedBy: certificateOf(1, A, "open", "ab") };
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING, B, { instance: 2, snapshot }), "b")), "rejected");
});

Deno.test("another state at the same instance stops the key, by accept, prepare or learn", () => {
  const elsewhere = snapshotAfter(fast("a"), [B], certificateOf(1, B, "open", "abc"));
  const at = { instance: 2, snapshot: elsewhere } as const;
  for (
    const message of [
      accept(STANDING, B, at),
      prepare(ballotOf(1, "b"), at),
      learn(null, { instance: 2, snapshot: elsewhere }),
    ]
  ) {
    const acceptor = new Acceptor(recordAt(S1));
    const reply = acceptor.hear(message, "b");
    assert(reply.type === "stopped");
    assertStringIncludes(reply.reason, "elsewhere");
    assertEquals(acceptor.record.stopped, reply.reason);
  }
});

Deno.test("the same state at the same instance is no news", () => {
  const acceptor = new Acceptor(recordAt(S1));
  assertEquals(typeOf(acceptor.hear(accept(STANDING, B, { instance: 2, snapshot: S1 }), "b")), "accepted");
});

// What a certificate says of this very record

Deno.test("counted among the voters without a record of the vote: the key stops", () => {
  const counted = certificateOf(1, A, "inclusive", "ac");
  const never = new Acceptor(fast("a"));
  const reply = never.hear(learn(counted, { value: A }), "a");
  assert(reply.type === "stopped");
  assertStringIncludes(reply.reason, "without a record");

  const earlier = new Acceptor(fast("a"));
  earlier.hear(accept(STANDING, A), "a");
  assertEquals(typeOf(earlier.hear(learn(certificateOf(1, A, "classic", "bc"), { value: A }), "a")), "stopped");
});

Deno.test("counted as a voter of another value of the same ballot: the key stops", () => {
  const acceptor = new Acceptor(fast("a"));
  acceptor.hear(accept(STANDING, B), "b");
  const reply = acceptor.hear(learn(certificateOf(1, A, "inclusive", "ac"), { value: A }), "a");
  assert(reply.type === "stopped");
  assertStringIncludes(reply.reason, "voted b/v/1");
});

Deno.test("a later vote is no contradiction to being counted in an earlier ballot", () => {
  const acceptor = new Acceptor(fast("a"));
  acceptor.hear(accept(STANDING, A), "a");
  acceptor.hear(accept(ballotOf(1, "b"), A), "b");
  assertEquals(acceptor.hear(learn(certificateOf(1, A, "inclusive", "ac"), { value: A }), "a"), {
    type: "learned",
    instance: 2,
  });
});

Deno.test("a snapshot that counts us in for a vote we have no record of stops the key too", () => {
  const acceptor = new Acceptor(fast("a"));
  const snapshot = snapshotAfter(fast("a"), [A], certificateOf(1, A, "inclusive", "ac"));
  assertEquals(typeOf(acceptor.hear(prepare(ballotOf(1, "a"), { instance: 2, snapshot }), "a")), "stopped");
});

// Decide (R2)

const DECIDED = snapshotAfter(fast("b"), [A], ONE);

function decider(): Acceptor {
  const acceptor = new Acceptor(fast("b"), { me: "a" });
  acceptor.hear(accept(STANDING, A), "a");
  return acceptor;
}

Deno.test("R2: the guard passes while nothing is promised above, and moves on in the same write", () => {
  const acceptor = decider();
  assertEquals(acceptor.hear(decide(ONE), "a"), { type: "decided", instance: 1 });
  assertEquals(acceptor.record, recordAt(DECIDED));
});

Deno.test("R2: a higher promise closes the guard", () => {
  const acceptor = decider();
  acceptor.hear(prepare(ballotOf(1, "b")), "b");
  assertEquals(acceptor.hearUnmoved(decide(ONE), "a"), {
    type: "refused",
    instance: 1,
    ballot: STANDING,
    promised: ballotOf(1, "b"),
    vote: voteFor(A),
  });
  const recovered = decider();
  recovered.hear(accept(STANDING_RECOVERY, A), "b");
  assertEquals(typeOf(recovered.hearUnmoved(decide(ONE), "a")), "refused");
});

Deno.test("R2: without a vote, or with one for something else, the guard is closed", () => {
  const none = new Acceptor(fast("b"), { me: "a" });
  assertEquals(typeOf(none.hearUnmoved(decide(ONE), "a")), "refused");
  const other = new Acceptor(fast("b"), { me: "a" });
  other.hear(accept(STANDING, B), "b");
  assertEquals(typeOf(other.hearUnmoved(decide(ONE), "a")), "refused");
});

Deno.test("R2: a decision repeated is decided again; one that went otherwise is ahead", () => {
  const acceptor = decider();
  acceptor.hear(decide(ONE), "a");
  assertEquals(acceptor.hearUnmoved(decide(ONE), "a"), { type: "decided", instance: 1 });
  const open = certificateOf(1, A, "open", "abc");
  assertEquals(typeOf(acceptor.hearUnmoved(decide(open), "a")), "decided");
  assertEquals(acceptor.hearUnmoved(decide(certificateOf(1, valueOf("a", 9), "inclusive", "ab")), "a"), {
    type: "ahead",
    snapshot: DECIDED,
  });
});

Deno.test("R2: a decision without a quorum is rejected", () => {
  assertEquals(typeOf(decider().hearUnmoved(decide(certificateOf(1, A, "inclusive", "a")), "a")), "rejected");
});

// Recover: the coordinator's pick

function coordinator(n = 3): Acceptor {
  return new Acceptor(fast("c"), { me: "c", n });
}

Deno.test("recover: only on the coordinator's own record, in a fast mode with coordinated recovery", () => {
  for (const mode of [fast("a"), fast("c", "uncoordinated"), classic("c"), { kind: "prepare" } as const]) {
    const acceptor = new Acceptor(mode);
    assertEquals(typeOf(acceptor.hearUnmoved(recover(reportsOf("a:a b:b")), "c")), "rejected");
  }
});

Deno.test("recover: less than a phase-1 quorum, itself included, is undecided", () => {
  assertEquals(coordinator().hearUnmoved(recover([]), "c"), { type: "undecided", instance: 1 });
  assertEquals(typeOf(coordinator(5).hearUnmoved(recover(reportsOf("a:a")), "c")), "undecided");
  // Reports that are no votes of the standing ballot are no reports, and its own is read from its record.
  const useless = [
    ...reportsOf("a:a", ballotOf(1, "a")),
    ...reportsOf("b:-"),
    ...reportsOf("c:b"),
  ];
  assertEquals(typeOf(coordinator(5).hearUnmoved(recover(useless), "c")), "undecided");
});

Deno.test("recover: a forced pick is voted for in the same write", () => {
  const acceptor = coordinator();
  const reply = acceptor.hear(recover(reportsOf("a:a")), "c");
  assertEquals(reply, { type: "picked", instance: 1, ballot: STANDING_RECOVERY, value: A });
  assertEquals(acceptor.record.vote, voteFor(A, STANDING_RECOVERY, "classic"));
  assertEquals(acceptor.record.promised, STANDING_RECOVERY);
});

Deno.test("recover: its own vote is among the reports, read in that write", () => {
  const acceptor = coordinator();
  acceptor.hear(accept(STANDING, valueOf("c")), "c");
  // b is outside, but by its own vote's proof voted for its own; c, the coordinator, has promised. So b's is forced.
  const reply = acceptor.hear(recover(reportsOf("a:b")), "c");
  assert(reply.type === "picked");
  assertEquals(reply.value, B);
});

Deno.test("recover: a free pick is one batch of all collided commands, in the machine's order", () => {
  const acceptor = coordinator();
  const reply = acceptor.hear(recover(reportsOf("b:b a:a")), "c");
  assert(reply.type === "picked");
  assertEquals(reply.value, { id: "c/c/1", proposer: "c", commands: [command("a1"), command("b1")] });
});

Deno.test("recover: repeated, it gives the same pick, whatever is reported now", () => {
  const acceptor = coordinator();
  const first = acceptor.hear(recover(reportsOf("a:a b:b")), "c");
  assertEquals(acceptor.hearUnmoved(recover(reportsOf("a:a"), { freshId: "c/c/2" }), "c"), first);
});

Deno.test("recover: two that may both be chosen are never guessed between", () => {
  const acceptor = coordinator(5);
  assertEquals(typeOf(acceptor.hearUnmoved(recover(reportsOf("a:a b:b")), "c")), "undecided");
  const settled = acceptor.hear(recover(reportsOf("a:a b:b d:b e:b")), "c");
  assert(settled.type === "picked");
  assertEquals(settled.value, B);
});

Deno.test("recover: a promise above the recovery ballot refuses it", () => {
  const acceptor = coordinator();
  acceptor.hear(prepare(ballotOf(1, "a")), "a");
  assertEquals(acceptor.hearUnmoved(recover(reportsOf("a:a b:b")), "c"), {
    type: "refused",
    instance: 1,
    ballot: STANDING_RECOVERY,
    promised: ballotOf(1, "a"),
    vote: null,
  });
});

Deno.test("recover: brought to its instance by what the reporter sent", () => {
  const acceptor = coordinator();
  assertEquals(typeOf(acceptor.hearUnmoved(recover(reportsOf("a:a b:b"), { instance: 2 }), "c")), "behind");
  const snapshot = snapshotAfter(fast("c"), [A], ONE);
  assertEquals(typeOf(acceptor.hear(recover(reportsOf("a:a b:b"), { instance: 2, snapshot }), "c")), "picked");
});

// Learn

Deno.test("learn: by the value it carries", () => {
  const acceptor = new Acceptor(fast("a"));
  assertEquals(acceptor.hear(learn(ONE, { value: A }), "a"), { type: "learned", instance: 2 });
  assertEquals(acceptor.record, recordAt(S1));
});

Deno.test("learn: by one's own vote", () => {
  const acceptor = new Acceptor(fast("a"));
  acceptor.hear(accept(STANDING, A), "a");
  assertEquals(acceptor.hear(learn(ONE), "a"), { type: "learned", instance: 2 });
  assertEquals(logOf(acceptor.record.state), ["a1"]);
});

Deno.test("learn: by a snapshot, over any gap", () => {
  const acceptor = new Acceptor(fast("a"));
  acceptor.hear(accept(STANDING, B), "b");
  const snapshot = snapshotAfter(fast("a"), [A, B, valueOf("a", 2)], null);
  assertEquals(acceptor.hear(learn(null, { instance: 3, snapshot }), "a"), { type: "learned", instance: 4 });
  assertEquals(acceptor.record.vote, null);
});

Deno.test("learn: what it cannot use says where it stands, so that the sender sends the state", () => {
  const acceptor = new Acceptor(fast("a"));
  acceptor.hear(accept(STANDING, B), "b");
  // The value is neither sent nor its own vote.
  assertEquals(acceptor.hearUnmoved(learn(ONE), "a"), { type: "learned", instance: 1 });
  assertEquals(acceptor.hearUnmoved(learn(ONE, { value: B }), "a"), { type: "learned", instance: 1 });
  const two = certificateOf(2, A, "inclusive", "ab");
  assertEquals(acceptor.hearUnmoved(learn(two, { instance: 2, value: A }), "a"), { type: "learned", instance: 1 });
});

Deno.test("learn: what is decided already changes nothing", () => {
  const acceptor = new Acceptor(recordAt(S1));
  assertEquals(acceptor.hearUnmoved(learn(ONE, { value: A }), "a"), { type: "learned", instance: 2 });
  assertEquals(acceptor.hearUnmoved(learn(null, { snapshot: snapshotAfter(fast("a"), [], null) }), "a"), {
    type: "learned",
    instance: 2,
  });
});

Deno.test("moving on drops the promise of the instance before: nothing spans instances", () => {
  const acceptor = new Acceptor(fast("a"));
  acceptor.hear(prepare(ballotOf(9, "b")), "b");
  acceptor.hear(learn(ONE, { value: A }), "a");
  assertEquals(acceptor.record.promised, STANDING);
  assertEquals(typeOf(acceptor.hear(accept(STANDING, B, { instance: 2 }), "b")), "accepted");
});

Deno.test("the mode of the next instance is what the decided value says", () => {
  const acceptor = new Acceptor(fast("a"));
  const value = { ...A, nextMode: classic("b") };
  acceptor.hear(learn(ONE, { value }), "a");
  assertEquals(typeOf(acceptor.hearUnmoved(accept(STANDING, valueOf("a", 2), { instance: 2 }), "a")), "rejected");
  assertEquals(typeOf(acceptor.hear(accept(STANDING, B, { instance: 2 }), "b")), "accepted");
});

// Read

Deno.test("read: the whole view, at any instance, and nothing changes", () => {
  const acceptor = new Acceptor(recordAt(S1));
  acceptor.hear(accept(STANDING, B, { instance: 2 }), "b");
  for (const instance of [1, 2, 9]) {
    assertEquals(acceptor.hearUnmoved({ type: "read", ...AT, instance }, "a"), {
      type: "view",
      snapshot: S1,
      promised: STANDING,
      vote: voteFor(B),
    });
  }
});

// Claims

const HOLD = { id: "hold", by: "a/v/1" } as const;
const LEASED = snapshotAfter(fast("a"), [valueOf("a", 1, { commands: [command("hold", "lease")] })], ONE);
const CLAIM: Value = { ...valueOf("b", 2), claims: [HOLD] };
const ENOUGH_MS = 1_000 * (1 + DRIFT);

Deno.test("a claim on a lease not seen for ttl and drift is not voted for, and says how long it still has", () => {
  const acceptor = new Acceptor(recordAt(LEASED));
  const message = accept(STANDING, CLAIM, { instance: 2 });
  for (const seen of [0, 600, ENOUGH_MS - 1]) {
    const reply = acceptor.hearUnmoved(message, "b", { [leaseKey(HOLD)]: seen });
    assertEquals(reply, { type: "not-lapsed", instance: 2, ballot: STANDING, remainingMs: ENOUGH_MS - seen });
  }
  // Never seen at all is not "long ago".
  assertEquals(typeOf(acceptor.hearUnmoved(message, "b")), "not-lapsed");
});

Deno.test("a claim is voted for once the lease was seen unchanged for ttl × 1.01", () => {
  const acceptor = new Acceptor(recordAt(LEASED));
  const reply = acceptor.hear(accept(STANDING, CLAIM, { instance: 2 }), "b", { [leaseKey(HOLD)]: ENOUGH_MS });
  assertEquals(typeOf(reply), "accepted");
});

Deno.test("a claim on a lease that is not in the state is void, however long it was seen", () => {
  for (const gone of [{ id: "hold", by: "renewed" }, { id: "other", by: "a/v/1" }]) {
    const acceptor = new Acceptor(recordAt(LEASED));
    const value = { ...CLAIM, claims: [gone] };
    const reply = acceptor.hearUnmoved(accept(STANDING, value, { instance: 2 }), "b", { [leaseKey(gone)]: 1e9 });
    assertEquals(reply, {
      type: "not-lapsed",
      instance: 2,
      ballot: STANDING,
      remainingMs: Number.MAX_SAFE_INTEGER,
    });
  }
});

Deno.test("of several claims the longest to go counts, in any ballot", () => {
  const acceptor = new Acceptor(recordAt(LEASED));
  const value = { ...CLAIM, claims: [HOLD, { id: "other", by: "z" }] };
  const ballot = ballotOf(1, "b");
  const seen = { [leaseKey(HOLD)]: 1e9 };
  assertEquals(typeOf(acceptor.hearUnmoved(accept(ballot, value, { instance: 2 }), "b", seen)), "not-lapsed");
  assertEquals(typeOf(acceptor.hear(accept(ballot, CLAIM, { instance: 2 }), "b", seen)), "accepted");
});

Deno.test("a claim once voted for is voted for still when asked again, whatever the clock says", () => {
  const acceptor = new Acceptor(recordAt(LEASED));
  const message = accept(STANDING, CLAIM, { instance: 2 });
  const first = acceptor.hear(message, "b", { [leaseKey(HOLD)]: ENOUGH_MS });
  assertEquals(acceptor.hearUnmoved(message, "b", {}), first);
});

Deno.test("the coordinator's pick of a claim waits for its own clock too", () => {
  const opening = snapshotAfter(fast("c"), [valueOf("a", 1, { commands: [command("hold", "lease")] })], ONE);
  const own = new Acceptor(recordAt(opening));
  const reports: Report[] = [{ from: "b", vote: voteFor(CLAIM) }];
  const asked = recover(reports, { instance: 2 });
  assertEquals(own.hearUnmoved(asked, "c", {}), {
    type: "not-lapsed",
    instance: 2,
    ballot: STANDING_RECOVERY,
    remainingMs: ENOUGH_MS,
  });
  assertEquals(typeOf(own.hear(asked, "c", { [leaseKey(HOLD)]: ENOUGH_MS })), "picked");
});

Deno.test("'lapsed?' answers for the leases named and changes nothing", () => {
  const acceptor = new Acceptor(recordAt(LEASED));
  const ask = { type: "lapsed?", ...AT, instance: 2, leases: [HOLD] } as const;
  const reply = (remainingMs: number): AcceptorReply => ({ type: "lapsed", instance: 2, remainingMs });
  assertEquals(acceptor.hearUnmoved(ask, "b", { [leaseKey(HOLD)]: 10 }), reply(ENOUGH_MS - 10));
  assertEquals(acceptor.hearUnmoved(ask, "b", { [leaseKey(HOLD)]: ENOUGH_MS }), reply(0));
  assertEquals(acceptor.hearUnmoved({ ...ask, leases: [] }, "b"), reply(0));
});

// Epochs

Deno.test("a message of another epoch is rejected before any vote or promise", () => {
  const acceptor = new Acceptor(fast("a"));
  for (
    const message of [
      prepare(ballotOf(1, "a"), { epoch: 1 }),
      accept(STANDING, A, { epoch: 1 }),
      learn(ONE, { epoch: 1, value: A }),
      { type: "read", ...AT, epoch: 1 } as const,
    ]
  ) {
    assertEquals(acceptor.hearUnmoved(message, "a"), { type: "rejected", reason: "another epoch" });
  }
});

Deno.test("transitions are equal for equal inputs, and leave their inputs alone", () => {
  const rules = frozen(rulesOf("c", 3));
  const record = frozen(fresh(fast("a")));
  const message = frozen(accept(STANDING, A));
  const once = stepAcceptor(rules, record, message, frozen({ from: "a", seenMs: {} }));
  const twice = stepAcceptor(rules, record, message, frozen({ from: "a", seenMs: {} }));
  assertEquals(once, twice);
  assertNotEquals(once.record, record);
  assertEquals(record, fresh(fast("a")));
  assertEquals(machine.hash(record.state), record.stateHash);
});

// What a vote that was lost bars

Deno.test("a record that is barred takes no new vote in the standing fast ballot, as if it had promised to its recovery", () => {
  for (const mode of [fast("a"), fast("a", "uncoordinated")]) {
    const barred = new Acceptor(barring(fresh(mode)));
    const accept = { type: "accept", key: KEY, epoch: 0, instance: 1, ballot: STANDING, value: valueOf("b") } as const;
    const refused = barred.hear(accept, "b");
    assertEquals(refused, {
      type: "refused",
      instance: 1,
      ballot: STANDING,
      promised: STANDING_RECOVERY,
      vote: null,
    });
    assertEquals(barred.record.promised, STANDING_RECOVERY);
    assertEquals(barred.hearUnmoved(accept, "b"), refused);
    // An explicit ballot takes its vote, and its promise is as anybody's.
    const ballot = ballotOf(1, "b");
    assertEquals(barred.hear({ type: "prepare", key: KEY, epoch: 0, instance: 1, ballot }, "b").type, "promise");
    assertEquals(barred.hear({ ...accept, ballot }, "b").type, "accepted");
  }
});

Deno.test("a record that is barred at the next instance too refuses there, and no further", () => {
  const voted: AcceptorRecord = { ...fresh(fast("a")), vote: voteFor(valueOf("b")) };
  const c = new Acceptor(barring(voted));
  assertEquals(c.record.barred, 2);
  // The vote that it has is answered for.
  const first = { type: "accept", key: KEY, epoch: 0, instance: 1, ballot: STANDING, value: valueOf("b") } as const;
  assertEquals(c.hearUnmoved(first, "b").type, "accepted");
  const decided = certificateOf(1, valueOf("b"), "inclusive", "bc");
  const second = { ...first, instance: 2, value: valueOf("b", 2), decided };
  assertEquals(c.hear(second, "b").type, "refused");
  assertEquals([c.record.instance, c.record.vote, c.record.barred], [2, null, 2]);
  // By a state that is behind, at or past what it is barred from.
  const later = new Acceptor(barring(voted));
  const values = [valueOf("b"), valueOf("b", 2)];
  const learn = { type: "learn", key: KEY, epoch: 0, certificate: null } as const;
  later.hear({ ...learn, instance: 3, snapshot: snapshotAfter(fast("a"), values, null) }, "b");
  assertEquals([later.record.instance, later.record.barred], [3, undefined]);
  const there = new Acceptor(barring(voted));
  there.hear({ ...learn, instance: 2, snapshot: snapshotAfter(fast("a"), values.slice(0, 1), null) }, "b");
  assertEquals([there.record.instance, there.record.barred], [2, 2]);
});
