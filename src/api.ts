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
  /** Nobody else gets the name for this long, counted from the caller's first send of this Idempotency-Key. */
  notBeforeMs: number;
  /** An estimate of when somebody else can, counted likewise. */
  notAfterMs: number;
  /** How long the request waited in the queue. */
  waitedMs: number;
  metadata?: string;
  revision: string;
};

export type HolderView = {
  holder: string;
  fence: string;
  mode: "exclusive" | "shared";
  notAfterMs: number;
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
export type Page<T> = { items: T[]; cursor: string | null };

/** How an answer came about; sent as Consensus-… headers. */
export type Receipt = {
  path: "fast" | "open-fast" | "classic" | "recovered" | "read";
  instance: number;
  ballot: string;
};
export type Answer<T> = { body: T; receipt: Receipt };

export type NodeStatus = {
  id: string;
  cluster: string;
  members: { id: string; url: string; reachable: boolean; rttMs: number }[];
  epoch: number;
  /** Votes and promises are given. */
  voting: boolean;
  /** Why not, or why this node is not ready; absent if all is well. */
  reason?: string;
  seq: number;
  boot: number;
  version: string;
};
