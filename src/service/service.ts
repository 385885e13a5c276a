/** What the routes call: a service for each noun and the status of one node, without HTTP. */
import type {
  Answer,
  ElectionHistory,
  ElectionState,
  Forced,
  Grant,
  GrantSet,
  History,
  KvDeleted,
  KvItem,
  KvValue,
  KvWritten,
  Leadership,
  Left,
  LockState,
  NodeStatus,
  Page,
  Released,
  Repaired,
  RepairPlan,
  Resigned,
  SemaphoreGrant,
  SemaphoreState,
  SessionEnded,
  SessionGrant,
  SessionState,
} from "../api.ts";
import type { BackupRecord } from "../backup/backup_file.ts";
import type { Conditions, Result } from "../machine/op.ts";
import type { Ballot, NodeId } from "../paxos/ballot.ts";
import type { Accept } from "../paxos/message.ts";
import type { Mailbox, Mark, Origin, WireMessage, WireReply } from "../ports.ts";
import type { WatchService } from "./watch_service.ts";

/** Who calls and how long they wait. `subject` owns what it holds. */
export type Caller = {
  readonly subject: string;
  readonly idempotencyKey: string;
  readonly timeoutMs: number;
  /**
   * A hedged write: the same request goes to several nodes, and each proposes the same bytes. The instance the caller last
   * saw of the name, which becomes the command's `born`; it must not wait.
   */
  readonly hedge?: number;
  /** What a take or a register's write says of itself: it was applied in no instance below this one. */
  readonly born?: number;
  /** It came without an Idempotency-Key: nobody can come back for what it took on the way. */
  readonly anonymous?: true;
  /**
   * Aborts when the client went away. What it waits in and was not told of is given up at once if it is anonymous; else it is
   * kept for a while, for the client to come back to.
   */
  readonly signal?: AbortSignal;
  /** Told a waiter's place in the queue, from 1, whenever it has changed; after a place that was lost, a later one. */
  readonly onPosition?: (position: number) => void;
};

export type AcquireRequest = {
  readonly holder: string;
  readonly ttlMs: number;
  readonly waitMs: number;
  readonly mode: "exclusive" | "shared";
  readonly metadata?: string;
  readonly lockDelayMs: number;
  /** Who asks renews what it is granted: then a grant out of the queue may be answered before it is confirmed. */
  readonly renews?: boolean;
  /** The grant lives as long as this session, and has its ttl instead of `ttlMs`; not for a hedged request. */
  readonly session?: string;
};

/** `born` by name, as a caller's for one. */
export type AcquireAllRequest = AcquireRequest & { readonly born?: Readonly<Record<string, number>> };

export type CampaignRequest = {
  readonly candidate: string;
  readonly value?: string;
  readonly ttlMs: number;
  readonly waitMs: number;
  readonly session?: string;
  /** As in AcquireRequest. */
  readonly renews?: boolean;
};

export type TakeRequest = Omit<AcquireRequest, "mode"> & { readonly limit: number; readonly permits: number };

export type PutRequest = Conditions & {
  /** Base64. */
  readonly bytes: string;
  readonly contentType: string;
  /** One of the two at most. */
  readonly ttlMs?: number;
  readonly session?: string;
};

export type SessionRequest = { readonly holder: string; readonly ttlMs: number };

/** `stale`: the own record instead of a quorum's. */
export type ReadOptions = { readonly stale: boolean; readonly timeoutMs: number };
/**
 * `staleMs` comes with a stale read: how long ago this node last heard of the name from a member; without it where it has
 * not since it started, and so cannot tell.
 */
export type ReadAnswer<T> = Answer<T> & { readonly staleMs?: number };

/** Each item is read from a quorum of its own; a page is not a snapshot. */
export type ListRequest = {
  readonly prefix: string;
  readonly limit: number;
  /** Where the page before ended, or null. */
  readonly cursor: string | null;
  readonly timeoutMs: number;
};

/**
 * With `heldForMs` a page has only names that somebody has held for so long, by the wall clocks of the node that granted it and
 * of this one; a hold that no node has dated, as one of a direct client, is not among them. A page may be short then and not the last.
 */
export type GrantListRequest = ListRequest & { readonly heldForMs?: number };

/**
 * Every method rejects with QuorateError: `held`, `cooling`, `queue-full`, `lost`, `not-found`, `expired-command`,
 * `idempotency-mismatch`, `too-large`, `no-quorum` (this node cast no vote for the command) or `outcome-unknown`.
 * `held` carries `more: Held`.
 */
