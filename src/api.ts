/**
 * The shapes a user sees (JSON bodies under /v1). Fences and revisions are decimal strings,
 * durations are numbers of milliseconds named `…Ms`.
 */

/** A grant: guard what you do with `fence`; it grows with every grant of this name, for ever. */
export type Grant = {
  name: string;
  holder: string;
  fence: string;
  mode: "exclusive" | "shared";
  ttlMs: number;
  /** Nobody else gets the name for this long, counted from `waitedMs` after the caller sent this request. */
  guaranteedForMs: number;
  /** An estimate of when somebody else can, counted likewise. */
  lapsesInMs: number;
  /** How long after this request was sent the ttl began; rounded down, and scaled so that any clock within 1 % may add it. */
  waitedMs: number;
  /** This Idempotency-Key was granted before: the grant was renewed for this request. */
  replayed?: true;
  metadata?: string;
  /** It lives as long as this session, and `ttlMs` is the session's. */
  session?: string;
  revision: string;
};

export type HolderView = {
  holder: string;
  fence: string;
  mode: "exclusive" | "shared";
  lapsesInMs: number;
  metadata?: string;
};

/** Why a lock was not granted; rides in the 409 problem document. */
export type Held = { holders: HolderView[]; queue: number; retryAfterMs: number; yours?: string };

export type WaiterView = { holder: string; position: number; mode: "exclusive" | "shared" };

export type LockState = {
  name: string;
  state: "free" | "held" | "cooling";
  holders: HolderView[];
  /** At most LIST_DEFAULT_ITEMS of them. */
  waiters: WaiterView[];
  waiterCount: number;
  /** "0" if never granted. */
  lastFence: string;
  revision: string;
};

export type ReleaseOutcome = "released" | "already-released" | "taken-over" | "forced" | "ended";
export type Released = { outcome: ReleaseOutcome; fence: string; revision: string };
/** What became of a waiter that was taken out of a queue. `granted`: it has the grant already, and keeps it. */
export type Left = { outcome: "left" | "granted"; fence?: string; revision: string };
export type Forced = { outcome: "forced"; count: number; revision: string };

export type HistoryItem = {
  fence: string;
  holder: string;
  subject: string;
  /** Labels for people, from the wall clocks of the nodes that proposed; nothing is decided by them. */
  from: string;
  to: string;
  end: "released" | "lapsed" | "forced" | "session";
  reason?: string;
};
export type History = { items: HistoryItem[]; revision: string };

/** Grants of several locks, in the order in which they were asked for; all of them or none. */
export type GrantSet = { grants: Grant[] };

/** A leader's grant. `term` is its fence, under the name elections use: guard with it what only the leader may do. */
export type Leadership = {
  name: string;
  candidate: string;
  term: string;
  ttlMs: number;
  /** As in `Grant`: nobody else leads for this long. */
  guaranteedForMs: number;
  lapsesInMs: number;
  waitedMs: number;
  replayed?: true;
  value?: string;
  session?: string;
  revision: string;
};

export type LeaderView = { candidate: string; term: string; lapsesInMs: number; value?: string };

/** Why a campaign was not won; rides in the 409 problem document. */
export type Led = { leader: LeaderView | null; queue: number; retryAfterMs: number; yours?: string };

export type ElectionState = {
  name: string;
  /** Null: nobody leads. */
  leader: LeaderView | null;
  /** At most LIST_DEFAULT_ITEMS of them. */
  waiters: { candidate: string; position: number }[];
  waiterCount: number;
  /** "0" if nobody ever led. */
  lastTerm: string;
  revision: string;
};

export type Resigned = { outcome: ReleaseOutcome; term: string; revision: string };
export type Term = Omit<HistoryItem, "fence" | "holder"> & { term: string; candidate: string };
export type ElectionHistory = { items: Term[]; revision: string };

export type SemaphoreGrant = Omit<Grant, "mode"> & { permits: number; limit: number };
export type SemaphoreHolder = Omit<HolderView, "mode"> & { permits: number };
/** Why permits were not granted. At most HOLDERS_PER_KEY have some at a time, however many are `available`. */
export type SemaphoreHeld = Omit<Held, "holders"> & {
  holders: SemaphoreHolder[];
  limit: number | null;
  available: number | null;
};
export type SemaphoreState = {
  name: string;
  state: "free" | "held" | "cooling";
  /** As of its last use; null if it was never used. */
  limit: number | null;
  available: number | null;
  holders: SemaphoreHolder[];
  /** At most LIST_DEFAULT_ITEMS of them. */
  waiters: { holder: string; position: number; permits: number }[];
  waiterCount: number;
  lastFence: string;
  revision: string;
};

/** A register's value; what names a register is its key. `revision` is its entity tag. */
export type KvValue = {
  key: string;
  revision: string;
  contentType: string;
  /** Base64. */
  value: string;
};
export type KvItem = {
  key: string;
  revision: string;
  contentType: string;
  sizeBytes: number;
  /** Base64, where values were asked for. */
  value?: string;
  /** Ephemeral values only: what one lives by, and an estimate of when it ends unless it is put again. */
  ttlMs?: number;
  session?: string;
  lapsesInMs?: number;
};
export type KvWritten = { key: string; revision: string; ttlMs?: number; session?: string };
export type KvDeleted = { outcome: "deleted"; key: string; revision: string };

