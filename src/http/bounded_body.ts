/** Bodies of requests: each within a limit of bytes and of time, and all unfinished ones together within another. */
import { QuorateError } from "../errors.ts";
import { BODIES_MAX_BYTES, BODY_DEADLINE_MS } from "../limits.ts";

const FIRST_BYTES = 1_024;
/** Turns of the microtask queue: in fewer Deno hands out what came with the head of its request. */
const TURNS_AT_ONCE = 8;

/** One body that has not come to its end. */
type Unfinished = {
  /** Bytes of room that are taken for it. */
  room: number;
  /** Ends the read of it. */
  readonly refuse: (why: QuorateError) => void;
  cancelDeadline: (() => void) | null;
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
    const announced = request.headers.get("content-length");
    if (announced !== null && Number(announced) > maxBytes) throw tooLarge(maxBytes);
    // No more comes than is announced: the server cuts it off there. To make a stream of it would cost more than all else here.
    if (announced !== null && Number(announced) <= FIRST_BYTES) return await this.#readSmall(request, maxBytes);
    if (announced === null && hasNoBody(request)) return new Uint8Array();
    return request.body === null ? new Uint8Array() : await this.#readStream(request.body, maxBytes);
  }

  async #readSmall(request: Request, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
    const body = this.#begin(reject);
    // Where it is refused meanwhile, the server gives the rest of it up once that is answered.
    request.bytes().then(resolve, () => reject(endedEarly()));
    try {
      const bytes = await promise;
      if (bytes.length > maxBytes) throw tooLarge(maxBytes);
      return bytes;
    } finally {
      this.#release(body);
    }
  }

  async #readStream(stream: ReadableStream<Uint8Array>, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const reader = stream.getReader();
    let refusal: QuorateError | null = null;
    const body = this.#begin((why) => {
      refusal = why;
      // Ends the read that waits.
      reader.cancel().catch(() => {});
    });
    let buffer = new Uint8Array(body.room);
    let size = 0;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (refusal !== null) throw refusal;
        if (done) return buffer.slice(0, size);
        if (size + value.length > maxBytes) throw tooLarge(maxBytes);
        // Copied: what the runtime hands out is a view of 64 KiB, however little has come.
        if (size + value.length > buffer.length) {
          const larger = new Uint8Array(Math.max(size + value.length, buffer.length * 2));
          larger.set(buffer.subarray(0, size));
          buffer = larger;
        }
        buffer.set(value, size);
        size += value.length;
        this.#grow(body, buffer.length);
      }
    } catch (error) {
      // Nobody waits for the rest of it, which may go on for ever.
      reader.cancel().catch(() => {});
      throw error instanceof QuorateError ? error : endedEarly();
    } finally {
      this.#release(body);
    }
  }

  #begin(refuse: Unfinished["refuse"]): Unfinished {
    const body: Unfinished = { room: FIRST_BYTES, refuse, cancelDeadline: null };
    this.#open.add(body);
    this.#bytes += FIRST_BYTES;
    void this.#startDeadline(body);
    return body;
  }

  /** Most bodies need none, and a timer costs as much as reading one. */
  async #startDeadline(body: Unfinished): Promise<void> {
    for (let turn = 0; turn < TURNS_AT_ONCE; turn++) {
      await null;
      if (!this.#open.has(body)) return;
    }
    body.cancelDeadline = this.#after(this.#deadlineMs, () => {
      this.#refuse(body, `the body did not come to its end within ${this.#deadlineMs} ms`);
    });
  }

  #grow(body: Unfinished, room: number): void {
    this.#bytes += room - body.room;
    body.room = room;
    for (const oldest of this.#open) {
      if (this.#bytes <= this.#maxBytes) return;
      // Whoever sends at a common speed is done long before: it is the slow ones that fill the room.
      this.#refuse(oldest, "the body took long, and its room was needed for others");
    }
  }

  #refuse(body: Unfinished, why: string): void {
    this.#release(body);
    body.refuse(new QuorateError("request-timeout", why));
  }

  #release(body: Unfinished): void {
    if (!this.#open.delete(body)) return;
    body.cancelDeadline?.();
    this.#bytes -= body.room;
  }
}

/**
 * HTTP/1.1, whose requests name their host in a header, says by two others whether there is a body; to look for one that is not
 * there costs as much as all else of a release. Not where something could be lost: a proxy, or HTTP/2, may have no length.
 */
function hasNoBody({ method, url, headers }: Request): boolean {
  return method === "DELETE" && SAYS_NOTHING.test(url) &&
    headers.get("transfer-encoding") === null && headers.get("host") !== null;
}

/** Below a name, where a grant is given back or a queue is left: a body has nothing to add there. */
const SAYS_NOTHING = /^[a-z]+:\/\/[^/]*\/v1\/[a-z]+\/[^/?#]+\/[^/?#]/;

function tooLarge(maxBytes: number): QuorateError {
  return new QuorateError("too-large", `the body is over ${maxBytes} bytes`);
}

/** The connection broke in the middle of the body: nobody reads this answer, and it is no fault of this process. */
function endedEarly(): QuorateError {
  return new QuorateError("invalid-request", "body ended early", { field: "body" });
}
