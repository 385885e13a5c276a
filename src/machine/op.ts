/** What a command asks of the machine: one closed union; each noun adds its own file. */
import type { LeaseTerm } from "../paxos/message.ts";

/** Asks for a lock. `wait`: take a place in the queue instead of the answer `held`; its node keeps the place alive. */
export type Acquire = {
  readonly type: "acquire";
  readonly holder: string;
  readonly mode: "exclusive" | "shared";
  readonly ttlMs: number;
  /** The node that answers the waiter, or absent: do not wait. */
  readonly wait?: { readonly node: string };
  readonly lockDelayMs: number;
  readonly metadata?: string;
  /** Digest of all names asked for together: with others the same command id is another request. */
  readonly set?: string;
  /** What is granted lives as long as this session, whose ttl comes with it. */
  readonly session?: string;
  /** Which asking this is: a repetition has another. A grant that bears it was made for this very request. */
  readonly ask?: string;
  /** For people only: the proposer's wall clock. Nothing is decided by it. */
  readonly atMs: number;
};
/** Asks for permits of a semaphore; `wait` as in `Acquire`. */
export type Take = {
  readonly type: "take";
  /** How many permits there are in all; the same for everybody while the semaphore is in use. */
  readonly limit: number;
  readonly permits: number;
  readonly holder: string;
  readonly ttlMs: number;
  readonly wait?: { readonly node: string };
  readonly lockDelayMs: number;
  readonly metadata?: string;
  readonly session?: string;
  /** As in `Acquire`. */
  readonly ask?: string;
  readonly atMs: number;
};
/** Asks to be the leader; `wait` as in `Acquire`. */
export type Campaign = {
  readonly type: "campaign";
  readonly candidate: string;
  /** What the leader says of itself. */
  readonly value?: string;
  readonly ttlMs: number;
  readonly wait?: { readonly node: string };
  readonly session?: string;
  /** As in `Acquire`. */
  readonly ask?: string;
  readonly atMs: number;
};
/** A leader's renewal, with another value or the one it has. */
export type Proclaim = {
  readonly type: "proclaim";
  readonly fence: string;
  readonly ttlMs?: number;
  readonly value?: string;
};
/** Extends a hold; the waiter's node takes up a grant out of the queue with one (PROTOCOL.md §7). */
export type Renew = {
  readonly type: "renew";
  readonly fence: string;
  readonly ttlMs?: number;
  /** It stands for an answer, and is remembered for whoever asks again; others are not. */
  readonly answers?: true;
  /** What nobody was told of yet goes on so: it lives by the short lease of a hand-over. */
  readonly keeps?: true;
};
export type Release = {
  readonly type: "release";
  readonly fence: string;
  /** Only while its lease is the one this value granted or renewed; else it comes to `renewed`. */
  readonly by?: string;
  readonly atMs: number;
};
export type Force = { readonly type: "force"; readonly reason: string; readonly atMs: number };
/**
 * Renews places in the queue, by place id. The command's subject is the node that answers them: places of other nodes
 * are left alone, and so are unknown ones. It is not kept in the dedup window.
 */
export type KeepPlaces = {
  readonly type: "keep-places";
  readonly places: readonly string[];
  /** The named places become this node's: their waiters came back through it. */
  readonly adopt?: boolean;
  /** A label, for a value that claims a lapse and says nothing else. */
  readonly atMs?: number;
  /** Drops what the state says of the past, if it is the one that opened this instance and nothing is there. From version 4 on. */
  readonly forget?: number;
};
/** Gives up the subject's own place; answers with the grant if it was granted meanwhile. */
export type Leave = {
  readonly type: "leave";
  readonly place: string;
  /** Only while the place is as this value left it; else it comes to `queued`: somebody has come back for it. */
  readonly by?: string;
  readonly atMs: number;
};

/** What a write of a register asks of it before; entity tags are revisions, `*` is any value there is. */
export type Conditions = {
  /** Some of these is the value's. */
  readonly ifMatch?: readonly string[];
  /** None of these is. */
  readonly ifNoneMatch?: readonly string[];
  /** The writer's grant elsewhere: refused once the register saw a higher one. */
  readonly fence?: string;
};
export type Put = Conditions & {
  readonly type: "put";
  /** Base64. */
  readonly bytes: string;
  readonly contentType: string;
  /** The value ends unless it is put again in time. */
  readonly ttlMs?: number;
  /** The value ends with this session. */
  readonly session?: string;
};
export type Delete = Conditions & { readonly type: "delete" };

/** Opens the session that the key is named after. */
export type Open = {
  readonly type: "open";
  readonly holder: string;
  readonly ttlMs: number;
  /** As in `Acquire`. */
  readonly ask?: string;
};
/** Keeps a session, and with it all that is bound to it. */
export type Keep = { readonly type: "keep" };
/** Enters a key, such as `lock/x`, in the log of the session that something there is about to be bound to. */
export type Bind = { readonly type: "bind"; readonly key: string };
/** Takes keys out again, each if it was last bound at this instance. Only nodes send it. */
export type Unbind = { readonly type: "unbind"; readonly names: readonly (readonly [key: string, at: number])[] };
/** Ends a session. */
export type Close = { readonly type: "close" };
/**
 * Ends what a key holds that is bound to this session. The session's end was decided before, at this instance of the log
 * of `session/ID`; only nodes may say so, who have read it there (PROTOCOL.md §7).
 */
