/** Headers of the operations of a batch, and of what each is answered. */

/** What an operation of a batch may say besides its path and body. */
export const BATCH_HEADERS = [
  "Idempotency-Key",
  "Quorate-Born",
  "Quorate-Hedge",
  "If-Match",
  "If-None-Match",
  "Fence",
  "Content-Type",
  "X-Request-Id",
] as const;
/** What is told of the answer to one besides its status and body: what a caller goes on with. */
export const BATCH_RESULT_HEADERS = [
  "Content-Type",
  "ETag",
  "Allow",
  "Retry-After",
  "Idempotency-Key",
  "Consensus-Path",
  "Consensus-Instance",
  "Consensus-Ballot",
  "Quorate-Stale-Ms",
] as const;
