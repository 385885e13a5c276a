/** The one table from error code to status, and the problem document every error becomes, at a node and at a gateway. */
import type { PeerFault } from "../api.ts";
import type { ErrorCode, QuorateError } from "../errors.ts";

type Row = {
  readonly status: 400 | 401 | 403 | 404 | 405 | 408 | 409 | 410 | 412 | 413 | 421 | 422 | 429 | 500 | 503 | 504;
  readonly title: string;
  /** The same request may succeed later; a write with the same Idempotency-Key is decided at most once. */
  readonly retryable: boolean;
  /** What the code says about the write, whoever raised it. */
  readonly outcome?: "none" | "unknown";
  /** RFC 9110 wants a challenge with every 401. */
  readonly challenge?: string;
};

export const PROBLEMS: Readonly<Record<ErrorCode, Row>> = {
  "invalid-request": { status: 400, title: "Invalid request", retryable: false },
  "unauthenticated": { status: 401, title: "Credential required", retryable: false, challenge: "Bearer" },
  "peer-unauthenticated": { status: 401, title: "Not a peer", retryable: false, challenge: "Quorate-Mac" },
  "peer-hello": { status: 401, title: "Boot has changed", retryable: true, challenge: "Quorate-Mac" },
  "peer-misdirected": { status: 421, title: "For another node", retryable: false },
  "forbidden": { status: 403, title: "Not allowed", retryable: false },
  "cross-site": { status: 403, title: "Not for web pages", retryable: false },
  "unknown-peer": { status: 403, title: "Not a member", retryable: false },
  "not-found": { status: 404, title: "Not found", retryable: false },
  "no-route": { status: 404, title: "No such route", retryable: false },
  "method-not-allowed": { status: 405, title: "Method not allowed", retryable: false },
  "held": { status: 409, title: "Held", retryable: true },
  "led": { status: 409, title: "Led", retryable: true },
  "cooling": { status: 409, title: "Cooling", retryable: true },
  "limit-mismatch": { status: 409, title: "In use with another limit", retryable: true },
  "expired-command": { status: 409, title: "Command expired", retryable: false, outcome: "unknown" },
  "config-mismatch": { status: 409, title: "Another ClusterConfig", retryable: false },
  "wire-mismatch": { status: 409, title: "Another wire", retryable: false },
  "not-upgraded": { status: 409, title: "Nodes of an older version", retryable: true },
  "lost": { status: 410, title: "Lost", retryable: false },
  "precondition-failed": { status: 412, title: "Precondition failed", retryable: false },
  "fence-too-low": { status: 412, title: "Fence too low", retryable: false },
  "request-timeout": { status: 408, title: "Request timeout", retryable: true, outcome: "none" },
  "too-large": { status: 413, title: "Too large", retryable: false },
  "idempotency-mismatch": { status: 422, title: "Idempotency-Key of another request", retryable: false },
  "rate-limited": { status: 429, title: "Rate limited", retryable: true },
  "queue-full": { status: 429, title: "Queue full", retryable: true },
  "too-many-streams": { status: 503, title: "Too many streams", retryable: true },
  "overloaded": { status: 503, title: "Overloaded", retryable: true },
  "no-quorum": { status: 503, title: "No quorum", retryable: true, outcome: "none" },
  "not-ready": { status: 503, title: "Not ready", retryable: true },
  "outcome-unknown": { status: 504, title: "Outcome unknown", retryable: true, outcome: "unknown" },
  "internal": { status: 500, title: "Internal error", retryable: false },
};

/** What is known of a request by the time it fails. */
export type Told = {
  readonly requestId: string;
  readonly idempotencyKey: string | undefined;
  /** Asked where the cluster may be the reason. Default: nothing is known of it. */
  readonly cluster?: () => ClusterFaults;
};
type PeerFaultOf = PeerFault & { readonly id: string };
export type ClusterFaults = {
  /** Why this node does not vote; null: it does, or never was to. */
  readonly own: string | null;
  /** Nodes that this one does not reach or refuses. */
  readonly peers: readonly PeerFaultOf[];
};

/** For whoever is told 503 or 504 and nothing of when: by then a node that died is noticed, and one that restarts is back. */
export const RETRY_AFTER_MS = 1_000;
/** Not of the cluster, whoever is missing in it. */
const OWN: ReadonlySet<ErrorCode> = new Set(["too-many-streams", "overloaded"]);

/**
 * `{type, title, status, code, detail, requestId, retryable, field?, outcome?, idempotencyKey?, retryAfterMs?, peers?, …}`
 * and what `facts.more` adds. A 503 or 504 always has `retryAfterMs`, and `peers` where there are causes.
 */
export function problemDocument({ code, message, facts }: QuorateError, told: Told) {
  const row = PROBLEMS[code];
  const outcome = facts.outcome ?? row.outcome;
  const idempotencyKey = facts.idempotencyKey ?? (outcome === "unknown" ? told.idempotencyKey : undefined);
  // `held` brings its wait among the facts that make up its body.
  const cannotNow = row.status === 503 || row.status === 504;
  const retryAfterMs = facts.retryAfterMs ?? facts.more?.["retryAfterMs"] ?? (cannotNow ? RETRY_AFTER_MS : undefined);
  const { own = null, peers = [] } = cannotNow && !OWN.has(code) ? told.cluster?.() ?? {} : {};
  const why = [
    ...(own === null || message.includes(own) ? [] : [own]),
    ...peers.map(({ id, cause }) => `${id}: ${cause}`),
  ];
  return {
    // First, so that no extra fact can pass for one of the members that have a meaning of their own.
    ...facts.more,
    type: "about:blank",
    title: row.title,
    status: row.status,
    code,
    detail: why.length === 0 ? message : `${message} (${why.join(", ")})`,
    requestId: told.requestId,
    retryable: row.retryable,
    ...(facts.field !== undefined && { field: facts.field }),
    ...(outcome !== undefined && { outcome }),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(peers.length > 0 && { peers }),
  };
}

/** `Retry-After` of a document that says when, in whole seconds, rounded up. */
export function retryAfter({ retryAfterMs }: ReturnType<typeof problemDocument>): Record<string, string> {
  return typeof retryAfterMs === "number" ? { "Retry-After": `${Math.ceil(retryAfterMs / 1000)}` } : {};
}

export const PROBLEM_TYPE = "application/problem+json";
