/** What one node is told of itself and of its cluster. */
import type { Changing } from "../api.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { QuorumSystem } from "../paxos/quorum.ts";
import type { EpochPair } from "../replica/epoch_pair.ts";
import type { LockMachine } from "../machine/machine.ts";
import type { Modes } from "../engine/modes.ts";
import type { Restored } from "../backup/restored.ts";
import type { Origin, Report } from "../ports.ts";

export type NodeOptions = {
  readonly id: NodeId;
  readonly cluster: string;
  /** ClusterConfig as text, for a store to be compared with. Default: not compared. */
  readonly config?: string;
  /** What cluster this one was made of a backup of. Default: none. */
  readonly restored?: Restored | null;
  /** Stores that the cluster began with. Default: those of the members, as this node has met them. */
  readonly origin?: Origin | null;
  readonly urls: Readonly<Record<NodeId, string>>;
  /** Those of the epoch in force. */
  readonly quorums: QuorumSystem;
  /** Default: the first epoch, and none before it. */
  readonly epochs?: EpochPair;
  /** Another node of this process, which has left, had found the store whole, and has spoken with it. Default: none. */
  readonly resumes?: boolean;
  /** What still has to move into this epoch. Default: nothing. */
  readonly changing?: () => Changing | undefined;
  /** Nodes that do not vote, this one included if it is one. Default: none. */
  readonly learners?: readonly NodeId[];
  readonly machine: LockMachine;
  readonly modes: Modes;
  /** SHA-256 in hex. */
  readonly digest: (text: string) => string;
  readonly version: string;
  /** Names unused for so long are forgotten. Default FORGET_AFTER_MS. */
  readonly forgetAfterMs?: number;
  /** One line for the operator. */
  readonly report: Report;
};
