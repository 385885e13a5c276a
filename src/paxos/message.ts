/**
 * What the roles say to each other, and what an acceptor keeps: one closed union per direction.
 * Terms are those of Lamport's *Fast Paxos* (2006). Everything here is plain JSON.
 */
import type { Ballot, NodeId } from "./ballot.ts";

/** How a collision in a fast ballot is recovered (Fast Paxos §3.2): by its coordinator, or by the acceptors themselves. */
export type RecoveryKind = "coordinated" | "uncoordinated";

/** How the standing ballot of an instance is used (PROTOCOL.md §3); decided like everything else. */
export type Mode =
  | { readonly kind: "fast"; readonly recovery: RecoveryKind; readonly coordinator: NodeId }
  | { readonly kind: "classic"; readonly coordinator: NodeId }
  | { readonly kind: "prepare" };

/** A lease: what it is a lease of, and the id of the value that granted or last renewed it (§7). */
export type LeaseName = { readonly id: string; readonly by: string };

/** A lease of a state with its duration. */
export type LeaseTerm = LeaseName & { readonly ttlMs: number };

/** What a client asked for; `op` is the machine's business. Bytes are frozen at first send (§6). */
export type Command = {
  readonly subject: string;
  readonly id: string;
  /** The command was applied in no instance below this one. */
  readonly born: number;
  readonly op: { readonly type: string };
};

export type Value = {
  readonly id: string;
  /** The acceptor that proposes it itself (R1), or `""` for a value anybody may send. */
  readonly proposer: NodeId | "";
  readonly commands: readonly Command[];
  /** Leases this value ends because they ran out; an acceptor votes only if it saw each run out. */
  readonly claims?: readonly LeaseName[];
  readonly nextMode?: Mode;
  /** From this value on the key's state is that of rules of this version, at least (§3). */
  readonly machine?: number;
};

/** The kind of the ballot that a vote was cast in: who could choose with it depends on that (§2). */
export type VoteKind = "classic" | "fast" | "uncoordinated";

export type Vote = { readonly ballot: Ballot; readonly kind: VoteKind; readonly value: Value };

/** The machine's state as the roles see it; only its mode matters to them. */
export type State = { readonly mode: Mode };

/** Which acceptors chose a value, in which ballot, by which rule (§2). */
export type Certificate = {
  readonly instance: number;
  readonly ballot: Ballot;
  /** `inclusive` is valid only with the value's proposer among the acceptors. */
  readonly kind: "classic" | "open" | "inclusive";
  readonly valueId: string;
  readonly acceptors: readonly NodeId[];
};

/** S(instance − 1), which opens `instance`. */
export type Snapshot = {
  readonly instance: number;
  readonly state: State;
  readonly stateHash: string;
  /** The hash of all that the state says, where `stateHash` is another (§3); its sender may leave it out. */
  readonly contentHash?: string;
  readonly decidedBy: Certificate | null;
};

/** A ballot that its owner opened to everybody's values by an Any, as an acceptor keeps it. */
export type OpenedBallot = { readonly ballot: Ballot; readonly recovery: RecoveryKind };

/** The fast ballot of an instance, and who recovers it where that is coordinated. */
export type FastBallot = OpenedBallot & { readonly coordinator: NodeId };

/** What an acceptor keeps of one key: its ballot part (`promised`, `any`, `vote`, `instance`) and S(I−1). */
export type AcceptorRecord = {
  readonly epoch: number;
  readonly instance: number;
  readonly state: State;
  readonly stateHash: string;
  readonly decidedBy: Certificate | null;
  readonly promised: Ballot;
  /** The explicit fast ballot it knows of; dropped once it has promised above that ballot's recovery. */
  readonly any?: OpenedBallot;
  readonly vote: Vote | null;
  /**
   * At instances up to this one it takes no vote in the standing fast ballot but the one it has: a process before this one may have
   * sent a value of its own there, and died before its vote was durable (§2, R1).
   */
  readonly barred?: number;
  /** Set once the record contradicts what a peer proved; the key then answers only this. */
  readonly stopped?: string;
};

/** What the sender knows of the instance before, so that a receiver one step behind can follow (§3). */
export type Alignment = { readonly decided?: Certificate; readonly snapshot?: Snapshot };

type Addressed = { readonly key: string; readonly epoch: number; readonly instance: number };

/** 1a */
export type Prepare = Addressed & Alignment & { readonly type: "prepare"; readonly ballot: Ballot };
/**
 * 2a with the value "any" (Fast Paxos §3.1): the owner of `ballot`, whose phase 1 left the pick free, opens it to
 * everybody's values.
 */
export type Any = Addressed & Alignment & OpenedBallot & { readonly type: "any" };
/** 2a, or a proposal in a fast ballot */
export type Accept = Addressed & Alignment & {
  readonly type: "accept";
  readonly ballot: Ballot;
  readonly value: Value;
  /**
   * In an explicit fast ballot, from a member: that an Any has opened it, and with which recovery. An acceptor that the
   * Any has not reached would else take the owner's own proposal for the value of a classic ballot.
   */
  readonly any?: RecoveryKind;
};
/** "`instance` is decided": by `certificate`, or with everything before it by a snapshot of a later instance. */
export type Learn = Addressed & {
  readonly type: "learn";
  readonly certificate: Certificate | null;
  readonly value?: Value;
  readonly snapshot?: Snapshot;
};
export type Read = Addressed & { readonly type: "read" };
/** "Have you seen these leases run out?" Changes nothing (§7). */
export type AskLapsed = Addressed & { readonly type: "lapsed?"; readonly leases: readonly LeaseName[] };

