/**
 * The acceptor: one pure function from a record and a message to a record and a reply
 * (Fast Paxos §2.2 and §3.1; PROTOCOL.md §3). Its host makes the record durable before the reply leaves.
 */
import { unreachable } from "../assert.ts";
import { DRIFT } from "../limits.ts";
import {
  type Ballot,
  ballotOwner,
  compareBallots,
  type NodeId,
  sameBallot,
  STANDING,
  STANDING_RECOVERY,
} from "./ballot.ts";
import { batchValues } from "./batch.ts";
import { faultIn } from "./certificate.ts";
import {
  type Accept,
  type AcceptorMessage,
  type AcceptorRecord,
  type AcceptorReply,
  type Alignment,
  type AskLapsed,
  type Certificate,
  type Decide,
  type Envelope,
  type Learn,
  leaseKey,
  type LeaseName,
  type Machine,
  type Mode,
  type PickOwn,
  type Prepare,
  type Recover,
  type Report,
  type Snapshot,
  type Value,
  type VoteKind,
} from "./message.ts";
import { pickValue } from "./pick_value.ts";
import type { QuorumSystem } from "./quorum.ts";

export type AcceptorRules = { readonly me: NodeId; readonly quorums: QuorumSystem; readonly machine: Machine };

/** `record` is the very one passed in where nothing changed. */
export type Transition = { readonly record: AcceptorRecord; readonly reply: AcceptorReply };

/** The record of a key nobody has used: instance 1 is open, on the mode its prefix has. */
export function freshRecord(machine: Machine, mode: Mode): AcceptorRecord {
  const state = machine.init(mode);
  return {
    epoch: 0,
    instance: 1,
    state,
    stateHash: machine.hash(state),
    decidedBy: null,
    promised: STANDING,
    vote: null,
  };
}

export function transition(
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
        reply: { type: "view", snapshot: snapshotOf(record), promised: record.promised, vote: record.vote },
      };
    case "lapsed?":
      return { record, reply: lapsed(rules, record, message, envelope) };
    default:
      return unreachable(message);
  }
}

