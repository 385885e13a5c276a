/**
 * The acceptor while its key goes from e into e+1: one pure function, as `stepAcceptor` is (PROTOCOL.md §9). Its host
 * reads the seal and the record in one snapshot, and makes the record durable before the reply leaves.
 */
import {
  type AcceptorMessage,
  type AcceptorRecord,
  type Envelope,
  sentSnapshot,
  snapshotOf,
  stepAcceptor,
} from "../paxos/mod.ts";
import { acceptImport, learnImport, learnState, prepareImport, stepFresh } from "./decree.ts";
import { freshIn, isUnimported, type KeyRecord, type MemberRules, rolesOf, type Unimported } from "./epoch.ts";
import type { ImportMessage, MemberMessage, MemberReply, SealedReport } from "./message.ts";

/** `record` is the very one passed in where nothing changed. */
export type MemberTransition = { readonly record: KeyRecord; readonly reply: MemberReply };

export function stepMember(
  rules: MemberRules,
  record: KeyRecord,
  message: MemberMessage,
  envelope: Envelope,
): MemberTransition {
  const { me, old, next, sealed } = rules;
  if (message.epoch === old.number && !isImport(message)) return stepOld(rules, record, message, envelope);
  if (message.epoch !== next.number) return { record, reply: { type: "rejected", reason: "another epoch" } };
  // What it says and does in e+1 must not be overtaken by what it does in e later.
  if (old.quorums.isMember(me) && !sealed) return { record, reply: { type: "unsealed", epoch: next.number } };
  return isUnimported(record)
    ? stepUnimported(rules, record, message, envelope)
    : stepImported(rules, record, message, envelope);
}

function stepOld(
  rules: MemberRules,
  record: KeyRecord,
  message: AcceptorMessage,
  envelope: Envelope,
): MemberTransition {
  const { me, machine, old, next, sealed } = rules;
  // To reads too: none of these records has what e+1 decides since, and a read in e must not count them.
  if (sealed || !isUnimported(record)) return { record, reply: { type: "moved", epoch: next.number } };
  if (!old.quorums.isMember(me)) return { record, reply: { type: "rejected", reason: "no member of this epoch" } };
  const before = record.old ?? freshIn(machine, old);
  const { record: after, reply } = stepAcceptor({ me, quorums: old.quorums, machine }, before, message, envelope);
  return { record: after === before ? record : { ...record, old: after }, reply };
}

function stepUnimported(
  rules: MemberRules,
  record: Unimported,
  message: MemberMessage,
  envelope: Envelope,
): MemberTransition {
  const report = sealedReport(rules, record);
  const { promised, vote } = record;
  const { first } = rules.next;
  const unimported: MemberTransition = { record, reply: { type: "unimported", promised, vote, first, report } };
  if (message.type === "read") return unimported;
  if (!rules.next.quorums.isMember(rules.me)) {
    // Who votes in neither epoch has nothing to report that a state could take the place of.
    const learned = message.type === "learn" && !rules.old.quorums.isMember(rules.me)
      ? learnState(rules, record, message) ?? unimported
      : null;
    return learned ?? { record, reply: { type: "rejected", reason: "no member of this epoch" } };
  }
  switch (message.type) {
    case "import-prepare":
      return prepareImport(rules, record, message, envelope, report);
    case "import-accept":
      return acceptImport(rules, record, message, envelope);
    case "import-learn":
      return learnImport(rules, record, message) ?? unimported;
    case "fresh":
      return stepFresh(rules, record, message, envelope) ?? unimported;
    default: {
      // Its ballots are of instances, and there is none here, but the message may bring the state that opens one.
      const learned = learnState(rules, record, message);
      if (learned === null) return unimported;
      if (isUnimported(learned.record) || message.type === "learn") return learned;
      return stepAcceptor(rolesOf(rules), learned.record, message, envelope);
    }
  }
}

/** A record of e+1 answers an import with itself: the key is decided as far as it stands, whatever the ballot. */
function stepImported(
  rules: MemberRules,
  record: AcceptorRecord,
  message: MemberMessage,
  envelope: Envelope,
): MemberTransition {
  if (!isImport(message)) return stepAcceptor(rolesOf(rules), record, message, envelope);
  if (record.stopped !== undefined) return { record, reply: { type: "stopped", reason: record.stopped } };
  return { record, reply: { type: "ahead", snapshot: sentSnapshot(rules.machine, snapshotOf(record)) } };
}

export function isImport(message: MemberMessage): message is ImportMessage {
  switch (message.type) {
    case "import-prepare":
    case "import-accept":
    case "import-learn":
    case "fresh":
      return true;
    default:
      return false;
  }
}

/** What imports and reads of e+1 may build on: the record of e, which will never change again; null: it gives none. */
function sealedReport({ me, machine, old, next, sealed }: MemberRules, record: Unimported): SealedReport | null {
  const isRetired = next.first !== null;
  if (!sealed || isRetired || !old.quorums.isMember(me)) return null;
  if (record.old === null) {
    return { snapshot: null, vote: null, ...(record.oldVote === undefined ? {} : { importVote: record.oldVote }) };
  }
  // A record that contradicts what a peer proved says nothing more (§3).
  if (record.old.stopped !== undefined) return null;
  return { snapshot: sentSnapshot(machine, snapshotOf(record.old)), vote: record.old.vote };
}
