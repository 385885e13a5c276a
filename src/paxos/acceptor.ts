/**
 * The acceptor: one pure function from a record and a message to a record and a reply
 * (Fast Paxos §2.2 and §3.1; PROTOCOL.md §3). Its host makes the record durable before the reply leaves.
 */
import { unreachable } from "../assert.ts";
import { ballotOwner, compareBallots, type NodeId, recoveryOf, sameBallot, STANDING } from "./ballot.ts";
import { barredAt } from "./barring.ts";
import { faultIn } from "./certificate.ts";
import { lapsed, remaining } from "./claims.ts";
import type {
  Accept,
  AcceptorMessage,
  AcceptorRecord,
  Alignment,
  Any,
  Certificate,
  Decide,
  Envelope,
  FastBallot,
  Learn,
  Prepare,
  Snapshot,
  Value,
  VoteKind,
} from "./message.ts";
import {
  type AcceptorRules,
  difference,
  fastBallotOf,
  promising,
  refusal,
  sentSnapshot,
  snapshotOf,
  type Transition,
} from "./record.ts";
import { pickOwn, recover } from "./recovery.ts";

export function stepAcceptor(
  rules: AcceptorRules,
  record: AcceptorRecord,
  message: AcceptorMessage,
  envelope: Envelope,
): Transition {
  if (record.stopped !== undefined) return { record, reply: { type: "stopped", reason: record.stopped } };
  if (message.epoch !== record.epoch) return { record, reply: { type: "rejected", reason: "another epoch" } };
  switch (message.type) {
    case "prepare":
      return aligned(rules, record, message, (at) => prepare(rules, at, message, envelope));
    case "any":
      return aligned(rules, record, message, (at) => open(rules, at, message, envelope));
    case "accept":
      return aligned(rules, record, message, (at) => accept(rules, at, message, envelope));
    case "recover":
      return aligned(rules, record, message, (at) => recover(rules, at, message, envelope));
    case "pick":
      return aligned(rules, record, message, (at) => pickOwn(rules, at, message, envelope));
    case "learn":
      return learn(rules, record, message);
    case "decide":
      return decide(rules, record, message);
    case "read":
      return {
        record,
        reply: { type: "view", snapshot: sent(rules, record), promised: record.promised, vote: record.vote },
      };
    case "lapsed?":
      return { record, reply: lapsed(rules, record, message, envelope) };
    default:
      return unreachable(message);
  }
}

type Placed = { readonly instance: number } & Alignment;

/** Brings the record to the message's instance if what the sender knows allows it, then goes on (§3, alignment). */
function aligned(
  rules: AcceptorRules,
  record: AcceptorRecord,
  message: Placed,
  next: (record: AcceptorRecord) => Transition,
): Transition {
  const { instance, snapshot, decided } = message;
  // A decision, never a "no vote": who counted it as one could choose a second value at this instance.
  if (instance < record.instance) return { record, reply: { type: "ahead", snapshot: sent(rules, record) } };
  if (instance === record.instance) {
    return contradicted(rules, record, snapshot) ?? next(record);
  }
  if (snapshot?.instance === instance) return install(rules, record, snapshot, next);
  if (decided !== undefined && instance === record.instance + 1 && decided.valueId === record.vote?.value.id) {
    return moveOn(rules, record, record.vote.value, decided, next);
  }
  return { record, reply: { type: "behind", instance: record.instance } };
}

function install(
  rules: AcceptorRules,
  record: AcceptorRecord,
  snapshot: Snapshot,
  next: (record: AcceptorRecord) => Transition,
): Transition {
  const { instance, state, stateHash, contentHash, decidedBy } = snapshot;
  const { machine } = rules;
  const isWhole = contentHash === undefined || machine.contentHash(state) === contentHash;
  if (machine.hash(state) !== stateHash || !isWhole) {
    return { record, reply: { type: "rejected", reason: "the snapshot's hash is not its state's" } };
  }
  if (decidedBy !== null && decidedBy.instance === instance - 1) {
    const fault = faultIn(rules, record, decidedBy);
    if (fault !== null) return faulty(record, fault);
  }
  const { epoch } = record;
  return next({
    epoch,
    instance,
    state,
    stateHash,
    decidedBy,
    promised: STANDING,
    vote: null,
    ...barredAt(record, instance),
  });
}

/** S(I) from S(I−1) and the decided value; promise and vote of I are dropped with it (§3). */
function moveOn(
  rules: AcceptorRules,
  record: AcceptorRecord,
  value: Value,
  certificate: Certificate,
  next: (record: AcceptorRecord) => Transition,
): Transition {
  const fault = certificate.instance === record.instance && certificate.valueId === value.id
    ? faultIn(rules, record, certificate)
    : { rejected: "the certificate is of something else" };
  if (fault !== null) return faulty(record, fault);
  const state = rules.machine.apply(record.state, record.instance, value);
  return next({
    epoch: record.epoch,
    instance: record.instance + 1,
    state,
    stateHash: rules.machine.hash(state),
    decidedBy: certificate,
    promised: STANDING,
    vote: null,
    ...barredAt(record, record.instance + 1),
  });
}

