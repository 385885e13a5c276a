/** What one peer has learned from this node and not written yet: should it start anew before it has, it is told again. */
import { LAGGING_MAX_KEYS } from "../limits.ts";
import type { Unsaved } from "../paxos/message.ts";

export class UnsavedAt {
  /** The peer's process that has them in its memory. */
  #run: string | null = null;
  /** Instance and number by key, the lowest number first. */
  readonly #keys = new Map<string, { readonly instance: number; readonly last: number }>();

  /** The peer says where its record stands, and what of it is not durable. Returns the keys that it has to be told again. */
  learned(key: string, instance: number, unsaved: Unsaved | undefined): readonly string[] {
    const known = this.#keys.get(key);
    // Answers may come out of order.
    if (known === undefined || known.instance <= instance) this.#keys.delete(key);
    if (unsaved === undefined) return [];
    const lost = this.heard(unsaved.run);
    // The newer answer has come before this one, and what it told of may be unsaved for longer.
    if ((this.#keys.get(key)?.last ?? 0) < unsaved.last) this.#keys.set(key, { instance, last: unsaved.last });
    for (const [saved, { last }] of this.#keys) {
      // Beyond that the oldest is told when it is used next.
      if (last > unsaved.saved && this.#keys.size <= LAGGING_MAX_KEYS) break;
      this.#keys.delete(saved);
    }
    return lost;
  }

  /** A word of the peer's process `run`. Returns the keys that the process before it may not have written. */
  heard(run: string): readonly string[] {
    if (this.#run === run) return [];
    this.#run = run;
    const lost = [...this.#keys.keys()];
    this.#keys.clear();
    return lost;
  }
}
