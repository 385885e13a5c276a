/** Waiting as a stream of events: `queued` with the position whenever it changes, then `granted`, or `error`. */
import type { Answer } from "../src/api.ts";
import { problemDocument } from "../src/http/problem.ts";
import type { Caller } from "../src/service/service.ts";
import { type Ctx, sendAnswer } from "./answer.ts";
import { type Explain, toldOf } from "./error_response.ts";
import { eventBytes, type EventStreams } from "./event_stream.ts";
import { accepts, refuseToWait, unlessGone, whileConnected } from "./input.ts";

export type WaitParts = { readonly streams: EventStreams; readonly explain: Explain };

/** A request for a grant as its caller wants it answered: with events, at once, or when its turn has come. */
export async function answerWaiting(
  c: Ctx,
  parts: WaitParts,
  waitMs: number,
  { anonymous }: Pick<Caller, "anonymous">,
  ask: (waiter: Pick<Caller, "signal" | "onPosition">) => Promise<Answer<unknown>>,
): Promise<Response> {
  refuseToWait(c, waitMs);
  if (accepts(c, "text/event-stream")) return await answerQueued(c, parts, ask);
  // Only of these does it matter that they go away: who waits, and who can never come back for what it is granted.
  if (waitMs === 0 && anonymous !== true) return sendAnswer(c, await ask({}));
  // Once it has a place it waits for whoever holds, and no more for this node.
  const onPosition = () => c.get("leave")?.();
  const waiting = (signal: AbortSignal) => ask({ signal, onPosition });
  const { raw } = c.req;
  return sendAnswer(c, await (waitMs === 0 ? unlessGone(raw.signal, waiting) : whileConnected(raw, waiting)));
}

/**
 * What is refused before there is a place to tell of is an ordinary answer. If a client with a key of its own goes away its
 * place is kept until it lapses: the same request with the same Idempotency-Key goes on with it, through any node.
 */
function answerQueued(
  c: Ctx,
  { streams, explain }: WaitParts,
  ask: (waiter: Pick<Caller, "signal" | "onPosition">) => Promise<Answer<unknown>>,
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
    ask({ signal: gone.signal, onPosition }).then(
      ({ body }) => {
        stream.send(eventBytes("granted", body));
        stream.end();
        begun.resolve();
      },
      (error: Error) => {
        if (!isQueued) return begun.reject(error);
        // Told to nobody: whoever is gone made it fail.
        if (!stream.ended) stream.send(eventBytes("error", problemDocument(explain(c, error), toldOf(c))));
        stream.end();
      },
    );
    await begun.promise;
    return () => gone.abort();
  });
}
