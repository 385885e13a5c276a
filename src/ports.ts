/**
 * What a replica needs from the world. Each port has at least two real implementations
 * and one contract suite under test/ that all of them pass.
 */
import type { ImportMessage, ImportReply, ImportVote, SentImport } from "./members/message.ts";
import type { Ballot, NodeId } from "./paxos/ballot.ts";
import type { PeerCause, Receipt } from "./api.ts";
import type {
  Accepted,
  AcceptorMessage,
  AcceptorRecord,
  AcceptorReply,
  Certificate,
  Collision,
  Forward,
  Machine,
  Outcomes,
  PeerMessage,
  Snapshot,
  State,
  Value,
} from "./paxos/message.ts";
import type { Versions } from "./version.ts";

export type { NodeId, PeerCause };

/** Who a store belongs to. Written once, by an explicit init; a store without one never votes (PROTOCOL.md §9). */
export type Identity = {
  readonly cluster: string;
  readonly id: NodeId;
  /** New for each membership of this id. */
  readonly incarnation: string;
  /** Durable count of exclusive opens. */
  readonly boot: number;
  /** New for each exclusive open. */
  readonly run: string;
};

/** A set of members, as it was decided: what its members have to have alike, and where they are reached (PROTOCOL.md §9). */
export type EpochConfig = {
  readonly cluster: string;
  readonly epoch: number;
  /** In byte order of their ids. */
  readonly members: readonly { readonly id: NodeId; readonly url: string }[];
  /** As ClusterConfig has them. */
  readonly modes: readonly { readonly prefix: string; readonly mode: string }[];
  readonly restored?: { readonly count: number; readonly digest: string };
  /** Stores of the first members, as whoever proposed epoch 1 had met them: another cluster may have had the same ids. Epoch 0: none. */
  readonly origin?: Origin;
};
export type Origin = readonly { readonly id: NodeId; readonly incarnation: string }[];

/** What a store says of epochs: that `before` is sealed, since `current` is in force. */
export type EpochsRow = {
  readonly before: EpochConfig;
  /** The instance that a key without a record begins at in `before`. */
  readonly beforeFirst: number;
  readonly current: EpochConfig;
  /** The same in `current`, once it is known that `before` is retired; until then null. */
  readonly first: number | null;
};

/** The same as a store keeps it. `arrived`: its member, new in `current`, has had all names that there were; told to nobody. */
export type KeptEpochs = EpochsRow & { readonly arrived?: true };

/** Which records: those that may be listed, or those too that are kept only for their instances and fences. */
export type Which = "live" | "all";

/** The highest commit of a peer that this store has heard of. */
export type Mark = { readonly incarnation: string; readonly boot: number; readonly run: string; readonly seq: number };

/** The mark of a process whose store belongs to nobody: it speaks for no life of its member. */
export const NO_MARK: Mark = { incarnation: "none", boot: 0, run: "none", seq: 0 };

/** Stands for the `run` of a store that any number of processes serve at once: none of them owns it. */
export const SHARED_RUN = "shared";

/** A record as a store keeps it, with the host's part, of which the roles know nothing. */
export type StoredRecord = AcceptorRecord & {
  /** When somebody who serves a shared store first saw each lease of the state, in ms of the platform's wall clock (§7). */
  readonly firstSeen?: Readonly<Record<string, number>>;
  /** False: there is nothing to list, and no vote that might bring it. One that does not say is live. */
  readonly live?: boolean;
  /** The import of the key into `epoch`, in which it has no record yet: what this member has promised and voted there (PROTOCOL.md §9). */
  readonly importing?: {
    readonly epoch: number;
    readonly promised: Ballot;
    readonly vote: ImportVote | null;
    /** What it had voted for in the import into the epoch before, if that left no record here. */
    readonly before?: ImportVote;
  };
};

/** What a store has of a key, also where that is no record that can be trusted. */
export type Found = {
  readonly record: StoredRecord | null;
  /** What is wrong with what is there, which is then no record; null: nothing, as far as a store can tell. */
  readonly damage: string | null;
  /** Another one as soon as another process has written it; null: no other process can. */
  readonly version: string | null;
};

