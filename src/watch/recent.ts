/** Which names changed lately on this node, and in what order: what a stream of a prefix goes on from. */
import { RECENT_MAX_NAMES } from "../limits.ts";

export class Recent {
  /** The number of each key's latest change, in that order. */
  readonly #last = new Map<string, number>();
  readonly #max: number;
  #count = 0;
  /** Every change after this one is remembered, if it is its key's latest. */
  #floor = 0;

  constructor(max: number = RECENT_MAX_NAMES) {
    this.#max = max;
  }

  get count(): number {
    return this.#count;
  }

  /** The number of this change: 1, 2, … */
  note(key: string): number {
    const n = ++this.#count;
    this.#last.delete(key);
    this.#last.set(key, n);
    if (this.#last.size <= this.#max) return n;
    const [oldest, at] = this.#last.entries().next().value!;
    this.#last.delete(oldest);
    this.#floor = at;
    return n;
  }

  /** The keys that changed after change `n`, each once, in order of their latest; null: not known any more, or never. */
  since(n: number): readonly { readonly key: string; readonly n: number }[] | null {
    if (n < this.#floor || n > this.#count) return null;
    return [...this.#last].filter(([, at]) => at > n).map(([key, at]) => ({ key, n: at }));
  }
}
