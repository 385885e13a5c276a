/** What the own record shows, and how those are called who are told of it. */
import type { AcceptorRecord, FastBallot, Snapshot, Vote } from "../paxos/message.ts";
import { fastBallotOf, snapshotOf } from "../paxos/record.ts";

export type View = {
  readonly snapshot: Snapshot;
  readonly vote: Vote | null;
  /** Where values may be proposed without a phase 1. */
  readonly fast: FastBallot | null;
};

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
/** Called after a record has moved to a later instance, once that is durable. */
export type MoveListener = (key: string, snapshot: Snapshot) => void;
/** The same for every key; `from` is the instance the record stood at before. */
export type AnyMoveListener = (key: string, snapshot: Snapshot, from: number) => void;

export function viewOf(record: AcceptorRecord): View {
  return { snapshot: snapshotOf(record), vote: record.vote, fast: fastBallotOf(record) };
}