export interface LockService {
  acquire(name: string, request: AcquireRequest, caller: Caller): Promise<Answer<Grant>>;
  /** All of `names` or none: the one that is refused is in `more: {name}`. */
  acquireAll(names: readonly string[], request: AcquireAllRequest, caller: Caller): Promise<Answer<GrantSet>>;
  renew(name: string, fence: string, request: { readonly ttlMs?: number }, caller: Caller): Promise<Answer<Grant>>;
  release(name: string, fence: string, caller: Caller): Promise<Answer<Released>>;
  /** Takes the subject's waiter of that Idempotency-Key out of the queue, wherever its request is. */
  leave(name: string, key: string, caller: Caller): Promise<Answer<Left>>;
  force(name: string, reason: string, caller: Caller): Promise<Answer<Forced>>;
  get(name: string, options: ReadOptions): Promise<ReadAnswer<LockState>>;
  history(name: string, options: { readonly timeoutMs: number }): Promise<Answer<History>>;
  /** Each item is read from a quorum of its own; the page is not a snapshot. */
  list(request: GrantListRequest): Promise<Page<LockState>>;
}

/** As LockService, but `led` with `more: Led` instead of `held` and `cooling`. */
export interface ElectionService {
  campaign(name: string, request: CampaignRequest, caller: Caller): Promise<Answer<Leadership>>;
  /** Renews, and says `value` from now on if there is one. */
  proclaim(
    name: string,
    term: string,
    request: { readonly ttlMs?: number; readonly value?: string },
    caller: Caller,
  ): Promise<Answer<Leadership>>;
  resign(name: string, term: string, caller: Caller): Promise<Answer<Resigned>>;
  leave(name: string, key: string, caller: Caller): Promise<Answer<Left>>;
  force(name: string, reason: string, caller: Caller): Promise<Answer<Forced>>;
  get(name: string, options: ReadOptions): Promise<ReadAnswer<ElectionState>>;
  history(name: string, options: { readonly timeoutMs: number }): Promise<Answer<ElectionHistory>>;
  list(request: GrantListRequest): Promise<Page<ElectionState>>;
}

/** As LockService, and `limit-mismatch` while it is in use with another limit; `held` carries `more: SemaphoreHeld`. */
export interface SemaphoreService {
  take(name: string, request: TakeRequest, caller: Caller): Promise<Answer<SemaphoreGrant>>;
  renew(
    name: string,
    fence: string,
    request: { readonly ttlMs?: number },
    caller: Caller,
  ): Promise<Answer<SemaphoreGrant>>;
  release(name: string, fence: string, caller: Caller): Promise<Answer<Released>>;
  leave(name: string, key: string, caller: Caller): Promise<Answer<Left>>;
  force(name: string, reason: string, caller: Caller): Promise<Answer<Forced>>;
  get(name: string, options: ReadOptions): Promise<ReadAnswer<SemaphoreState>>;
  history(name: string, options: { readonly timeoutMs: number }): Promise<Answer<History>>;
  list(request: GrantListRequest): Promise<Page<SemaphoreState>>;
}

/** `precondition-failed`, `fence-too-low` and `not-found` (there is no value) besides what every command may come to. */
export interface RegisterService {
  put(name: string, request: PutRequest, caller: Caller): Promise<Answer<KvWritten>>;
  delete(name: string, conditions: Conditions, caller: Caller): Promise<Answer<KvDeleted>>;
  get(name: string, options: ReadOptions): Promise<ReadAnswer<KvValue>>;
  /** Names without a value are left out; only where very many stand in a row is a page short and not the last. */
  list(request: ListRequest & { readonly values: boolean }): Promise<Page<KvItem>>;
}

/**
 * `lost`, with the session in `more`, once it has ended, for itself and for whatever is bound to it; `not-found` where the
 * caller's subject has no such session.
 */
export interface SessionService {
  open(request: SessionRequest, caller: Caller): Promise<Answer<SessionGrant>>;
  keep(id: string, caller: Caller): Promise<Answer<SessionGrant>>;
  /** What it held is free when this resolves, unless the caller's time was too short for that. */
  end(id: string, caller: Caller): Promise<Answer<SessionEnded>>;
  get(id: string, caller: Pick<Caller, "subject" | "timeoutMs">): Promise<Answer<SessionState>>;
  /** Whether there is or was such a session of this subject, as this node's own record has it. */
  owns(id: string, subject: string): Promise<boolean>;
  /**
   * Those of this subject that have not ended. Where very many of other subjects stand in between, a page is short and not
   * the last.
   */
  list(request: ListRequest, subject: string): Promise<Page<SessionState>>;
}

