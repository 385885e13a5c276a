/** Waiting as a stream of events: `queued` with the position whenever it changes, then `granted`, or `error`. */
import type { Answer } from "../src/api.ts";
import type { Caller } from "../src/replica/service.ts";
import type { Ctx } from "./answer.ts";
import { type Explain, problemDocument } from "./error_response.ts";
import { eventBytes, type EventStreams } from "./event_stream.ts";

/**
 * What is refused before there is a place to tell of is an ordinary answer. If the client goes away its place is kept until
 * it lapses: the same request with the same Idempotency-Key goes on with it, through any node.
 */
export function answerQueued(
  c: Ctx,
  streams: EventStreams,
  explain: Explain,
  acquire: (waiter: Required<Pick<Caller, "signal" | "onPosition">>) => Promise<Answer<unknown>>,
): Promise<Response> {
  return streams.answer(c, async (stream) => {
    const gone = new AbortController();
    const begun = Promise.withResolvers<void>();
    let isQueued = false;
    const onPosition = (position: number) => {
      isQueued = true;
      stream.send(eventBytes("queued", { position }));
      begun.resolve();
    };
    acquire({ signal: gone.signal, onPosition }).then(
      ({ body }) => {
        stream.send(eventBytes("granted", body));
        stream.end();
        begun.resolve();
      },
      (error: Error) => {
        if (!isQueued) return begun.reject(error);
        // Told to nobody: whoever is gone made it fail.
        if (!stream.ended) stream.send(eventBytes("error", problemDocument(c, explain(c, error))));
        stream.end();
      },
    );
    await begun.promise;
    return () => gone.abort();
  });
}