/** Phase 1b (Fast Paxos §2.2). The vote it carries is the one of the same write as the promise. */
function prepare(rules: AcceptorRules, record: AcceptorRecord, message: Prepare, envelope: Envelope): Transition {
  const { instance, ballot } = message;
  if (ballot[0] < 1 || ballotOwner(ballot) !== envelope.from || !rules.quorums.isMember(envelope.from)) {
    return { record, reply: { type: "rejected", reason: "a ballot is prepared by its owner, a member" } };
  }
  if (compareBallots(ballot, record.promised) < 0) return { record, reply: refusal(record, ballot) };
  const reply = { type: "promise", instance, ballot, vote: record.vote } as const;
  // A repeated Prepare gets the same answer only as long as no vote was cast in the ballot.
  if (sameBallot(ballot, record.promised)) {
    return record.vote !== null && sameBallot(record.vote.ballot, ballot)
      ? { record, reply: refusal(record, ballot) }
      : { record, reply };
  }
  return { record: promising(record, ballot), reply };
}

/**
 * Opens an explicit ballot to everybody's values (Fast Paxos §3.1, 2a with "any"). On its owner's record this comes first
 * and bars a value of the owner's own there, so a ballot is never used both ways.
 */
function open(rules: AcceptorRules, record: AcceptorRecord, message: Any, envelope: Envelope): Transition {
  const { instance, ballot, recovery } = message;
  if (
    ballot[0] < 1 || ballot[2] !== 0 || ballotOwner(ballot) !== envelope.from || !rules.quorums.isMember(envelope.from)
  ) {
    return { record, reply: { type: "rejected", reason: "a ballot is opened by its owner, a member" } };
  }
  const reply = { type: "opened", instance, ballot } as const;
  if (record.any !== undefined && sameBallot(record.any.ballot, ballot)) return { record, reply };
  const isTaken = record.vote !== null && sameBallot(record.vote.ballot, ballot);
  if (isTaken || compareBallots(ballot, record.promised) < 0) return { record, reply: refusal(record, ballot) };
  return { record: { ...promising(record, ballot), any: { ballot, recovery } }, reply };
}

/** Phase 2b (Fast Paxos §2.2 and §3.1): at most one vote per ballot, and none below a promise. */
function accept(rules: AcceptorRules, record: AcceptorRecord, message: Accept, envelope: Envelope): Transition {
  const { instance, ballot, value } = message;
  const kind = kindOf(rules, record, message, envelope.from);
  if (kind === null) return { record, reply: { type: "rejected", reason: "not this sender's to propose here" } };
  // The vote of this very ballot comes first: a repeated message gets its first answer, whatever was promised since.
  if (record.vote !== null && sameBallot(record.vote.ballot, ballot)) {
    if (record.vote.value.id === value.id) {
      return { record, reply: { type: "accepted", instance, ballot, kind, valueId: value.id } };
    }
    // A twin of this process may have voted in our ballot first; then its value is the ballot's. But nobody else
    // may send a second value in a classic ballot.
    if (kind === "classic" && envelope.from !== rules.me) {
      return stop(record, `two values in classic ballot ${ballot.join(".")} of instance ${instance}`);
    }
    return { record, reply: refusal(record, ballot) };
  }
  if (compareBallots(ballot, record.promised) < 0) return { record, reply: refusal(record, ballot) };
  // Nobody who counts on R1 may find it voting for something else: it is as if it had promised to the ballot's recovery.
  if (kind === "fast" && sameBallot(ballot, STANDING) && barredAt(record, instance).barred !== undefined) {
    const barred = promising(record, recoveryOf(ballot));
    return { record: barred, reply: refusal(barred, ballot) };
  }
  const remainingMs = remaining(rules, record, value.claims ?? [], envelope);
  if (remainingMs > 0) return { record, reply: { type: "not-lapsed", instance, ballot, remainingMs } };
  const opened = message.any === undefined ? {} : { any: { ballot, recovery: message.any } };
  return {
    record: { ...promising(record, ballot), ...opened, vote: { ballot, kind, value } },
    reply: { type: "accepted", instance, ballot, kind, valueId: value.id },
  };
}