/** A client's own Accept!, without what only peers may add. */
export type DirectAccept = Omit<Accept, "decided" | "snapshot" | "any">;

/** One acceptor's word to a direct client; a quorum of equal ones, open fast, is a decision (PROTOCOL.md §2). */
export type DirectReply =
  /** Voted for; `results` is what the commands come to if the value is chosen at `instance`. */
  | {
    readonly type: "accepted";
    readonly instance: number;
    readonly ballot: Ballot;
    readonly valueId: string;
    readonly results: readonly Result[];
  }
  /** The instance is over; `results` has what each command came to by now, null where it was not applied. */
  | { readonly type: "ahead"; readonly instance: number; readonly results: readonly (Result | null)[] }
  /** No vote for it in its ballot. `open`: the one that an Any opened since, where the same value may be sent again. */
  | { readonly type: "refused"; readonly instance: number; readonly open?: Ballot }
  /** No vote for it here, for a reason that another try through a node settles. */
  | { readonly type: "behind" | "unavailable"; readonly instance: number };

/** What can be renewed and ended by whom it was granted to. */
export type Thing =
  | { readonly noun: "lock" | "election" | "semaphore"; readonly name: string; readonly fence: string }
  | { readonly noun: "session"; readonly name: string };

/** One thing that a node needs to serve; `fault` null: it is well. */
export type Check = { readonly name: typeof CHECKS[number]; readonly fault: string | null };
export const CHECKS = ["store", "membership", "quorum"] as const;

/** Keys as a backup has them. */
export type BackupPage = {
  /** How many restores lie behind this cluster. */
  readonly restored: number;
  /** Stores that the cluster began with, as this node has met them: another one may have the same id. */
  readonly origin: Origin;
  readonly items: readonly BackupRecord[];
  /** What to go on after; null: there is nothing behind it. */
  readonly cursor: string | null;
};

/** The version of the machine that is decided now, and the one before. */
export type Raised = { readonly machine: number; readonly before: number };
/** This node's records that are damaged, or have stopped. Rejects with `not-ready` where it may not vote. */
export interface RepairService {
  /** What members hold of the key, and what `repair` would do here; changes nothing. */
  plan(key: string): Promise<RepairPlan>;
  /**
   * Resolves once the record of this node is sound: with what enough other members hold or, with `accept`, with the state that has
   * this hash. Rejects with `no-quorum` where too few agree in time, with `precondition-failed` where it is for a person to say, or
   * is not. It has then changed nothing here.
   */
  repair(key: string, accept: string | null, timeoutMs: number): Promise<Repaired>;
}

export interface NodeService {
  readonly id: NodeId;
  readonly locks: LockService;
  readonly watches: WatchService;
  readonly elections: ElectionService;
  readonly semaphores: SemaphoreService;
  readonly registers: RegisterService;
  readonly sessions: SessionService;
  readonly repairs: RepairService;
  /** Whether this node's own record shows it held by that subject: a look, which asks nobody and writes nothing. */
  isHeld(thing: Thing, subject: string): Promise<boolean>;
  /** One reply per message, in order; one that is not for this mailbox, or fails, is `unavailable` by itself. */
  receive(
    from: NodeId,
    mailbox: Mailbox,
    messages: readonly WireMessage[],
    mark: Mark,
  ): Promise<readonly WireReply[]>;
  /** One reply per message, in order. */
  acceptDirect(messages: readonly DirectAccept[]): Promise<readonly DirectReply[]>;
  status(): NodeStatus;
  /** Keys after this one; rejects with `no-quorum` where one of them cannot be read in time. */
  backup(after: string, timeoutMs: number): Promise<BackupPage>;
  /**
   * Raises the machine to what this node knows, for good. Rejects with `not-upgraded` where a node knows less or does not answer;
   * as a write besides.
   */
  raise(timeoutMs: number): Promise<Raised>;
  /** Asks members of which nothing was heard for a while, so that `status` is not of then. Never rejects. */
  look(): Promise<void>;
  /** What readiness rests on, one by one; members are asked now. */
  checks(): Promise<readonly Check[]>;
  /** null when a classic quorum, this node included if it votes, answers; else why not, in one line. */
  readiness(): Promise<string | null>;
}
