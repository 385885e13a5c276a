/** What the own record shows, and how those are called who are told of it. */
import { hasMet, isAsNew } from "../engine/acceptor_messages.ts";
import { isImport } from "../members/acceptor.ts";
import type { SentMessage, SentReply } from "../members/message.ts";
import { type NodeId, sameBallot, STANDING } from "../paxos/ballot.ts";
import { barredAt } from "../paxos/barring.ts";
import type { AcceptorRecord, FastBallot, Snapshot, Value, Vote } from "../paxos/message.ts";
import { stepAcceptor } from "../paxos/acceptor.ts";
import { type AcceptorRules, fastBallotOf, snapshotOf } from "../paxos/record.ts";
import type { BallotStore, Move } from "../ports.ts";
import { acceptorReplyIn } from "./peer_reply.ts";

export type View = {
  readonly snapshot: Snapshot;
  readonly vote: Vote | null;
  /** Where values may be proposed without a phase 1. */
  readonly fast: FastBallot | null;
  /** False: it is of the epoch before, and nothing may be proposed on it. */
  readonly isImported: boolean;
};
/** `fresh`: as `MemberRecords.fresh` has it. */
export type OwnRecord = {
  readonly record: AcceptorRecord;
  readonly isImported: boolean;
  readonly fresh: AcceptorRecord | null;
};
/** `isFresh`: nobody has a record of the key in this epoch, as far as is known here, and it may be begun without an import. */
export type Opening = View & { readonly isFresh?: true };

/**
 * Called when the own record cast a vote, once that is durable, and when its vote of a fast ballot `met` another value
 * there. `fast` is the instance's fast ballot.
 */
export type VoteListener = (vote: OwnVote, why: "cast" | "met") => void;
export type OwnVote = {
  readonly key: string;
  readonly instance: number;
  readonly vote: Vote;
  readonly fast: FastBallot | null;
};

/** Why whoever listens is told of the vote that a message left; null: it is no news. */
export function whyTold(
  before: Vote | null,
  vote: Vote | null,
  message: SentMessage,
  isOwn: boolean,
): "cast" | "met" | null {
  if (vote === null) return null;
  if (vote !== before) return "cast";
  // An own value that its own record has no vote for has met nobody: it stays at home.
  return !isImport(message) && hasMet(vote, message) && !isOwn ? "met" : null;
}

/**
 * Called after a record has moved to a later instance, in memory at least (write_behind.ts). `value`: what was decided at the
 * instance before, null where a state that somebody sent moved it.
 */
export type MoveListener = (key: string, snapshot: Snapshot, value: Value | null) => void;
/** The same for every key; `from` is the instance the record stood at before. */
export type AnyMoveListener = (key: string, snapshot: Snapshot, from: number) => void;

export function viewOf(record: AcceptorRecord, isImported = true): View {
  // Where its own record would refuse its vote, a proposer goes on by a ballot of its own at once.
  const isBarred = record.vote === null && sameBallot(record.promised, STANDING) &&
    barredAt(record, record.instance).barred !== undefined;
  return { snapshot: snapshotOf(record), vote: record.vote, fast: isBarred ? null : fastBallotOf(record), isImported };
}

/** Whether the record stands where the sender of the message stood. */
export function isAsNewAs(message: SentMessage, said: SentReply, isOwn: boolean): boolean {
  const reply = acceptorReplyIn(said);
  return !isImport(message) && reply !== null && isAsNew(message, reply, isOwn);
}

/**
 * A Learn of what this record voted for: the vote is durable, so a crash loses nothing but the word that it was decided. A peer
 * says it again then; what this node decided or counted itself nobody does, but a quorum that anybody may count shows it to all.
 */
export function mayWait(
  { me, quorums }: AcceptorRules,
  store: BallotStore,
  { type }: SentMessage,
  from: NodeId | "",
  { vote }: AcceptorRecord,
  { certificate }: Move,
): boolean {
  if (type !== "learn" || !quorums.isMember(me) || (from === me && certificate.kind === "inclusive")) return false;
  // A store that others serve has no memory but its rows, and what belongs to nobody no name by which a peer knows it again.
  if (store.isShared || store.identity() === null) return false;
  return vote?.value.id === certificate.valueId;
}

/** A held move made again on the record as it is stored by now; null: it does not follow on it. */
export function movedAgain(
  rules: AcceptorRules,
  key: string,
  stored: AcceptorRecord,
  { certificate, value }: Move,
): AcceptorRecord | null {
  const { epoch, instance, vote } = stored;
  // The commit of that vote was lost, and whoever learned of it in the same turn has not heard of that yet.
  if (vote?.value.id !== value.id) return null;
  const learn = { type: "learn", key, epoch, instance, certificate, value } as const;
  const { record } = stepAcceptor(rules, stored, learn, { from: rules.me, seenMs: {} });
  return record.instance === instance ? null : record;
}