export function snapshotOf(record: AcceptorRecord): Snapshot {
  const { instance, state, stateHash, decidedBy } = record;
  return { instance, state, stateHash, decidedBy };
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
  if (instance < record.instance) return { record, reply: { type: "ahead", snapshot: snapshotOf(record) } };
  if (instance === record.instance) {
    if (snapshot?.instance === instance && snapshot.stateHash !== record.stateHash) {
      return stop(record, `state ${record.stateHash} of instance ${instance} is ${snapshot.stateHash} elsewhere`);
    }
    return next(record);
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
  const { instance, state, decidedBy } = snapshot;
  if (rules.machine.hash(state) !== snapshot.stateHash) {
    return { record, reply: { type: "rejected", reason: "the snapshot's hash is not its state's" } };
  }
  if (decidedBy !== null && decidedBy.instance === instance - 1) {
    const fault = faultIn(rules, record, decidedBy);
    if (fault !== null) return faulty(record, fault);
  }
  const { epoch } = record;
  return next({ epoch, instance, state, stateHash: snapshot.stateHash, decidedBy, promised: STANDING, vote: null });
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
  return { record: { ...record, promised: ballot }, reply };
}

/** Phase 2b (Fast Paxos §2.2 and §3.1): at most one vote per ballot, and none below a promise. */
function accept(rules: AcceptorRules, record: AcceptorRecord, message: Accept, envelope: Envelope): Transition {
  const { instance, ballot, value } = message;
  const kind = kindOf(rules, record.state.mode, ballot, value, envelope.from);
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
  const remainingMs = remaining(rules, record, value.claims ?? [], envelope);
  if (remainingMs > 0) return { record, reply: { type: "not-lapsed", instance, ballot, remainingMs } };
  return {
    record: { ...record, promised: ballot, vote: { ballot, kind, value } },
    reply: { type: "accepted", instance, ballot, kind, valueId: value.id },
  };
}

/** The kind of a vote for `value` from `from` in `ballot`, or null if the ballot is not theirs to use so. */
function kindOf(
  rules: AcceptorRules,
  mode: Mode,
  ballot: Ballot,
  value: Value,
  from: NodeId | "",
): VoteKind | null {
  const isMember = rules.quorums.isMember(from);
  if (sameBallot(ballot, STANDING)) {
    if (mode.kind === "classic") return from === mode.coordinator ? "classic" : null;
    if (mode.kind === "prepare") return null;
    // R1: a vote for p's value in a fast ballot exists only because p itself sent it, having voted for it
    // before. So a vote for it anywhere proves p's own vote, which the pick rule relies on.
    return value.proposer === "" || (value.proposer === from && isMember) ? "fast" : null;
  }
  if (sameBallot(ballot, STANDING_RECOVERY)) {
    const coordinated = mode.kind === "fast" && mode.recovery === "coordinated";
    return coordinated && from === mode.coordinator ? "classic" : null;
  }
  return ballot[0] >= 1 && ballot[2] === 0 && isMember && ballotOwner(ballot) === from ? "classic" : null;
}

/** R2, the guarded decision: possible only while nothing was promised above the ballot, and it moves on at once. */
function decide(rules: AcceptorRules, record: AcceptorRecord, message: Decide): Transition {
  const { certificate } = message;
  if (certificate.instance < record.instance) {
    return record.decidedBy?.instance === certificate.instance && record.decidedBy.valueId === certificate.valueId
      ? { record, reply: { type: "decided", instance: certificate.instance } }
      : { record, reply: { type: "ahead", snapshot: snapshotOf(record) } };
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

/**
 * Coordinated recovery (Fast Paxos §3.2): 2b messages of the standing fast ballot read as 1b of its recovery.
 * Own report, pick and self-vote are one write, so the coordinator's own report is a Promise; the others are not.
 */
function recover(rules: AcceptorRules, record: AcceptorRecord, message: Recover, envelope: Envelope): Transition {
  const { instance } = message;
  const mode = record.state.mode;
  if (mode.kind !== "fast" || mode.recovery !== "coordinated" || mode.coordinator !== rules.me) {
    return { record, reply: { type: "rejected", reason: "not the coordinator of this instance" } };
  }
  if (record.vote !== null && sameBallot(record.vote.ballot, STANDING_RECOVERY)) {
    return { record, reply: { type: "picked", instance, ballot: STANDING_RECOVERY, value: record.vote.value } };
  }
  if (compareBallots(STANDING_RECOVERY, record.promised) < 0) {
    return { record, reply: refusal(record, STANDING_RECOVERY) };
  }
  const others = standingVotes(message.reports, rules.me);
  const reports = [...others, { from: rules.me, vote: record.vote }];
  if (!rules.quorums.isPhase1(new Set(reports.map(({ from }) => from)))) {
    return { record, reply: { type: "undecided", instance } };
  }
  const pick = pickValue(rules.quorums, reports, new Set([rules.me]));
  if (pick.type === "ambiguous") return { record, reply: { type: "undecided", instance } };
  const value = pick.type === "forced"
    ? pick.value
    : batchValues(rules.machine, message.freshId, rules.me, pick.collided);
  if (value === null) return { record, reply: { type: "undecided", instance } };
  const remainingMs = remaining(rules, record, value.claims ?? [], envelope);
  if (remainingMs > 0) {
    return { record, reply: { type: "not-lapsed", instance, ballot: STANDING_RECOVERY, remainingMs } };
  }
  return {
    record: { ...record, promised: STANDING_RECOVERY, vote: { ballot: STANDING_RECOVERY, kind: "classic", value } },
    reply: { type: "picked", instance, ballot: STANDING_RECOVERY, value },
  };
}

/**
 * Uncoordinated recovery (Fast Paxos §3.2): every acceptor that voted picks from what the others reported and votes in
 * the recovery ballot itself. Nobody has promised anything, so no proposer counts as held back.
 */
function pickOwn(rules: AcceptorRules, record: AcceptorRecord, message: PickOwn, envelope: Envelope): Transition {
  const { instance } = message;
  const { mode } = record.state;
  const picked = (value: Value): AcceptorReply => ({ type: "picked", instance, ballot: STANDING_RECOVERY, value });
  if (mode.kind !== "fast" || mode.recovery !== "uncoordinated" || envelope.from !== rules.me) {
    return { record, reply: { type: "rejected", reason: "recovery is not uncoordinated here" } };
  }
  if (record.vote !== null && sameBallot(record.vote.ballot, STANDING_RECOVERY)) {
    return { record, reply: picked(record.vote.value) };
  }
  if (compareBallots(STANDING_RECOVERY, record.promised) < 0) {
    return { record, reply: refusal(record, STANDING_RECOVERY) };
  }
  const others = standingVotes(message.reports, rules.me);
  const reports = [...others, { from: rules.me, vote: record.vote }];
  if (record.vote === null || !rules.quorums.isPhase1(new Set(reports.map(({ from }) => from)))) {
    return { record, reply: { type: "undecided", instance } };
  }
  const pick = pickValue(rules.quorums, reports, new Set());
  if (pick.type === "ambiguous") return { record, reply: { type: "undecided", instance } };
  // Only a value that stands already: each acceptor would make another new one, and none of them could win.
  const value = pick.type === "forced" ? pick.value : mostVoted(reports);
  const remainingMs = remaining(rules, record, value.claims ?? [], envelope);
  if (remainingMs > 0) {
    return { record, reply: { type: "not-lapsed", instance, ballot: STANDING_RECOVERY, remainingMs } };
  }
  const vote = { ballot: STANDING_RECOVERY, kind: "uncoordinated", value } as const;
  return { record: { ...record, promised: STANDING_RECOVERY, vote }, reply: picked(value) };
}

/** The same on every acceptor that has heard the same: most votes, then smallest id. */
function mostVoted(reports: readonly Report[]): Value {
  const values = reports.flatMap(({ vote }) => vote === null ? [] : [vote.value]);
  const votes = (id: string) => values.filter((value) => value.id === id).length;
  return values.reduce((a, b) => votes(b.id) - votes(a.id) > 0 || (votes(b.id) === votes(a.id) && b.id < a.id) ? b : a);
}

/** Votes of the standing fast ballot, read as 1b of its recovery; the own one comes from the own record. */
function standingVotes(reports: readonly Report[], me: NodeId): readonly Report[] {
  return reports.filter(({ from, vote }) => from !== me && vote !== null && sameBallot(vote.ballot, STANDING));
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
  if (snapshot?.instance === record.instance && snapshot.stateHash !== record.stateHash) {
    return stop(record, `state ${record.stateHash} of instance ${record.instance} is ${snapshot.stateHash} elsewhere`);
  }
  // Where the record stands tells the sender whether it has to send the whole state.
  return learned(record);
}

function lapsed(
  rules: AcceptorRules,
  record: AcceptorRecord,
  message: AskLapsed,
  envelope: Envelope,
): AcceptorReply {
  const remainingMs = remaining(rules, record, message.leases, envelope);
  return { type: "lapsed", instance: record.instance, remainingMs };
}

/**
 * How long until this acceptor may vote for a value that claims these leases: 0 if now (§7). A lease that is not
 * in the state was renewed or ended meanwhile, so the claim is void: Infinity is no JSON, so its whole range.
 */
function remaining(
  rules: AcceptorRules,
  record: AcceptorRecord,
  claims: readonly LeaseName[],
  envelope: Envelope,
): number {
  if (claims.length === 0) return 0;
  const terms = new Map(rules.machine.leases(record.state).map((lease) => [leaseKey(lease), lease.ttlMs]));
  return Math.max(...claims.map((claim) => {
    const ttlMs = terms.get(leaseKey(claim));
    if (ttlMs === undefined) return Number.MAX_SAFE_INTEGER;
    return Math.max(0, ttlMs * (1 + DRIFT) - (envelope.seenMs[leaseKey(claim)] ?? 0));
  }));
}

function refusal(record: AcceptorRecord, ballot: Ballot): AcceptorReply {
  return { type: "refused", instance: record.instance, ballot, promised: record.promised, vote: record.vote };
}

function faulty(record: AcceptorRecord, fault: { rejected: string } | { stop: string }): Transition {
  return "stop" in fault ? stop(record, fault.stop) : { record, reply: { type: "rejected", reason: fault.rejected } };
}

/** Somebody's store or memory is corrupt; voting on would spread it. The key says so until a person looks. */
function stop(record: AcceptorRecord, reason: string): Transition {
  return { record: { ...record, stopped: reason }, reply: { type: "stopped", reason } };
}
