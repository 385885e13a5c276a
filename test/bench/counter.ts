/** Counts from outside what a node sends its peers and what it makes durable: the runtime's own calls are watched. */

export type Counts = {
  /** To peers, and what was in them. */
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

export class Counter {
  readonly #counts = { ...NO_COUNTS } as { -readonly [name in keyof Counts]: number };

  get counts(): Counts {
    return { ...this.#counts };
  }

  /** The same, and a request to a peer is counted when it leaves. */
  fetch(fetch: Fetch): Fetch {
    return (input, init) => {
      if (typeof input === "string" && new URL(input).pathname.startsWith("/paxos/")) this.#request(init?.body);
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

  #request(body: BodyInit | null | undefined): void {
    this.#counts.requests++;
    if (!(body instanceof Uint8Array)) return;
    this.#counts.requestBytes += body.length;
    this.#counts.messages += (JSON.parse(DECODER.decode(body)) as { messages: unknown[] }).messages.length;
  }
}
