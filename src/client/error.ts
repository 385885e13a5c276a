/** What callers of the client are told when something fails. */
import type { ErrorCode } from "../errors.ts";

/**
 * The stable name of a failure: the code of a node's problem document, or `lock-lost`, which the client says of a hold
 * that it lost.
 */
export type QuorateCode = ErrorCode | "lock-lost";

/**
 * How a hold ended: `expired`, its guarantee was nearly over by the client's own clock; `lost`, a node said that it is not
 * held any more; `forced`, an admin ended it; `disposed`, its owner gave it back.
 */
export type LostHow = "expired" | "lost" | "forced" | "disposed";

/** What a `QuorateError` tells besides its code and its text. */
export type QuorateErrorFacts = {
  /** The same call may succeed later. */
  readonly retryable: boolean;
  /**
   * What became of a write that failed: it was not done (`none`), or nobody can tell (`unknown`). Undefined: the call
   * was refused, or was no write.
   */
  readonly outcome?: "none" | "unknown" | undefined;
  /** The key that every try of the write bore. */
  readonly idempotencyKey?: string | undefined;
  /** How it ended, for `lock-lost`. */
  readonly how?: LostHow | undefined;
  /** The problem document of a node, whole. */
  readonly problem?: Readonly<Record<string, unknown>> | undefined;
  /** What caused it, where that is no answer of a node. */
  readonly cause?: unknown;
};

/** The one error of the client. Tell failures apart by `code`, which is stable; the text is for people. */
export class QuorateError extends Error {
  /** `QuorateError`, whatever a bundler makes of the class's name. */
  override readonly name = "QuorateError";
  /** The stable name of the failure. */
  readonly code: QuorateCode;
  /** The same call may succeed later. */
  readonly retryable: boolean;
  /**
   * What became of a write that failed: it was not done (`none`), or nobody can tell (`unknown`). Undefined: the call
   * was refused, or was no write.
   */
  readonly outcome: "none" | "unknown" | undefined;
  /** The key that every try of the write bore; undefined for a read, and where no write failed. */
  readonly idempotencyKey: string | undefined;
  /** How it ended, for `lock-lost`. */
  readonly how: LostHow | undefined;
  /** The problem document that a node answered with; undefined if the client says it itself. */
  readonly problem: Readonly<Record<string, unknown>> | undefined;

  /** Made by the client; public so that tests can make one. */
  constructor(code: QuorateCode, detail: string, facts: QuorateErrorFacts) {
    super(detail, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.retryable = facts.retryable;
    this.outcome = facts.outcome;
    this.idempotencyKey = facts.idempotencyKey;
    this.how = facts.how;
    this.problem = facts.problem;
  }
}

const HOW: Readonly<Record<LostHow, string>> = {
  expired: "its guarantee is nearly over and was not renewed",
  lost: "it is not held any more",
  forced: "an admin ended it",
  disposed: "it was given back",
};

/** @param what as in `lock deploy` */
export function lockLost(what: string, how: LostHow): QuorateError {
  return new QuorateError("lock-lost", `${what}: ${HOW[how]}`, { retryable: how !== "disposed", how });
}

/** A problem document as the error that it tells of; what is none, as of a proxy, becomes `internal`. */
export function problemError(status: number, told: unknown, idempotencyKey: string | undefined): QuorateError {
  const problem = typeof told === "object" && told !== null ? told as Record<string, unknown> : {};
  const { code, detail, retryable, outcome } = problem;
  return new QuorateError(
    typeof code === "string" ? code as ErrorCode : "internal",
    typeof detail === "string" ? detail : `answered with status ${status}`,
    {
      retryable: retryable === true,
      outcome: outcome === "none" || outcome === "unknown" ? outcome : undefined,
      idempotencyKey,
      problem,
    },
  );
}
