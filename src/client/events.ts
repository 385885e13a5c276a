/** Streams of server-sent events as the client reads them: kept under watch, and gone on with at another node. */
import { type Call, type Calls, errorOf } from "./calls.ts";
import { QuorateError } from "./error.ts";
import { endWhatIsOver } from "./lease.ts";
import { paused } from "./world.ts";

export type ServerEvent = { readonly event: string; readonly id: string | null; readonly data: unknown };

/** A node that answers a stream is asked so often whether it is there: a network that swallows packets says nothing. */
const WATCH_EVERY_MS = 3_000;
const AGAIN_MS = 200;

/** Events of one stream, until it ends or `cancel` aborts; however it ends, it only ends. */
export async function* eventsOf(
  body: ReadableStream<Uint8Array>,
  cancel: AbortSignal,
): AsyncGenerator<ServerEvent, void> {
  const reader = body.getReader();
  const stop = () => void reader.cancel().catch(() => {});
  cancel.addEventListener("abort", stop, { once: true });
  if (cancel.aborted) stop();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
      endWhatIsOver();
      if (done || cancel.aborted) return;
      text += decoder.decode(value, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) {
        const event = eventIn(block);
        if (event !== null) yield event;
      }
    }
  } finally {
    cancel.removeEventListener("abort", stop);
    stop();
  }
}

/** Null: a comment. */
function eventIn(block: string): ServerEvent | null {
  const fields = new Map<string, string>();
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).replace(/^ /, ""));
  }
  const data = fields.get("data");
  if (data === undefined) return null;
  return { event: fields.get("event") ?? "message", id: fields.get("id") ?? null, data: dataIn(data) };
}

/** Throws `internal` for what no node sends. */
function dataIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new QuorateError("internal", "an event that is no JSON was answered", { retryable: false, cause });
  }
}

/** Calls `onDead` once the node says nothing any more; the result ends the watch. */
export function watchNode(calls: Calls, node: () => string, onDead: () => void): () => void {
  let isOver = false;
  let cancel = () => {};
  const arm = () => {
    cancel = calls.clock.after(WATCH_EVERY_MS, async () => {
      const asked = node();
      const isAlive = await calls.isAlive(asked);
      if (isOver) return;
      if (isAlive) return arm();
      calls.noteFailed(asked);
      onDead();
    });
  };
  arm();
  return () => {
    isOver = true;
    cancel();
  };
}

/**
 * Events of a stream that has no end, through whichever nodes are there: after a break it goes on behind the last event.
 * Ends once `signal` aborts; throws what a node refuses it with.
 */
export async function* endlessEvents(
  calls: Calls,
  call: Pick<Call, "target" | "isUntimed">,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent, void> {
  let last: string | null = null;
  while (!signal.aborted) {
    const cut = new AbortController();
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (last !== null) headers["last-event-id"] = last;
    const asking = { ...call, method: "GET", headers } as const;
    const untilMs = Infinity;
    const reply = await calls.ask(asking, { signal, untilMs }).catch((error) => {
      if (signal.aborted) return null;
      throw error;
    });
    if (reply === null) return;
    if (reply.events === null) throw errorOf(asking, reply);
    const stop = watchNode(calls, () => reply.node, () => cut.abort());
    try {
      for await (const event of eventsOf(reply.events, AbortSignal.any([signal, cut.signal]))) {
        last = event.id ?? last;
        yield event;
      }
    } finally {
      stop();
    }
    // A node that cannot serve it now says for how long (late_stream.ts).
    const againMs = Number(/^[0-9]{1,5}$/.exec(reply.headers.get("retry-after") ?? "")?.[0] ?? 0) * 1_000;
    await paused(calls.clock, Math.max(AGAIN_MS, againMs), signal);
  }
}
