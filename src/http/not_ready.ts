/** The answer of a process that cannot serve yet, or no more, and knows nothing of who asks. */
import { QuorateError } from "../errors.ts";
import { isLate, lateStream } from "./late_stream.ts";
import { PROBLEM_TYPE, PROBLEMS } from "./problem.ts";
import { rawPath } from "./request_head.ts";

/** 503 `not-ready`; to whoever watches a stream that ends. */
export function notReady(request: Request, detail: string): Response {
  const code = "not-ready";
  const error = new QuorateError(code, detail);
  const cache = { "Cache-Control": "no-store" };
  if (isLate(request, rawPath(request), error)) {
    const { text, headers } = lateStream(error);
    return new Response(text, { headers: { ...headers, ...cache } });
  }
  const { title, status, retryable } = PROBLEMS[code];
  return new Response(JSON.stringify({ type: "about:blank", title, status, code, detail, retryable }), {
    status,
    headers: { "Content-Type": PROBLEM_TYPE, "Retry-After": "1", ...cache },
  });
}
