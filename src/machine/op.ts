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
  /** For people only: the proposer's wall clock. Nothing is decided by it. */
  readonly atMs: number;
};
/** Extends a hold; the waiter's node takes up a grant out of the queue with one (PROTOCOL.md §7). */
export type Renew = { readonly type: "renew"; readonly fence: string; readonly ttlMs?: number };
export type Release = { readonly type: "release"; readonly fence: string; readonly atMs: number };
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
};
/** Gives up the subject's own place; answers with the grant if it was granted meanwhile. */
export type Leave = { readonly type: "leave"; readonly place: string; readonly atMs: number };

export type Op = Acquire | Renew | Release | Force | KeepPlaces | Leave;

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
  | { readonly outcome: "kept" }
  | { readonly outcome: "left" }
  | { readonly outcome: "too-large" }
  /** The op is of no known type, or not of its type's shape; never stored. */
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
  readonly ttlMs: number;
  readonly lockDelayMs: number;
  readonly metadata?: string;
  /** Id of the value that granted or last renewed it: names its lease. */
  readonly by: string;
  /** A hand-over out of the queue that its node has not confirmed yet. */
  readonly unconfirmed: boolean;
  readonly fromMs: number;
};

export type Place = {
  /** Id of the place: a digest of the subject and the command's id, 16 hex digits. */
  readonly id: string;
  readonly holder: string;
  readonly subject: string;
  readonly mode: "exclusive" | "shared";
  readonly ttlMs: number;
  readonly lockDelayMs: number;
  readonly metadata?: string;
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
