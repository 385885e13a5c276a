/** The answer of a process that cannot serve yet, or no more, and knows nothing of who asks. */
import { QuorateError } from "../errors.ts";
import { isLate, lateStream } from "./late_stream.ts";
import { PROBLEM_TYPE, problemDocument, retryAfter } from "./problem.ts";
import { rawPath, requestIdOf } from "./request_head.ts";

/**
 * 503 `not-ready`; to whoever watches a stream that ends; and to /livez that the process answers, so that nobody ends one
 * which starts slowly.
 * @param newId an id for a request that came without
 */
export function notReady(request: Request, detail: string, newId: () => string): Response {
  const error = new QuorateError("not-ready", detail);
  const requestId = requestIdOf(request, newId);
  const common = { "X-Request-Id": requestId, "Cache-Control": "no-store" };
  if (rawPath(request) === "/livez" && ["GET", "HEAD"].includes(request.method)) {
    return Response.json({ ok: true }, { headers: common });
  }
  if (isLate(request, rawPath(request), error)) {
    const { text, headers } = lateStream(error);
    return new Response(text, { headers: { ...headers, ...common } });
  }
  const document = problemDocument(error, { requestId, idempotencyKey: undefined });
  const headers = { "Content-Type": PROBLEM_TYPE, ...retryAfter(document), ...common };
  return new Response(JSON.stringify(document), { status: document.status, headers });
}