/** What moved a record on by one instance. */
export type Move = { readonly certificate: Certificate; readonly value: Value };
/** S(instance) from S(instance − 1) and the value decided there, as the machine has it. */
export type Apply = (state: State, instance: number, value: Value) => State;

/**
 * What one step makes of a record: `record` is what to write, or null to write nothing; `move`, if that is all that changed its
 * state, by which a store may keep it instead of the state.
 */
export type StepResult<R> = { readonly record: StoredRecord | null; readonly reply: R; readonly move?: Move };

/**
 * Durable records of one acceptor. `update` runs `step` on the committed record (null: none yet) and
 * resolves with its reply only once what the step saw and what it wrote are committed. The step is pure and
 * may run again on a newer record; an intended write is never applied to a record the step did not see.
 * Rejects with StoreError if the outcome is unknown or the store is gone: nothing may then be said of the vote.
 */
export interface BallotStore {
  /**
   * Whether other processes may serve the same records at this moment. Then nothing that one of them remembers is the
   * last word, commits have no numbers, and `boot` is 0 for ever.
   */
  readonly isShared: boolean;
  update<R>(key: string, step: (record: StoredRecord | null) => StepResult<R>): Promise<R>;
  /** As `update`, also of a key whose record is damaged: what `step` writes takes the place of all that there is of it. */
  mend<R>(key: string, step: (found: Found) => StepResult<R>): Promise<R>;
  /**
   * What a step that writes nothing would see, where that is known at once: the committed record, or null for none. Undefined:
   * `update` has to find it out.
   */
  peek(key: string): StoredRecord | null | undefined;
  /** Whether an update asked for now is written next of this record, which is barred (`barring`) where that write was lost. */
  leads(key: string): boolean;
  /** Keys that have a record, or a live one, in byte order, after `after`, at most `limit`. */
  keys(prefix: string, after: string, limit: number, which?: Which): Promise<readonly string[]>;
  /** The identity this store was initialised with, or null. */
  identity(): Identity | null;
  /** Writes the identity of a new member; rejects if the store has one. */
  init(
    identity: { readonly cluster: string; readonly id: NodeId; readonly incarnation: string; readonly config: string },
    /** The epoch that it is made a member in, if it joins a cluster. Default: it is one of the first members. */
    epochs?: EpochsRow,
  ): Promise<Identity>;
  /**
   * Whether enough others have this incarnation on record for it to vote (PROTOCOL.md §9); null: the store is of a version
   * that did not ask them. False of a store that belongs to nobody.
   */
  lifeConfirmed(): boolean | null;
  /** Writes that they have; resolves when that is durable, for good. Rejects if the store belongs to nobody. */
  confirmLife(): Promise<void>;
  /** The ClusterConfig text written by init, or null. */
  config(): string | null;
  /** What `seal` wrote last, durably; null: the first epoch is in force. */
  epochs(): KeptEpochs | null;
  /**
   * Seals the epoch before `current`, or notes more of the epoch in force; resolves when that is durable. Nothing of that epoch may
   * change any more from when this is called. Rejects with StoreError if it does not go on from what the store has, if the store
   * belongs to nobody, and where others may serve it.
   */
  seal(row: KeptEpochs): Promise<void>;
  /** Number of the last commit; it grows in every atomic. */
  seq(): number;
  /**
   * The last commit made by a process that `confirm` was called in. Opening is a commit too: a store that was rolled back
   * and then opened some times in vain must not look as new as what its peers have heard of (PROTOCOL.md §9).
   */
  spokenSeq(): number;
  /** From now on commits may be spoken of; resolves when that is durable. */
  confirm(): Promise<void>;
  /** Notes a peer's mark; it becomes durable with the next commit, at the latest on `flush`. */
  note(peer: NodeId, mark: Mark): void;
  /** Those this process knows of: of a store of its own, all. */
  marks(): Readonly<Record<NodeId, Mark>>;
  /** The highest mark of a peer that anybody who serves this store has noted durably, or this process at all. */
  recall(peer: NodeId): Promise<Mark | null>;
  /** Resolves when everything noted is durable. */
  flush(): Promise<void>;
  /**
   * Resolves with true once a write that changes nothing is durable, or with false after a read, where that is all that can be
   * tried; else rejects.
   */
  probe(): Promise<boolean>;
  /** Quarantine is for ever: a store that was rolled back must not vote again. */
  quarantine(reason: string): Promise<void>;
  quarantined(): string | null;
  close(): Promise<void>;
}

