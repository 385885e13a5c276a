/** What a proposer of one instance knows, hears and says (proposer.ts). */
import { type Ballot, type NodeId, STANDING } from "./ballot.ts";
import type {
  AcceptorMessage,
  AcceptorReply,
  Certificate,
  Collision,
  FastBallot,
  Machine,
  Report,
  Snapshot,
  Value,
} from "./message.ts";
import type { QuorumSystem } from "./quorum.ts";

/** What stays the same for one instance. */
export type ProposerContext = {
  readonly me: NodeId;
  readonly key: string;
  readonly epoch: number;
  readonly quorums: QuorumSystem;
  readonly machine: Machine;
  /** Opens the instance; what a member that is behind gets. */
  readonly opening: Snapshot;
  /** Where values may be proposed without a phase 1, or null (`fastBallotOf` of the own record). */
  readonly fast: FastBallot | null;
  /** What to propose, or null only to finish what others left. */
  readonly value: Value | null;
};

export type ProposerPhase =
  /** Voting for the own value on the own record first (R1). */
  | "self-vote"
  /** Accept! is with everybody in the fast ballot; also while the own record holds somebody else's vote. */
  | "fast"
  | "prepare"
  /** Opening the own ballot to everybody's values on the own record, before anybody else hears of it. */
  | "own-any"
  /** Voting on the own record in a ballot of one's own, before anybody else hears of its value. */
  | "own-accept"
  | "accept"
  | "done";

export type ProposerState = {
  readonly phase: ProposerPhase;
  readonly ballot: Ballot;
  /** Votes known of the fast ballot. */
  readonly fastVotes: readonly Report[];
  /** Anybody else has been sent the value in it. */
  readonly left: boolean;
  /** Members that will not vote in the fast ballot any more. */
  readonly withheld: readonly NodeId[];
  /** The guarded decision (R2) is asked for, or was refused. */
  readonly guard: "none" | "asked" | "refused";
  readonly promises: readonly Report[];
  /** What the current explicit (or classic standing) ballot proposes. */
  readonly proposal: Value | null;
  readonly accepted: readonly NodeId[];
  /** Highest n met in any ballot of this instance. */
  readonly highestN: number;
  /** Values with a claim that an acceptor would not vote for. */
  readonly refusedClaims: readonly string[];
  readonly told: "nothing" | "lost" | "stuck" | "retry";
};

export type ProposerInput =
  | { readonly type: "start" }
  /**
   * The own vote is on its way to the disk, and until it is there the own record takes no other vote in that ballot, whatever comes
   * in between (PROTOCOL.md §2, R1).
   */
  | { readonly type: "casting" }
  | { readonly type: "reply"; readonly from: NodeId; readonly reply: AcceptorReply }
  /** The fast ballot takes too long: let the coordinator recover with what is known. */
  | { readonly type: "suspect" }
  /** Go on by an explicit ballot; `nonce` is new for each attempt. */
  | { readonly type: "prepare"; readonly nonce: string };

export type ProposerOutput =
  | { readonly type: "send"; readonly to: NodeId; readonly message: AcceptorMessage }
  | { readonly type: "collision"; readonly to: NodeId; readonly message: Collision }
  | { readonly type: "decided"; readonly value: Value; readonly certificate: Certificate }
  /** The instance is over and somebody is past it. */
  | { readonly type: "ahead"; readonly snapshot: Snapshot }
  /** Another value can still win the fast ballot: wait for its Learn, then send `suspect`, then `prepare`. */
  | { readonly type: "lost" }
  /** No value can: the coordinator is told; wait for its Learn, then send `prepare`. */
  | { readonly type: "stuck" }
  /** A higher ballot is about, or a claim is not ripe: wait a random, growing time, then send `prepare`. */
  | { readonly type: "retry" }
  /**
   * Nothing was under way and there was nothing to propose: S(I−1) is the newest decided state. Where the
   * key's instances are fast the ballot was opened to everybody's values.
   */
  | { readonly type: "idle" };

export const initialProposer: ProposerState = {
  phase: "self-vote",
  ballot: STANDING,
  fastVotes: [],
  left: false,
  withheld: [],
  guard: "none",
  promises: [],
  proposal: null,
  accepted: [],
  highestN: 0,
  refusedClaims: [],
  told: "nothing",
};
