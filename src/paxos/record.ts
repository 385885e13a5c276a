/** An acceptor's record of one key: how it begins, what it says of itself, how it promises (PROTOCOL.md §3). */
import { type Ballot, ballotOwner, compareBallots, type NodeId, recoveryOf, STANDING } from "./ballot.ts";
import type { AcceptorRecord, AcceptorReply, FastBallot, Machine, Mode, Snapshot } from "./message.ts";
import type { QuorumSystem } from "./quorum.ts";

export type AcceptorRules = {
  readonly me: NodeId;
  readonly quorums: QuorumSystem;
  readonly machine: Machine;
  /** The instance behind which a key begins that has no record; the same for all members. Default 0. */
  readonly floor?: number;
};

/** `record` is the very one passed in where nothing changed. */
export type Transition = { readonly record: AcceptorRecord; readonly reply: AcceptorReply };

/** The record of a key nobody has used: the instance behind `floor` is open, 1 but in a restored cluster, on its prefix's mode. */
export function freshRecord(machine: Machine, mode: Mode, floor = 0): AcceptorRecord {
  const state = machine.init(mode);
  return {
    epoch: 0,
    instance: floor + 1,
    state,
    stateHash: machine.hash(state),
    decidedBy: null,
    promised: STANDING,
    vote: null,
  };
}

export function snapshotOf(record: AcceptorRecord): Snapshot {
  const { instance, state, stateHash, decidedBy } = record;
  return { instance, state, stateHash, decidedBy };
}

/** As others are sent it: with what tells them whether they have the same. */
export function sentSnapshot<S extends Snapshot>(machine: Machine, snapshot: S): S {
  const contentHash = machine.contentHash(snapshot.state);
  return contentHash === null ? snapshot : { ...snapshot, contentHash };
}

/** What the record's state and another of its instance are called, where they are not the same; else null. */
export function difference(
  machine: Machine,
  record: AcceptorRecord,
  snapshot: Snapshot,
): readonly [string, string] | null {
  if (snapshot.stateHash !== record.stateHash) return [record.stateHash, snapshot.stateHash];
  const { contentHash } = snapshot;
  const own = contentHash === undefined ? null : machine.contentHash(record.state);
  return contentHash === undefined || own === contentHash ? null : [`${own}`, contentHash];
}

/**
 * The fast ballot of the record's instance, or null if it has none: the explicit one that was opened last, else the
 * standing one where the mode makes it fast. Whether votes are still cast in it, `promised` says.
 */
export function fastBallotOf({ any, state: { mode } }: Pick<AcceptorRecord, "any" | "state">): FastBallot | null {
  if (any !== undefined) return { ...any, coordinator: ballotOwner(any.ballot) };
  if (mode.kind !== "fast") return null;
  return { ballot: STANDING, recovery: mode.recovery, coordinator: mode.coordinator };
}

/** An opened ballot is forgotten with the promise that ends it and its recovery. */
export function promising(record: AcceptorRecord, ballot: Ballot): AcceptorRecord {
  const { any, ...rest } = record;
  const goesOn = any !== undefined && compareBallots(ballot, recoveryOf(any.ballot)) <= 0;
  return { ...rest, promised: ballot, ...(goesOn ? { any } : {}) };
}

export function refusal(record: AcceptorRecord, ballot: Ballot): AcceptorReply {
  return { type: "refused", instance: record.instance, ballot, promised: record.promised, vote: record.vote };
}