/** The store could not say whether a write happened, or cannot be used. Its message is for the operator: it may name paths. */
export class StoreError extends Error {
  override name: string = "StoreError";
  /** What is wrong with the store as a whole, in words for anybody; null: nothing is known to be, as with one bad record. */
  readonly fault: string | null;

  constructor(message: string, options: ErrorOptions & { readonly fault?: string | null } = {}) {
    super(message, options);
    this.fault = options.fault ?? null;
  }
}

/** What the store holds of a key is no record that can be trusted. It is not "no record": nothing may be said of the key. */
export class DamagedRecord extends StoreError {
  override name = "DamagedRecord";
}

/** What travels between nodes, by mailbox (api.md, "Between nodes"). */
export type Mailbox = "acceptor" | "coordinator" | "learner";
/**
 * Asks a peer which of this node's commits it has heard of; answering needs no vote. Of the asker itself it is answered
 * once all is durable that its marks have said, this request's too.
 */
export type AskMarks = { readonly type: "marks"; readonly of: NodeId };
export type MarksReply = { readonly type: "marks"; readonly mark: Mark | null; readonly of: NodeId };
/** Asks a member which keys it has; see `BallotStore.keys`. */
export type AskKeys = {
  readonly type: "keys";
  readonly prefix: string;
  readonly after: string;
  readonly limit: number;
  readonly which: Which;
};
/** As many as the limit: there may be further ones after the last. */
export type KeysReply = { readonly type: "keys"; readonly keys: readonly string[] };
/** Asks a member which of these keys have a record of its epoch; answered with those that have. */
export type AskRecords = { readonly type: "records"; readonly keys: readonly string[] };
export type RecordsReply = AskRecords;
type Asked = AskMarks | AskKeys | AskRecords;
export type WireMessage = PeerMessage | SentImport | Collision | Forward | Outcomes | Accepted | Asked;
type Told = MarksReply | KeysReply | RecordsReply | { readonly type: "noted" };
export type WireReply = AcceptorReply | ImportReply | Told | { readonly type: "unavailable"; readonly reason: string };

/** Where each message goes: said once, and read by who sends it, the route that takes it and the node that handles it. */
export const MAILBOX: Readonly<Record<WireMessage["type"], Mailbox>> = {
  prepare: "acceptor",
  any: "acceptor",
  accept: "acceptor",
  learn: "acceptor",
  read: "acceptor",
  "import-prepare": "acceptor",
  "import-accept": "acceptor",
  "import-learn": "acceptor",
  fresh: "acceptor",
  "lapsed?": "acceptor",
  marks: "acceptor",
  keys: "acceptor",
  records: "acceptor",
  collision: "coordinator",
  forward: "coordinator",
  accepted: "learner",
  outcomes: "learner",
};

export const MAILBOXES: readonly Mailbox[] = [...new Set(Object.values(MAILBOX))];
/** No answer from the peer within its deadline, or none that can be believed: neither a vote nor "did not vote". */
export class PeerError extends Error {
  override name = "PeerError";
  /** What it says of the peer; null: nothing, as of a message that was never sent. */
  readonly why: PeerCause | null;
  /** What it answers after the deadline; null: nothing is listened for. Never rejects, and stays open where nothing comes. */
  late: Promise<WireReply> | null = null;

  constructor(message: string, options: ErrorOptions & { readonly why?: PeerCause } = {}) {
    super(message, options);
    this.why = options.why ?? null;
  }
}

export interface Transport {
  /**
   * Resolves with the peer's reply, out of the mailbox MAILBOX names; rejects with PeerError at the peer deadline at the latest,
   * which is later for a peer that is known to be slow.
   */
  send(to: NodeId, message: WireMessage): Promise<WireReply>;
  /**
   * Median of recent round trips in ms, 0 if none is known; or for how long a request is under way that is slower than those, up
   * to 250. What brought nothing but Learns counts for none.
   */
  rttMs(to: NodeId): number;
  close(): void;
}

