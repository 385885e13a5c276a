/** Errors as a node renders them. */
import { QuorateError } from "../src/errors.ts";
import { isLate, lateStream } from "../src/http/late_stream.ts";
import { PROBLEM_TYPE, problemDocument, PROBLEMS, retryAfter, type Told } from "../src/http/problem.ts";
import { type Ctx, send, sendBody, withReceipt } from "./answer.ts";

/** `application/problem+json`, with `Retry-After` where the document says when. */
export function problem(c: Ctx, error: QuorateError, headers: Record<string, string> = {}): Response {
  const { code, facts } = error;
  const row = PROBLEMS[code];
  const document = problemDocument(error, toldOf(c));
  Object.assign(headers, retryAfter(document));
  if (row.challenge !== undefined) headers["WWW-Authenticate"] = row.challenge;
  if (facts.receipt !== undefined) withReceipt(headers, facts.receipt);
  headers["Content-Type"] = PROBLEM_TYPE;
  return send(c, row.status, document, headers);
}

/** As `problem`, but to whoever watches a passing state is told as a stream that ends. */
export function answerError(c: Ctx, error: QuorateError): Response {
  // An operation of a batch is no stream, and an answer that looked like one would say nothing.
  if (c.env?.isOperation === true || !isLate(c.req.raw, c.req.path, error)) return problem(c, error);
  const { text, headers } = lateStream(error);
  return sendBody(c, 200, text, headers);
}

export function toldOf(c: Ctx): Told {
  const cluster = c.get("cluster");
  const told = { requestId: c.get("requestId"), idempotencyKey: c.get("idempotencyKey") };
  return cluster === undefined ? told : { ...told, cluster };
}

/** What a caller is told of any error; one that nobody expected goes to the node's log. */
export type Explain = (c: Ctx, error: Error) => QuorateError;

/** What is told of an exception nobody expected: nothing of its text, and that a write may have happened. */
export function internal(c: Ctx): QuorateError {
  // Only a write has a key, and once it has one it may have been handed over: nobody here knows what became of it.
  const outcome = c.get("idempotencyKey") === undefined ? {} : { outcome: "unknown" as const };
  return new QuorateError(
    "internal",
    "the node failed to answer; its log has the reason under this requestId",
    outcome,
  );
}

export function invalid(field: string, detail: string): QuorateError {
  return new QuorateError("invalid-request", `${field} ${detail}`, { field });
}