/** R2: the proposer's guarded decision on its own record. Never on the wire. */
export type Decide = Addressed & { readonly type: "decide"; readonly certificate: Certificate };
/** The coordinator's pick and self-vote in the recovery of the fast `ballot`, in one write. Never on the wire. */
export type Recover = Addressed & Alignment & {
  readonly type: "recover";
  readonly ballot: Ballot;
  readonly reports: readonly Report[];
  /** Id of the value to make if the pick is free. */
  readonly freshId: string;
};

/** Uncoordinated recovery of `ballot`: an acceptor's own pick and vote, from what the others told it. Never on the wire. */
export type PickOwn = Addressed & Alignment & {
  readonly type: "pick";
  readonly ballot: Ballot;
  readonly reports: readonly Report[];
};

/** What a peer may send to an acceptor. */
export type PeerMessage = Prepare | Any | Accept | Learn | Read | AskLapsed;
/** What the node's own roles may send besides. */
export type AcceptorMessage = PeerMessage | Decide | Recover | PickOwn;

/** One acceptor's vote at an instance: a 1b, or a 2b read as one. */
export type Report = { readonly from: NodeId; readonly vote: Vote | null };

/** What a process has learned and not written yet, numbered: as of this answer up to `last`, and all up to `saved` is written. */
export type Unsaved = { readonly run: string; readonly last: number; readonly saved: number };

/** Replies; each is matched by sender, instance and full ballot, so a repeated one counts once. */
export type AcceptorReply =
  /** 1b */
  | { readonly type: "promise"; readonly instance: number; readonly ballot: Ballot; readonly vote: Vote | null }
  /** The ballot is open to everybody's values here. */
  | { readonly type: "opened"; readonly instance: number; readonly ballot: Ballot }
  /** 2b */
  | {
    readonly type: "accepted";
    readonly instance: number;
    readonly ballot: Ballot;
    readonly kind: VoteKind;
    readonly valueId: string;
  }
  /** A recovery's pick, voted for in the same write. Never on the wire. */
  | { readonly type: "picked"; readonly instance: number; readonly ballot: Ballot; readonly value: Value }
  /** No vote for it: promised higher, or voted in this ballot already (`vote` tells for what). */
  | {
    readonly type: "refused";
    readonly instance: number;
    readonly ballot: Ballot;
    readonly promised: Ballot;
    readonly vote: Vote | null;
  }
  | { readonly type: "not-lapsed"; readonly instance: number; readonly ballot: Ballot; readonly remainingMs: number }
  /** The instance asked about is decided; a decision, never a "no vote". */
  | { readonly type: "ahead"; readonly snapshot: Snapshot }
  /** The instance asked about is not reached: no vote and no promise; send what is missing. */
  | { readonly type: "behind"; readonly instance: number }
  | { readonly type: "learned"; readonly instance: number; readonly unsaved?: Unsaved }
  | { readonly type: "view"; readonly snapshot: Snapshot; readonly promised: Ballot; readonly vote: Vote | null }
  | { readonly type: "lapsed"; readonly instance: number; readonly remainingMs: number }
  | { readonly type: "decided"; readonly instance: number }
  /** The reports do not settle the pick; more of them may. */
  | { readonly type: "undecided"; readonly instance: number }
  /** The message breaks a rule of its ballot. */
  | { readonly type: "rejected"; readonly reason: string }
  | { readonly type: "stopped"; readonly reason: string };

/** To the coordinator: votes seen at an instance whose fast `ballot` collided. */
export type Collision = Addressed & Alignment & {
  readonly type: "collision";
  readonly ballot: Ballot;
  readonly reports: readonly Report[];
};

/** 2b to a learner: what acceptors tell each other where recovery is uncoordinated (§4). */
export type Accepted = Addressed & { readonly type: "accepted"; readonly vote: Vote };

/**
 * Commands for the coordinator of a classic standing ballot, from a node that may not propose there, or for any member
 * from a node that does not vote. The answer only says that they arrived; what they came to `Outcomes` says.
 */
export type Forward = Addressed & {
  readonly type: "forward";
  readonly commands: readonly Command[];
  /** From a node that does not vote: leases that ran out on its clock and must end for these commands to take effect. */
  readonly claims?: readonly LeaseName[];
};

/**
 * What commands came to that the receiver has forwarded, or that lost a recovery which the sender has taken up: to be read
 * beside the state that opens `instance`, or a later one.
 */
export type Outcomes = Addressed & {
  readonly type: "outcomes";
  readonly results: readonly {
    readonly subject: string;
    readonly id: string;
    /** As the machine writes results. */
    readonly result: string;
  }[];
};

/** What the acceptor's host adds to a message: who sent it, as authenticated, and what its clock saw. */
export type Envelope = {
  /** Authenticated sender; `""` for a client. */
  readonly from: NodeId | "";
  /** Milliseconds for which each lease the message names was seen unchanged, keyed by `leaseKey`. */
  readonly seenMs: Readonly<Record<string, number>>;
};

export function leaseKey(lease: LeaseName): string {
  return `${lease.id}@${lease.by}`;
}

/** The deterministic machine under the log, as the roles need it. Pure. */
export interface Machine {
  /** S(0) of a key nobody has used. */
  init(mode: Mode): State;
  /** S(instance) from S(instance − 1). Never throws: what cannot be done yields a result that says so. */
  apply(state: State, instance: number, value: Value): State;
  leases(state: State): readonly LeaseTerm[];
  /** Hex digest that stands for the state, equal on every node at equal instance. */
  hash(state: State): string;
  /** Hex digest of all that the state says; null: `hash` is that. */
  contentHash(state: State): string | null;
  /** Merges commands of collided values into the order of one batch (§4). */
  order(commands: readonly Command[]): readonly Command[];
}
