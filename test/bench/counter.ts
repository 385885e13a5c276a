/** Counts from outside what a node sends its peers and what it makes durable: the runtime's own calls are watched. */

export type Counts = {
  /** To peers, by POST or as a frame of a connection, and what was in them. */
  readonly requests: number;
  readonly messages: number;
  readonly requestBytes: number;
  /** That succeeded, and the rows they wrote. */
  readonly commits: number;
  readonly rows: number;
  readonly rowBytes: number;
};

export const NO_COUNTS: Counts = { requests: 0, messages: 0, requestBytes: 0, commits: 0, rows: 0, rowBytes: 0 };

export function combined(a: Counts, b: Counts, with_: (x: number, y: number) => number): Counts {
  const names = Object.keys(NO_COUNTS) as (keyof Counts)[];
  return Object.fromEntries(names.map((name) => [name, with_(a[name], b[name])])) as Counts;
}

type Written = { rows: number; bytes: number };
type Fetch = typeof globalThis.fetch;

const DECODER = new TextDecoder();
const MAILBOX_PATH = /^\/paxos\/(?:acceptor|coordinator|learner)$/;
/** After its MAC (src/transport/line_frame.ts). */
const ASK = /^[0-9a-f]{64}ask [^\n]*\n(.*)$/s;

export class Counter {
  readonly #counts = { ...NO_COUNTS } as { -readonly [name in keyof Counts]: number };

  get counts(): Counts {
    return { ...this.#counts };
  }

  /** The same, and a request to a mailbox of a peer is counted when it leaves. */
  fetch(fetch: Fetch): Fetch {
    return (input, init) => {
      if (typeof input === "string" && MAILBOX_PATH.test(new URL(input).pathname) && init?.body instanceof Uint8Array) {
        this.#request(init.body.length, DECODER.decode(init.body));
      }
      return fetch(input, init);
    };
  }

  /** From now on every commit is counted of atomic operations that inherit from `prototype`. Returns what undoes it. */
  watch(prototype: Pick<Deno.AtomicOperation, "set" | "commit">): () => void {
    const { set, commit } = prototype;
    const written = new WeakMap<object, Written>();
    const counts = this.#counts;
    prototype.set = function (key, value, options) {
      const { rows, bytes } = written.get(this) ?? { rows: 0, bytes: 0 };
      const more = value instanceof Uint8Array ? value.length : 0;
      written.set(this, { rows: rows + 1, bytes: bytes + more });
      return set.call(this, key, value, options);
    };
    prototype.commit = async function () {
      const result = await commit.call(this);
      if (result.ok) {
        counts.commits++;
        counts.rows += written.get(this)?.rows ?? 0;
        counts.rowBytes += written.get(this)?.bytes ?? 0;
      }
      return result;
    };
    return () => Object.assign(prototype, { set, commit });
  }

  /** From now on every request is counted that leaves as a frame. Returns what undoes it. */
  watchFrames(prototype: Pick<WebSocket, "send">): () => void {
    const { send } = prototype;
    const request = (frame: unknown) => {
      const body = typeof frame === "string" ? ASK.exec(frame)?.[1] : undefined;
      if (body !== undefined) this.#request(new TextEncoder().encode(body).length, body);
    };
    prototype.send = function (frame) {
      request(frame);
      return send.call(this, frame);
    };
    return () => Object.assign(prototype, { send });
  }

  #request(bytes: number, body: string): void {
    this.#counts.requests++;
    this.#counts.requestBytes += bytes;
    this.#counts.messages += (JSON.parse(body) as { messages: unknown[] }).messages.length;
  }
}
