/** Committed records of recently used keys, and the updates that wait on each. */
import type { AcceptorRecord } from "../paxos/message.ts";

/** One key. At most one entry of a key exists, so its version is known in one place only. */
export class Entry<Waiter> {
  readonly key: string;
  /** False until read from disk, and again once a commit's outcome is not known. */
  loaded = false;
  loading = false;
  /** True while an atomic that writes this key is under way. */
  flying = false;
  /** As committed; meaningful while `loaded`. */
  record: AcceptorRecord | null = null;
  /** What is wrong with what is on disk: then there is no record, and only who mends it may go on. */
  damage: string | null = null;
  /** Versionstamp of the ballot row. */
  version: string | null = null;
  queue: Waiter[] = [];

  constructor(key: string) {
    this.key = key;
  }
}

export class RecordCache<Waiter> {
  readonly #maxIdle: number;
  /** In use, never evicted: a second entry of the key would not know of the commit under way. */
  readonly #busy = new Map<string, Entry<Waiter>>();
  /** Least recently used first. */
  readonly #idle = new Map<string, Entry<Waiter>>();

  constructor(maxIdle: number) {
    this.#maxIdle = maxIdle;
  }

  /** Keys that somebody waits for. */
  get inUse(): number {
    return this.#busy.size;
  }

  /** The key's entry, kept until `rest`. */
  use(key: string): Entry<Waiter> {
    let entry = this.#busy.get(key);
    if (entry !== undefined) return entry;
    entry = this.#idle.get(key) ?? new Entry<Waiter>(key);
    this.#idle.delete(key);
    this.#busy.set(key, entry);
    return entry;
  }

  /** The entry as committed of a key that nobody waits for; null: it is in use, or not kept. */
  resting(key: string): Entry<Waiter> | null {
    const entry = this.#idle.get(key);
    if (entry === undefined) return null;
    this.#idle.delete(key);
    this.#idle.set(key, entry);
    return entry;
  }

  /** Lets the entry be evicted if nothing waits on it. */
  rest(entry: Entry<Waiter>): void {
    if (entry.flying || entry.loading || entry.queue.length > 0) return;
    this.#busy.delete(entry.key);
    if (!entry.loaded) return;
    this.#idle.set(entry.key, entry);
    for (const oldest of this.#idle.keys()) {
      if (this.#idle.size <= this.#maxIdle) break;
      this.#idle.delete(oldest);
    }
  }
}