export type EndSession = {
  readonly type: "end-session";
  readonly session: string;
  readonly instance: number;
  readonly how: "closed" | "lapsed";
  readonly atMs: number;
};

export type Op =
  | Acquire
  | Take
  | Campaign
  | Renew
  | Proclaim
  | Release
  | Force
  | KeepPlaces
  | Leave
  | Put
  | Delete
  | Open
  | Keep
  | Bind
  | Unbind
  | Close
  | EndSession;

/** What a command came to; kept in the dedup window, so small. Fences are decimal strings. */
export type Result =
  | { readonly outcome: "granted"; readonly fence: string; readonly ttlMs: number }
  | { readonly outcome: "queued"; readonly place: string; readonly position: number }
  | { readonly outcome: "held" }
  | { readonly outcome: "cooling" }
  | { readonly outcome: "queue-full" }
  | { readonly outcome: "renewed"; readonly fence: string; readonly ttlMs: number }
  | { readonly outcome: "lost"; readonly fence: string }
  /** What became of a release: of this call, or how the grant had ended before it. */
  | { readonly outcome: "released" | "already-released" | "taken-over" | "forced" | "ended"; readonly fence: string }
  | { readonly outcome: "never-granted"; readonly fence: string }
  | { readonly outcome: "forced-all"; readonly count: number }
  /** The semaphore is in use with this limit. */
  | { readonly outcome: "limit-mismatch"; readonly limit: number }
  | { readonly outcome: "written"; readonly revision: string }
  | { readonly outcome: "deleted"; readonly revision: string }
  /** There was nothing to delete. */
  | { readonly outcome: "absent"; readonly revision: string }
  /** `revision` is the value's, "0" if there is none. */
  | { readonly outcome: "precondition-failed"; readonly revision: string }
  /** `fence` is the highest that was seen. */
  | { readonly outcome: "fence-too-low"; readonly fence: string }
  | { readonly outcome: "opened" | "session-kept" | "bound"; readonly ttlMs: number }
  | { readonly outcome: "unbound" }
  | { readonly outcome: "closed" }
  /** There is none of this subject. */
  | { readonly outcome: "no-session" }
  | { readonly outcome: "session-ended" }
  /** So many holds, places and values ended with their session. */
  | { readonly outcome: "freed"; readonly count: number }
  /** What lives as long as a session has no ttl of its own. */
  | { readonly outcome: "is-bound"; readonly fence: string }
  | { readonly outcome: "kept" }
  | { readonly outcome: "left" }
  | { readonly outcome: "too-large" }
  /** The op is of no known type, not of its type's shape, or of another noun than the key; never stored. */
  | { readonly outcome: "unknown-op" }
  | { readonly outcome: "expired-command" }
  | { readonly outcome: "idempotency-mismatch" };

export type Hold = {
  readonly fence: string;
  readonly holder: string;
  readonly subject: string;
  /** Digest of the subject and the id of the command that asked for it; its place, if it had one, had this id. */
  readonly command: string;
  readonly mode: "exclusive" | "shared";
  /** Semaphores only. */
  readonly permits?: number;
  readonly ttlMs: number;
  readonly lockDelayMs: number;
  /** What the holder says of itself; an election calls it the leader's value. */
  readonly metadata?: string;
  /** It lives as long as this session; a lease of its own it has only until it is confirmed. */
  readonly session?: string;
  /** The mark of the request that it was granted to at once; gone once it is renewed. */
  readonly ask?: string;
  /** Id of the value that granted or last renewed it: names its lease. */
  readonly by: string;
  /** Nobody was told of it yet: a hand-over out of the queue, or one of a set. */
  readonly unconfirmed: boolean;
  readonly fromMs: number;
};

export type Place = {
  /** Id of the place: a digest of the subject and the command's id, 16 hex digits. */
  readonly id: string;
  readonly holder: string;
  readonly subject: string;
  readonly mode: "exclusive" | "shared";
  readonly permits?: number;
  readonly ttlMs: number;
  readonly lockDelayMs: number;
  readonly metadata?: string;
  /** It, and what is granted out of it, lives no longer than this session. */
  readonly session?: string;
  /** The node that answers the waiter and keeps the place alive. */
  readonly node: string;
  /** Id of the value that enqueued or last renewed it. */
  readonly by: string;
};

export type Ended = {
  readonly fence: string;
  readonly holder: string;
  readonly subject: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly end: "released" | "lapsed" | "forced" | "session";
  readonly reason?: string;
  /** The last fence granted when it lapsed: a later one means that somebody has had the lock since. */
  readonly lastFence?: string;
};

export type { LeaseTerm };
