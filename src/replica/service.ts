/** What the routes call. The lock service and the status of one node, without HTTP. */
import type { Answer, Forced, Grant, History, LockState, NodeStatus, Page, Released } from "../api.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { Mailbox, WireMessage, WireReply } from "./ports.ts";

/** Who calls and how long they wait. `subject` owns what it holds. */
export type Caller = {
  readonly subject: string;
  readonly idempotencyKey: string;
  readonly timeoutMs: number;
  /**
   * A raced write: the same request goes to several nodes, and each proposes the same bytes. The instance the caller last
   * saw of the name, which becomes the command's `born`; it must not wait.
   */
  readonly race?: number;
  /** Aborts when the client went away; a waiter then gives up its place. */
  readonly signal?: AbortSignal;
};

export type AcquireRequest = {
  readonly holder: string;
  readonly ttlMs: number;
  readonly waitMs: number;
  readonly mode: "exclusive" | "shared";
  readonly metadata?: string;
  readonly lockDelayMs: number;
};

/**
 * Every method rejects with QuorateError: `held`, `cooling`, `queue-full`, `lost`, `not-found`, `expired-command`,
 * `idempotency-mismatch`, `too-large`, `no-quorum` (this node cast no vote for the command) or `outcome-unknown`.
 * `held` carries `more: Held`.
 */
export interface LockService {
  acquire(name: string, request: AcquireRequest, caller: Caller): Promise<Answer<Grant>>;
  renew(name: string, fence: string, request: { readonly ttlMs?: number }, caller: Caller): Promise<Answer<Grant>>;
  release(name: string, fence: string, caller: Caller): Promise<Answer<Released>>;
  force(name: string, reason: string, caller: Caller): Promise<Answer<Forced>>;
  get(
    name: string,
    options: { readonly stale: boolean; readonly timeoutMs: number },
  ): Promise<Answer<LockState> & { readonly staleMs?: number }>;
  history(name: string, options: { readonly timeoutMs: number }): Promise<Answer<History>>;
  /** Each item is read from a quorum of its own; the page is not a snapshot. */
  list(
    prefix: string,
    limit: number,
    cursor: string | null,
    options: { readonly timeoutMs: number },
  ): Promise<Page<LockState>>;
}

export interface NodeService {
  readonly id: NodeId;
  readonly locks: LockService;
  /** One reply per message, in order; never rejects for what one message holds. */
  receive(from: NodeId, mailbox: Mailbox, messages: readonly WireMessage[]): Promise<readonly WireReply[]>;
  status(): NodeStatus;
  /** null when a classic quorum, this node included, answers; else why not, in one line. */
  readiness(): Promise<string | null>;
}
