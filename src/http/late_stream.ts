/**
 * A passing state as whoever watches can bear it. An EventSource that is answered by any status but 200 is closed for good, so
 * it gets a stream that says why in a comment, and ends: it comes back by itself, with its `Last-Event-ID`, and maybe to
 * another node. It is not kept waiting on this one, which may not get well: one whose store was rolled back never does.
 */
import type { ErrorCode, QuorateError } from "../errors.ts";
import { STREAM_RETRY_MS } from "../limits.ts";
import { asciiJson } from "./ascii_json.ts";
import { PROBLEMS } from "./problem.ts";

const EVENTS = /^\/v1\/[a-z]+\/(?:[^/]+\/)?events$/;
const TOLD = /^retry: [0-9]+\n: ([a-z-]+) /;

/** Whether `request` watches, and what it is refused for may be over when it comes again. */
export function isLate({ method }: Request, path: string, { code }: QuorateError): boolean {
  return method === "GET" && PROBLEMS[code].retryable && EVENTS.test(path);
}

/** `Retry-After` besides: no other stream has it. */
export function lateStream({ code, message, facts }: QuorateError): { text: string; headers: Record<string, string> } {
  const retryMs = Math.max(STREAM_RETRY_MS, facts.retryAfterMs ?? 0);
  return {
    text: `retry: ${retryMs}\n: ${code} ${asciiJson(message)}\n\n`,
    headers: { "Content-Type": "text/event-stream", "Retry-After": `${Math.ceil(retryMs / 1000)}` },
  };
}

/** Whether a node answered so. */
export function isLateStream({ status, headers }: Response): boolean {
  return status === 200 && headers.has("retry-after") &&
    (headers.get("content-type") ?? "").startsWith("text/event-stream");
}

/** undefined: of a text that `lateStream` did not make. */
export function lateCode(text: string): ErrorCode | undefined {
  return TOLD.exec(text)?.[1] as ErrorCode | undefined;
}
