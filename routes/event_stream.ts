/** Streams of server-sent events: how many a node has open, and how far behind a reader may fall. */
import { QuorateError } from "../src/errors.ts";
import { asciiJson } from "../src/http/ascii_json.ts";
import { EVENTS_BEHIND_MAX, STREAM_HEARTBEAT_MS, STREAMS_PER_NODE } from "../src/limits.ts";
import { type Ctx, sendBody } from "./answer.ts";
import { refuseInBatch } from "./input.ts";

/** One event as it goes over the wire. */
export function eventBytes(event: string, data: unknown, id?: string): Uint8Array {
  const line = id === undefined ? "" : `id: ${id}\n`;
  return encoder.encode(`event: ${event}\n${line}data: ${asciiJson(data)}\n\n`);
}

export class EventStreams {
  readonly #after: (ms: number, run: () => void) => () => void;
  readonly #onCut: () => void;
  readonly #open = new Set<EventStream>();
  /** Polls that wait: each keeps a connection and a watch, as a stream does. */
  #polls = 0;
  #cancelBeat: (() => void) | null = null;

  /** @param onCut called when a stream is cut off, as its reader fell behind */
  constructor(after: (ms: number, run: () => void) => () => void, onCut: () => void = () => {}) {
    this.#after = after;
    this.#onCut = onCut;
  }

  /**
   * Answers with a stream once `begin` is done; what it makes of `stream` before that is sent first. What it returns is
   * called when the stream ends, whoever ends it. Rejects as `begin` does, and with `too-many-streams`.
   */
  async answer(
    c: Ctx,
    begin: (stream: EventStream) => Promise<() => void>,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    refuseInBatch(c, "path", "is a stream");
    headers["Content-Type"] = "text/event-stream";
    // Proxies that gather an answer before they pass it on would pass on nothing.
    headers["X-Accel-Buffering"] = "no";
    // Nobody would read it, nor ever end it.
    if (c.req.raw.method === "HEAD") return sendBody(c, 200, null, headers);
    this.#admit();
    const stream = new EventStream((ended) => this.#remove(ended), this.#onCut);
    this.#open.add(stream);
    stream.endWith(c.req.raw.signal);
    this.#cancelBeat ??= this.#after(STREAM_HEARTBEAT_MS, () => this.#beat());
    try {
      stream.onEnd(await begin(stream));
    } catch (error) {
      stream.end();
      throw error;
    }
    return sendBody(c, 200, stream.body, headers);
  }

  /** Ends all that are open, once what was sent is read: whoever watches comes back. */
  endAll(): void {
    for (const stream of [...this.#open]) stream.end();
  }

  /** How many are open. */
  get count(): number {
    return this.#open.size;
  }

  /** Counts a request that waits among the streams while it runs. Rejects with `too-many-streams`. */
  async during<T>(run: () => Promise<T>): Promise<T> {
    this.#admit();
    this.#polls++;
    try {
      return await run();
    } finally {
      this.#polls--;
    }
  }

  #admit(): void {
    if (this.#open.size + this.#polls < STREAMS_PER_NODE) return;
    const facts = { retryAfterMs: STREAM_HEARTBEAT_MS };
    throw new QuorateError("too-many-streams", `${STREAMS_PER_NODE} streams are open at this node`, facts);
  }

  #remove(stream: EventStream): void {
    this.#open.delete(stream);
    if (this.#open.size > 0) return;
    this.#cancelBeat?.();
    this.#cancelBeat = null;
  }

  #beat(): void {
    this.#cancelBeat = this.#after(STREAM_HEARTBEAT_MS, () => this.#beat());
    for (const stream of this.#open) stream.beat();
  }
}

export class EventStream {
  readonly body: ReadableStream<Uint8Array>;
  readonly #controller: ReadableStreamDefaultController<Uint8Array>;
  readonly #remove: (stream: EventStream) => void;
  readonly #onCut: () => void;
  readonly #gone = () => this.#finish();
  /** What the reader has not asked for yet, oldest first. */
  #behind: Uint8Array[] = [];
  #endAfter = false;
  #ended = false;
  #onEnd: () => void = () => {};
  #signal: AbortSignal | null = null;

  constructor(remove: (stream: EventStream) => void, onCut: () => void) {
    let controller: ReadableStreamDefaultController<Uint8Array> | null = null;
    this.body = new ReadableStream({
      start: (own) => void (controller = own),
      pull: () => this.#drain(),
      cancel: () => this.#finish(),
    });
    this.#controller = controller!;
    this.#remove = remove;
    this.#onCut = onCut;
  }

  /** The signal aborts when the client is gone. */
  endWith(signal: AbortSignal): void {
    this.#signal = signal;
    signal.addEventListener("abort", this.#gone, { once: true });
    if (signal.aborted) this.#gone();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Whoever reads so slowly that more than EVENTS_BEHIND_MAX wait is cut off: it comes back and resumes, or resyncs. */
  send(event: Uint8Array): void {
    if (this.#ended || this.#endAfter) return;
    if (this.#behind.length >= EVENTS_BEHIND_MAX) {
      this.#controller.error(new Error("the reader fell too far behind"));
      this.#onCut();
      this.#finish();
      return;
    }
    this.#behind.push(event);
    this.#drain();
  }

  /** A comment, so that neither side takes the other for dead; there is no need of one while events wait. */
  beat(): void {
    if (this.#behind.length === 0) this.send(HEARTBEAT);
  }

  /** Ends it once all that was sent is read. */
  end(): void {
    this.#endAfter = true;
    this.#drain();
  }

  onEnd(run: () => void): void {
    if (this.#ended) run();
    else this.#onEnd = run;
  }

  #drain(): void {
    if (this.#ended) return;
    while (this.#behind.length > 0 && (this.#controller.desiredSize ?? 0) > 0) {
      this.#controller.enqueue(this.#behind.shift()!);
    }
    if (!this.#endAfter || this.#behind.length > 0) return;
    this.#controller.close();
    this.#finish();
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#behind = [];
    this.#signal?.removeEventListener("abort", this.#gone);
    this.#remove(this);
    this.#onEnd();
  }
}

const encoder = new TextEncoder();
const HEARTBEAT = encoder.encode(":\n\n");
