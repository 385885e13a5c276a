/** A map of the values below a prefix, filled by a list and kept by events, whichever of the two is newer. */
import type { KvValue } from "../api.ts";
import type { Calls } from "./calls.ts";
import { QuorateError } from "./error.ts";
import { endlessEvents } from "./events.ts";
import { entryIn, type KvChange, type KvEntry } from "./kv_entry.ts";
import { endWhatIsOver } from "./lease.ts";
import { paused } from "./world.ts";

const AGAIN_MS = 1_000;

export class KvWatch {
  readonly entries = new Map<string, KvEntry>();
  readonly ready: Promise<void>;
  readonly #calls: Calls;
  readonly #prefix: string;
  readonly #list: (signal: AbortSignal) => AsyncIterable<KvEntry>;
  readonly #stop = new AbortController();
  /** Changes that nobody has taken yet, newest by key: whoever is slow hears of the last one only. */
  readonly #untold = new Map<string, KvChange>();
  #wake = () => {};
  #error: unknown = null;

  constructor(
    calls: Calls,
    prefix: string,
    list: (signal: AbortSignal) => AsyncIterable<KvEntry>,
    signal: AbortSignal | undefined,
  ) {
    this.#calls = calls;
    this.#prefix = prefix;
    this.#list = list;
    const close = () => this.close();
    signal?.addEventListener("abort", close, { once: true });
    if (signal?.aborted) close();
    this.ready = new Promise((resolve, reject) => {
      this.#follow(resolve).then(resolve, (error) => {
        this.#error = error;
        reject(error);
        this.close();
      }).finally(() => signal?.removeEventListener("abort", close));
    });
    // Whoever iterates hears of it too.
    this.ready.catch(() => {});
  }

  close(): void {
    this.#stop.abort();
    this.#wake();
  }

  /** One reader at a time. */
  async *changes(): AsyncGenerator<KvChange, void> {
    for (;;) {
      const [next] = this.#untold.values();
      if (next !== undefined) {
        this.#untold.delete(next.key);
        endWhatIsOver();
        yield next;
        continue;
      }
      if (this.#error !== null) throw this.#error;
      if (this.#stop.signal.aborted) return;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async #follow(ready: () => void): Promise<void> {
    const { signal } = this.#stop;
    const target = `/v1/kv/events?prefix=${encodeURIComponent(this.#prefix)}`;
    for await (const { event, data } of endlessEvents(this.#calls, { target, isUntimed: true }, signal)) {
      if (event === "resync") {
        await this.#fillAtLast();
        ready();
      } else if (event === "changed") {
        const { key, revision, contentType, value } = data as KvValue;
        this.#put(entryIn(key, revision, contentType, value));
      } else if (event === "deleted") {
        const { key, revision } = data as Pick<KvValue, "key" | "revision">;
        this.#remove(key, BigInt(revision));
      }
    }
  }

  /** Failures of the cluster are waited out. */
  async #fillAtLast(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        return await this.#fill();
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof QuorateError) || !error.retryable) throw error;
        await paused(this.#calls.clock, AGAIN_MS, signal);
      }
    }
  }

  /** Events that came meanwhile wait behind it, and what they say again changes nothing. */
  async #fill(): Promise<void> {
    const before = new Map(this.entries);
    const listed = new Set<string>();
    for await (const entry of this.#list(this.#stop.signal)) {
      if (this.#stop.signal.aborted) return;
      listed.add(entry.key);
      this.#put(entry);
    }
    for (const [key, { revision }] of before) if (!listed.has(key)) this.#remove(key, revision);
  }

  #put(entry: KvEntry): void {
    const { key, revision } = entry;
    const known = this.entries.get(key)?.revision ?? 0n;
    if (revision <= known) return;
    this.entries.set(key, entry);
    this.#tell({ key, entry });
  }

  #remove(key: string, revision: bigint): void {
    const known = this.entries.get(key);
    if (known === undefined || known.revision > revision) return;
    this.entries.delete(key);
    this.#tell({ key, entry: null });
  }

  #tell(change: KvChange): void {
    this.#untold.delete(change.key);
    this.#untold.set(change.key, change);
    this.#wake();
  }
}
