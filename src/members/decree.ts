/**
 * The import of a key at an acceptor of e+1: one single-decree Paxos for the key and the epoch (PROTOCOL.md §9). Its value
 * names the instance and the state that it builds on, so two imports with different reports can never both go on.
 */
import { remaining } from "../paxos/claims.ts";
import {
  type AcceptorMessage,
  type AcceptorRecord,
  type Ballot,
  ballotOwner,
  compareBallots,
  type Envelope,
  type Learn,
  sameBallot,
  type Snapshot,
  stepAcceptor,
} from "../paxos/mod.ts";
import {
  type Epochs,
  freshBase,
  type KeyRecord,
  type MemberRules,
  rolesOf,
  stateIn,
  type Unimported,
} from "./epoch.ts";
import type { Fresh, ImportAccept, ImportLearn, ImportPrepare, MemberReply, SealedReport } from "./message.ts";

type Step = { readonly record: KeyRecord; readonly reply: MemberReply };

export function prepareImport(
  rules: MemberRules,
  record: Unimported,
  { ballot }: ImportPrepare,
  { from }: Envelope,
  report: SealedReport | null,
): Step {
  if (!isOwners(rules, ballot, from)) {
    return { record, reply: { type: "rejected", reason: "an import is prepared by its owner, a member" } };
  }
  const { vote } = record;
  const order = compareBallots(ballot, record.promised);
  // A repeated Prepare gets the same answer only as long as no vote was cast in the ballot.
  const isUsed = vote !== null && sameBallot(vote.ballot, ballot);
  if (order < 0 || isUsed) return { record, reply: refusal(record, ballot) };
  // The e-part stays beside the promise: others may need its report.
  const promised = order === 0 ? record : { ...record, promised: ballot };
  const { first } = rules.next;
  return { record: promised, reply: { type: "import-promise", ballot, vote, first, report } };
}

export function acceptImport(rules: MemberRules, record: Unimported, message: ImportAccept, envelope: Envelope): Step {
  const { ballot, base, value } = message;
  const { machine, me } = rules;
  if (!isOwners(rules, ballot, envelope.from)) {
    return { record, reply: { type: "rejected", reason: "an import is proposed by its owner, a member" } };
  }
  const { vote } = record;
  const accepted = { type: "import-accepted", ballot, valueId: value.id } as const;
  if (vote !== null && sameBallot(vote.ballot, ballot)) {
    const isSame = vote.value.id === value.id && isSameBase(vote.base, base.instance, base.stateHash);
    if (isSame) return { record, reply: accepted };
    // A twin of this process may have voted in our ballot first; nobody else may send a second value in it.
    const isTwin = envelope.from === me;
    return {
      record,
      reply: isTwin ? refusal(record, ballot) : { type: "rejected", reason: "two values in an import" },
    };
  }
  if (compareBallots(ballot, record.promised) < 0) return { record, reply: refusal(record, ballot) };
  const { state, stateHash, contentHash } = base;
  const isWhole = machine.hash(state) === stateHash &&
    (contentHash === undefined || machine.contentHash(state) === contentHash);
  if (!isWhole) return { record, reply: { type: "rejected", reason: "the base's hash is not its state's" } };
  const remainingMs = remaining(rolesOf(rules), standIn(rules, record, base), value.claims ?? [], envelope);
  if (remainingMs > 0) {
    return { record, reply: { type: "not-lapsed", instance: base.instance, ballot, remainingMs } };
  }
  return { record: { ...record, promised: ballot, vote: { ballot, kind: "classic", base, value } }, reply: accepted };
}

/** The own vote is applied if it is for what was decided; null: it is not. */
export function learnImport(
  rules: MemberRules,
  record: Unimported,
  { key, epoch, certificate, baseHash }: ImportLearn,
): Step | null {
  const { vote } = record;
  // Without the base this could be the certificate of a later instance of another import, with the same value.
  if (vote === null || !isSameBase(vote.base, certificate.instance, baseHash)) return null;
  if (vote.value.id !== certificate.valueId) return null;
  const learn: Learn = { type: "learn", key, epoch, instance: certificate.instance, certificate };
  return settled(rules, record, standIn(rules, record, vote.base), learn);
}