/** The kind of a vote for what `from` sends, or null if the ballot is not theirs to use so. */
function kindOf(rules: AcceptorRules, record: AcceptorRecord, message: Accept, from: NodeId | ""): VoteKind | null {
  const { ballot, value, any } = message;
  const { mode } = record.state;
  const isMember = rules.quorums.isMember(from);
  if (any !== undefined && (ballot[0] < 1 || ballot[2] !== 0 || !isMember)) return null;
  const fast = fastIn(record, message);
  if (fast !== null && sameBallot(ballot, fast.ballot)) {
    // A member knows that it proposes in an opened ballot, and says so: what does not is meant for a classic one.
    if (ballot[0] > 0 && isMember && any === undefined) return null;
    // R1: a vote for p's value in a fast ballot exists only because p itself sent it, and p votes for nothing else there,
    // which the pick rule relies on.
    return value.proposer === "" || (value.proposer === from && isMember) ? "fast" : null;
  }
  if (fast !== null && sameBallot(ballot, recoveryOf(fast.ballot))) {
    return fast.recovery === "coordinated" && from === fast.coordinator ? "classic" : null;
  }
  if (ballot[0] === 0) {
    return ballot[2] === 0 && mode.kind === "classic" && from === mode.coordinator ? "classic" : null;
  }
  // Step 1 too: its coordinator recovers a ballot whose Any has not come this far.
  return isMember && ballotOwner(ballot) === from ? "classic" : null;
}

/** The fast ballot that a message is about: the one on record, or one that a member says was opened. */
function fastIn(record: AcceptorRecord, { ballot, any }: Accept): FastBallot | null {
  if (any !== undefined) return { ballot, recovery: any, coordinator: ballotOwner(ballot) };
  // The standing ballot stays what the mode says, whatever was opened above it: a message that comes again must not be
  // taken for a breach of the rules.
  if (ballot[0] === 0) return fastBallotOf({ state: record.state });
  return record.any === undefined ? null : fastBallotOf(record);
}

/** R2, the guarded decision: possible only while nothing was promised above the ballot, and it moves on at once. */
function decide(rules: AcceptorRules, record: AcceptorRecord, message: Decide): Transition {
  const { certificate } = message;
  if (certificate.instance < record.instance) {
    return record.decidedBy?.instance === certificate.instance && record.decidedBy.valueId === certificate.valueId
      ? { record, reply: { type: "decided", instance: certificate.instance } }
      : { record, reply: { type: "ahead", snapshot: sent(rules, record) } };
  }
  const vote = record.vote;
  // A promise above says: somebody may already pick without us, counting on us never to decide.
  if (
    vote === null || !sameBallot(record.promised, certificate.ballot) || !sameBallot(vote.ballot, certificate.ballot) ||
    vote.value.id !== certificate.valueId
  ) {
    return { record, reply: refusal(record, certificate.ballot) };
  }
  // Moving on is part of the guard: a record that stayed could still promise, and report a vote as undecided.
  return moveOn(rules, record, vote.value, certificate, (moved) => ({
    record: moved,
    reply: { type: "decided", instance: certificate.instance },
  }));
}

function learn(rules: AcceptorRules, record: AcceptorRecord, message: Learn): Transition {
  const { certificate, snapshot } = message;
  const learned = (moved: AcceptorRecord): Transition => ({
    record: moved,
    reply: { type: "learned", instance: moved.instance },
  });
  if (certificate !== null && certificate.instance === record.instance) {
    const value = [message.value, record.vote?.value].find((known) => known?.id === certificate.valueId);
    if (value !== undefined) return moveOn(rules, record, value, certificate, learned);
  }
  if (snapshot !== undefined && snapshot.instance > record.instance) {
    return install(rules, record, snapshot, learned);
  }
  // Where the record stands tells the sender whether it has to send the whole state.
  return contradicted(rules, record, snapshot) ?? learned(record);
}

function sent({ machine }: AcceptorRules, record: AcceptorRecord): Snapshot {
  return sentSnapshot(machine, snapshotOf(record));
}

/** What becomes of a record whose state at its instance is another than a peer's; null: it is not, as far as is known. */
function contradicted(
  { machine }: AcceptorRules,
  record: AcceptorRecord,
  snapshot: Snapshot | undefined,
): Transition | null {
  const { instance } = record;
  const found = snapshot?.instance === instance ? difference(machine, record, snapshot) : null;
  return found === null ? null : stop(record, `state ${found[0]} of instance ${instance} is ${found[1]} elsewhere`);
}

function faulty(record: AcceptorRecord, fault: { rejected: string } | { stop: string }): Transition {
  return "stop" in fault ? stop(record, fault.stop) : { record, reply: { type: "rejected", reason: fault.rejected } };
}

/** Somebody's store or memory is corrupt; voting on would spread it. The key says so until a person looks. */
function stop(record: AcceptorRecord, reason: string): Transition {
  return { record: { ...record, stopped: reason }, reply: { type: "stopped", reason } };
}
