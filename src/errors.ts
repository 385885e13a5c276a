import type { Receipt } from "./api.ts";

/** The stable codes of all that a caller can be told. The HTTP status follows from the code (src/http/problem.ts). */
export type ErrorCode =
  | "invalid-request"
  | "unauthenticated"
  | "peer-unauthenticated"
  | "peer-hello"
  | "peer-misdirected"
  | "forbidden"
  | "cross-site"
  | "unknown-peer"
  | "not-found"
  | "no-route"
  | "method-not-allowed"
  | "held"
  | "led"
  | "cooling"
  | "limit-mismatch"
  | "expired-command"
  | "config-mismatch"
  | "wire-mismatch"
  | "not-upgraded"
  | "lost"
  | "precondition-failed"
  | "fence-too-low"
  | "too-large"
  | "request-timeout"
  | "idempotency-mismatch"
  | "rate-limited"
  | "queue-full"
  | "too-many-streams"
  | "overloaded"
  | "no-quorum"
  | "not-ready"
  | "outcome-unknown"
  | "internal";

export type ErrorFacts = {
  /** JSON path of the field that is wrong, as in `ttlMs`. */
  readonly field?: string;
  readonly retryAfterMs?: number;
  readonly outcome?: "none" | "unknown";
  readonly idempotencyKey?: string;
  /** How the refusal came about, where it was decided or read. */
  readonly receipt?: Receipt;
  /** More members of the problem document, by name. */
  readonly more?: Readonly<Record<string, unknown>>;
};

export class QuorateError extends Error {
  override name = "QuorateError";
  readonly code: ErrorCode;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, detail: string, facts: ErrorFacts = {}) {
    super(detail);
    this.code = code;
    this.facts = facts;
  }
}