/** The state of e+1 that a message brings is taken over; null: it brings none. */
export function learnState(rules: MemberRules, record: Unimported, message: AcceptorMessage): Step | null {
  const snapshot = "snapshot" in message ? message.snapshot : undefined;
  // What is nobody's yet has no certificate: it is no record's state, and nothing may be built on it.
  if (snapshot === undefined || snapshot.decidedBy === null) return null;
  const { key, epoch } = message;
  const learn: Learn = { type: "learn", key, epoch, instance: snapshot.instance, certificate: null, snapshot };
  // Below the snapshot, whatever an import that came to nothing was to begin at.
  const below = { ...record.vote?.base ?? snapshot, instance: snapshot.instance - 1 };
  return settled(rules, record, standIn(rules, record, below), learn);
}

/**
 * The standing ballot of a key that is in no list of e: ballot 0 of the import, on the fresh state. Explicit ballots of
 * a fresh key are imports like all others. Null: nothing is known to be fresh, or an import stands above it.
 */
export function stepFresh(rules: MemberRules, record: Unimported, { message }: Fresh, envelope: Envelope): Step | null {
  const base = freshBase(rules);
  if (base === null || !isStanding(message, base) || (record.vote !== null && record.vote.ballot[0] > 0)) return null;
  const before = standIn(rules, record, base);
  const { record: after, reply } = stepAcceptor(rolesOf(rules), before, message, envelope);
  if (after === before) return { record, reply: { type: "fresh", reply } };
  if (after.vote === null || after.stopped !== undefined) {
    return { record: goingOn(rules, after), reply: { type: "fresh", reply } };
  }
  const vote = { ...after.vote, base };
  return { record: { ...record, promised: after.promised, vote }, reply: { type: "fresh", reply } };
}

/**
 * The key as who proposes in that ballot takes it; null: it has to be imported, since it is not known to be fresh, or an import
 * is under way here, or nobody may use the ballot.
 */
export function openFresh(epochs: Epochs, record: Unimported): AcceptorRecord | null {
  const { old, oldVote, promised } = record;
  const base = freshBase(epochs);
  if (base === null || old !== null || oldVote !== undefined || promised[0] > 0) return null;
  return base.state.mode.kind === "prepare" ? null : standIn(epochs, record, base);
}

/** A message of that ballot with its mark. */
export function markedFresh<M extends Fresh["message"]>(message: M): Fresh & { readonly message: M } {
  const { key, epoch } = message;
  return { type: "fresh", key, epoch, message };
}

function isStanding(message: Fresh["message"], base: Snapshot): boolean {
  const { instance, ballot } = message.type === "decide" ? message.certificate : message;
  return instance === base.instance && ballot[0] === 0;
}

/** As the roles of e+1 decide on a record that stands where the import does. */
function settled(rules: MemberRules, record: Unimported, before: AcceptorRecord, learn: Learn): Step {
  const { record: after, reply } = stepAcceptor(rolesOf(rules), before, learn, { from: "", seenMs: {} });
  return { record: after === before ? record : goingOn(rules, after), reply };
}

/** A record of e+1, with the state as e+1 goes on with it. */
function goingOn({ machine, next }: MemberRules, record: AcceptorRecord): AcceptorRecord {
  const state = stateIn(next, record.state);
  return state === record.state ? record : { ...record, state, stateHash: machine.hash(state) };
}

/** The import as a record of e+1 at its base, so that the roles' own rules can be asked. Nobody else is told of it. */
function standIn({ next }: Epochs, { promised, vote: cast }: Unimported, base: Snapshot): AcceptorRecord {
  const { instance, state, stateHash, decidedBy } = base;
  const vote = cast === null ? null : { ballot: cast.ballot, kind: cast.kind, value: cast.value };
  return { epoch: next.number, instance, state, stateHash, decidedBy, promised, vote };
}

function isOwners({ next }: MemberRules, ballot: Ballot, from: string): boolean {
  return ballot[0] >= 1 && ballot[2] === 0 && ballotOwner(ballot) === from && next.quorums.isMember(from);
}

function isSameBase(base: Snapshot, instance: number, stateHash: string): boolean {
  return base.instance === instance && base.stateHash === stateHash;
}

function refusal({ promised, vote }: Unimported, ballot: Ballot): MemberReply {
  return { type: "import-refused", ballot, promised, vote };
}
