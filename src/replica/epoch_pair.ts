/** Two sets of members that follow each other, as a node goes from one to the next (PROTOCOL.md §9). */
import type { Modes } from "../engine/modes.ts";
import type { QuorumSystem } from "../paxos/quorum.ts";

/** Constant while a node runs, but for what `first` gives. The seal of the old epoch is durable before there is such a node. */
export type EpochPair = {
  readonly old: {
    readonly number: number;
    readonly quorums: QuorumSystem;
    readonly modes: Modes;
    /** The instance that a key without a record begins at in that epoch. */
    readonly first: number;
  };
  readonly next: { readonly number: number; readonly quorums: QuorumSystem };
  /** The same of the next epoch, once this node knows that the old one is retired; until then null. */
  readonly first: () => number | null;
};
