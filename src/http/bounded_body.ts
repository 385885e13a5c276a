/** Bodies of requests: each within a limit of bytes and of time, and all unfinished ones together within another. */
import { QuorateError } from "../errors.ts";
import { BODIES_MAX_BYTES, BODY_DEADLINE_MS } from "../limits.ts";

const FIRST_BYTES = 1_024;

/** One body that has not come to its end. */
type Unfinished = {
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  /** Room that is taken for it. */
  buffer: Uint8Array<ArrayBuffer>;
  size: number;
  /** Why it is read no further. */
  refusal: QuorateError | null;
};

export class Bodies {
  readonly #after: (ms: number, run: () => void) => () => void;
  readonly #maxBytes: number;
  readonly #deadlineMs: number;
  /** In the order in which they began. */
  readonly #open = new Set<Unfinished>();
  #bytes = 0;

  /**
   * @param after calls back once after so many ms; returns what cancels it
   * @param maxBytes for all unfinished bodies together
   */
  constructor(
    after: (ms: number, run: () => void) => () => void,
    { maxBytes = BODIES_MAX_BYTES, deadlineMs = BODY_DEADLINE_MS } = {},
  ) {
    this.#after = after;
    this.#maxBytes = maxBytes;
    this.#deadlineMs = deadlineMs;
  }

  /** Bytes that unfinished bodies take. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * The whole body. Rejects with `too-large` as soon as more than `maxBytes` are announced or have come, with
   * `request-timeout` if its end has not come in time or room is needed for others, and with `invalid-request` if its
   * connection broke.
   */
  async read(request: Request, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    if (request.body === null) return new Uint8Array();
    const announced = request.headers.get("content-length");
    if (announced !== null && Number(announced) > maxBytes) throw tooLarge(maxBytes);
    const body: Unfinished = {
      reader: request.body.getReader(),
      buffer: new Uint8Array(FIRST_BYTES),
      size: 0,
      refusal: null,
    };
    const cancelDeadline = this.#after(this.#deadlineMs, () => {
      this.#refuse(body, `the body did not come to its end within ${this.#deadlineMs} ms`);
    });
    this.#open.add(body);
    this.#bytes += FIRST_BYTES;
    try {
      for (;;) {
        const { done, value } = await body.reader.read();
        if (body.refusal !== null) throw body.refusal;
        if (done) return body.buffer.slice(0, body.size);
        if (body.size + value.length > maxBytes) throw tooLarge(maxBytes);
        this.#add(body, value);
      }
    } catch (error) {
      // Nobody waits for the rest of it, which may go on for ever.
      body.reader.cancel().catch(() => {});
      if (error instanceof QuorateError) throw error;
      // The connection broke in the middle of the body: nobody reads this answer, and it is no fault of this process.
      throw new QuorateError("invalid-request", "body ended early", { field: "body" });
    } finally {
      cancelDeadline();
      this.#release(body);
    }
  }

  /** Copies: what the runtime hands out is a view of 64 KiB, however little has come. */
  #add(body: Unfinished, chunk: Uint8Array): void {
    const size = body.size + chunk.length;
    if (size > body.buffer.length) {
      const larger = new Uint8Array(Math.max(size, body.buffer.length * 2));
      larger.set(body.buffer.subarray(0, body.size));
      this.#bytes += larger.length - body.buffer.length;
      body.buffer = larger;
    }
    body.buffer.set(chunk, body.size);
    body.size = size;
    for (const oldest of this.#open) {
      if (this.#bytes <= this.#maxBytes) return;
      // Whoever sends at a common speed is done long before: it is the slow ones that fill the room.
      this.#refuse(oldest, "the body took long, and its room was needed for others");
    }
  }

  #refuse(body: Unfinished, why: string): void {
    body.refusal = new QuorateError("request-timeout", why);
    this.#release(body);
    // Ends the read that waits.
    body.reader.cancel().catch(() => {});
  }

  #release(body: Unfinished): void {
    if (!this.#open.delete(body)) return;
    this.#bytes -= body.buffer.length;
  }
}

function tooLarge(maxBytes: number): QuorateError {
  return new QuorateError("too-large", `the body is over ${maxBytes} bytes`);
}