/** Monotonic time in ms, wall time in whole ms, and timers. */
export interface Clock {
  now(): number;
  wall(): number;
  /** Calls back once after `ms`; returns what cancels it. */
  after(ms: number, run: () => void): () => void;
}

export interface Randomness {
  /** Uniform in [0, 1). */
  next(): number;
  /** A fresh unguessable id of at most 22 URL-safe characters, without "/". */
  id(): string;
}

/** What a trace is shown, as it is: of messages between nodes, of a node's own steps, of its clients' requests. */
export type Sighting =
  | { readonly type: "sent"; readonly to: NodeId; readonly message: WireMessage }
  /** The peer's reply to it; null: none came, or none that can be believed. */
  | {
    readonly type: "answered";
    readonly from: NodeId;
    readonly message: WireMessage;
    readonly reply: WireReply | null;
  }
  /** What this node made of a message, once that is durable or said to be unsaved; its own steps too, which never travel. */
  | {
    readonly type: "handled";
    readonly from: NodeId;
    readonly message: AcceptorMessage | ImportMessage | Collision | Forward | Outcomes | Accepted;
    readonly reply: WireReply;
  }
  /** This node knows a decision: it drove the ballot, or it counted the votes others told it. */
  | {
    readonly type: "decided";
    readonly key: string;
    readonly certificate: Certificate;
    readonly how: "drove" | "counted";
  }
  | { readonly type: "request"; readonly key: string; readonly id: string; readonly what: string }
  | {
    readonly type: "response";
    readonly key: string;
    readonly id: string;
    readonly what: string;
    readonly outcome: string;
    readonly receipt: Receipt | null;
  };

/** How much a line for the operator matters. */
export type Level = "debug" | "info" | "warn" | "error";
/** What such a line is about, for whoever reads it by machine. */
export type About = {
  /** Which change it tells of, as `peer` or `store`; the same in every version. */
  readonly event: string;
  /** Default: `info`. */
  readonly level?: Level;
  /** Texts within the line that name a lock or another thing of users: they are shown at `debug` only. */
  readonly names?: readonly string[];
  /** No name, secret, token or value is among them. */
  readonly facts?: Readonly<Record<string, string | number | boolean | null>>;
};
/** Tells the operator one line. */
export type Report = (line: string, about?: About) => void;

/** What a node counts as it works. Of a name only what it is a name of is kept. */
export interface Meter {
  /** The own record moved on, durably; `value`: what was decided, null where a state that somebody sent moved it. */
  moved(key: string, before: State, after: Snapshot, value: Value | null): void;
  /** A proposal of this node, `ms` ago, is over: its instance was decided, by how. */
  drove(path: Receipt["path"], ms: number): void;
  /** A proposal of this node met another. */
  collided(): void;
  /** This node begins to recover a collision as its coordinator, or a ballot of its own. */
  recovering(kind: "coordinated" | "prepare"): void;
  /** A change is durable, `ms` after it was asked for. */
  committed(ms: number): void;
  /** A peer answered a message, after `ms`. */
  peerAnswered(peer: NodeId, ms: number): void;
  /** A message to a peer got no usable answer. */
  peerFailed(peer: NodeId): void;
}

export const NO_METER: Meter = {
  moved: () => {},
  drove: () => {},
  collided: () => {},
  recovering: () => {},
  committed: () => {},
  peerAnswered: () => {},
  peerFailed: () => {},
};

/** Records what a node sees. Callers ask `on` first, so that a trace that is off costs no object. */
export interface Trace {
  readonly on: boolean;
  record(seen: Sighting): void;
}

export const NO_TRACE: Trace = { on: false, record: () => {} };

/** What every part of one node shares. */
export type Ports = {
  readonly store: BallotStore;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Randomness;
  readonly machine: Machine;
  /** Default: those of nodes that are all of this version. */
  readonly versions?: Versions;
  /** Default: none. */
  readonly trace?: Trace;
  /** Default: none. */
  readonly meter?: Meter;
};