/** A session that was opened or kept: what is bound to it lives as long as it does. */
export type SessionGrant = {
  id: string;
  holder: string;
  ttlMs: number;
  /** Nobody ends it but its owner for this long, counted from `waitedMs` after the caller sent this request. */
  guaranteedForMs: number;
  /** An estimate of when it may have ended unless it is kept, counted likewise. */
  lapsesInMs: number;
  waitedMs: number;
  /** This Idempotency-Key has opened it before: it was kept for this request. */
  replayed?: true;
  revision: string;
};
export type BoundName = { noun: string; name: string };
export type SessionState = {
  id: string;
  holder: string;
  ttlMs: number;
  lapsesInMs: number;
  /** Entered before anything is bound there; what was given back leaves in its own time. */
  bound: BoundName[];
  revision: string;
};
export type SessionEnded = { outcome: "ended" | "already-ended"; id: string; revision: string };

export type Page<T> = { items: T[]; cursor: string | null };

/** How an answer came about; sent as Consensus-… headers. */
export type Receipt = {
  path: "fast" | "open-fast" | "classic" | "recovered" | "read";
  instance: number;
  ballot: string;
};
export type Answer<T> = { body: T; receipt: Receipt };

/** Why a node and another do not serve each other. */
export const PEER_CAUSES = [
  "refused",
  "timed-out",
  "unreachable",
  "certificate",
  "other-secret",
  "no-member",
  "other-members",
  "other-wire",
  "wrong-node",
  "other-life",
  "not-ready",
  "no-vote",
  "failed",
] as const;
export type PeerCause = typeof PEER_CAUSES[number];
export type PeerFault = {
  cause: PeerCause;
  /** In words, with what to do where that is known. */
  detail: string;
  /** When it began, as this node saw it: RFC 3339. */
  since: string;
};

/** Names that have to move from the epoch `from` into `to`, and members of `from` that are needed until then. */
export type Changing = {
  from: number;
  to: number;
  /** Members of `from` that are in `to`, as far as this node has heard. */
  sealed: number;
  of: number;
  /** Names that this node has seen to. */
  moved: number;
  /** Null: this node does not move them, or has not counted them yet. */
  total: number | null;
  /** Members of `from` that may fail until all names have moved. */
  spare: number;
};

/** The members; `changing` is absent once all names are theirs. */
export type MembersState = {
  cluster: string;
  epoch: number;
  members: { id: string; url: string }[];
  /** Ids of the members of the epoch before; absent in the first epoch. */
  before?: string[];
  changing?: Changing;
};
export type MembersChanged = MembersState & { outcome: "changed" | "unchanged" };

export type NodeStatus = {
  id: string;
  cluster: string;
  members: {
    id: string;
    url: string;
    /** It answered the last time it was asked. */
    reachable: boolean;
    rttMs: number;
    /** How long ago it answered last; null: never, or it is this node. */
    heardAgoMs: number | null;
    /** Its release; absent: it has said nothing yet, or is of one that does not say. */
    version?: string;
    /** The wire that the two speak, of the node itself the newest it speaks; absent: it has said nothing yet. */
    wire?: number;
    /** Absent: all is well between the two. */
    fault?: PeerFault;
  }[];
  /** Nodes that are no members and that something is wrong with: learners, and strangers that were refused. */
  others?: (PeerFault & { id: string })[];
  epoch: number;
  /** Absent: no name has to move from the epoch before. */
  changing?: Changing;
  /** Votes and promises are given. */
  voting: boolean;
  /** Why not, or why this node is not ready; absent if all is well. */
  reason?: string;
  seq: number;
  boot: number;
  /** Its wall clock as it answers, in ISO 8601. */
  clock: string;
  /** `fault`: why it fails as a whole, absent if it does not; `slow`: for ten seconds commits took above 250 ms. */
  store: { fault?: string; slow: boolean };
  /** Names of which this node says nothing, until a person has looked at its record of them; absent if there are none. */
  stopped?: StoppedNames;
  version: string;
  /** `version`: what names are raised to; `knows`: what this node could apply. Absent before 0.3.0. */
  machine?: { version: number; knows: number };
};
/** `count` is of all, as far as this process has met them; `names` are the first that the caller may know of. */
export type StoppedNames = { count: number; names: { noun: string; name: string; reason: string }[] };

/** One member's record of a name. `stopped`: it answers nothing, and may be damaged; `silent`: nothing is known of it. */
export type RepairMember = {
  id: string;
  record: "sound" | "stopped" | "damaged" | "silent";
  /** The instance that is open there, and the hash of all that its state says; absent where neither can be read from here. */
  instance?: number;
  hash?: string;
  reason?: string;
};
/**
 * What a repair of one node's record of a name would do. `none`: it is sound; `repair`: it can be repaired now; `wait`: too few
 * others answer; `accept`: a person has to say which state it is to be.
 */
export type RepairPlan = {
  members: readonly RepairMember[];
  action: "none" | "repair" | "wait" | "accept";
  /** The same in a sentence. */
  detail: string;
};
/** `sound`: it was so already. */
export type Repaired = { outcome: "repaired" | "accepted" | "sound"; instance: number; hash: string };
