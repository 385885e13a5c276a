/** Two epochs that follow each other, and what a member keeps of one key while it goes from e into e+1 (PROTOCOL.md §9). */
import {
  type AcceptorRecord,
  type AcceptorRules,
  type Ballot,
  freshRecord,
  type Machine,
  type Mode,
  type NodeId,
  type QuorumSystem,
  type Snapshot,
  snapshotOf,
  STANDING,
  type State,
} from "../paxos/mod.ts";
import type { ImportVote } from "./message.ts";

export type Epoch = {
  readonly number: number;
  readonly quorums: QuorumSystem;
  /** The mode that a key of this prefix begins with. */
  readonly mode: Mode;
  /**
   * The instance that a key without a record begins at: one above the floor that retired the epoch before. Null until it
   * is known that this is decided: a key without a record may stand in the epoch before. A member keeps what it knows
   * of that where it keeps its seal.
   */
  readonly first: number | null;
};

/** What the roles of a key need to know: e, which is `old`, and e+1, which is `next`. */
export type Epochs = {
  readonly machine: Machine;
  /** Only one epoch is ever left at a time, so the one before e is retired. */
  readonly old: Epoch & { readonly first: number };
  readonly next: Epoch;
};

/** What a member goes by. */
export type MemberRules = Epochs & {
  readonly me: NodeId;
  /** Whether the seal of e is durable here. From then on nothing of e changes. */
  readonly sealed: boolean;
};

/** A key that has no record of e+1 yet. */
export type Unimported = {
  /** What the member holds of the key in e, null for nothing. It stays what it is from the seal on. */
  readonly old: AcceptorRecord | null;
  /** Promise and vote in the import, which is one single-decree instance and knows no instance number. */
  readonly promised: Ballot;
  readonly vote: ImportVote | null;
  /** What it voted for in the import into e, of a key that has no record of e here. It stays too. */
  readonly oldVote?: ImportVote;
};

/** What a member keeps of a key: once it is imported that is an ordinary record, of epoch e+1. */
export type KeyRecord = Unimported | AcceptorRecord;

export function isUnimported(record: KeyRecord): record is Unimported {
  return "old" in record;
}

/** What a member that has never heard of a key keeps of it; `old` is what it has of it in e. */
export function unimported(old: AcceptorRecord | null): Unimported {
  return { old, promised: STANDING, vote: null };
}

/** The record of a key that nobody has used in this epoch. */
export function freshIn(machine: Machine, epoch: Epoch & { readonly first: number }): AcceptorRecord {
  return { ...freshRecord(machine, epoch.mode), epoch: epoch.number, instance: epoch.first };
}

/** What a key without a record begins with in e+1, or null: it may stand in e. */
export function freshBase({ machine, next }: Epochs, first = next.first): Snapshot | null {
  return first === null ? null : snapshotOf(freshIn(machine, { ...next, first }));
}

/** A state as e+1 goes on with it: a mode that names somebody who is no member any more gives way to the default. */
export function stateIn({ quorums, mode }: Epoch, state: State): State {
  if (state.mode.kind === "prepare" || quorums.isMember(state.mode.coordinator)) return state;
  return { ...state, mode };
}

/** As the roles of e+1 are asked. */
export function rolesOf({ me, next, machine }: MemberRules): AcceptorRules {
  return { me, quorums: next.quorums, machine };
}
