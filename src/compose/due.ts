/** What is to be done at some time, the earliest first; of what is due at once, what was added first. */

export type DueItem = {
  readonly dueMs: number;
  readonly run: () => void;
  readonly number: number;
  /** Its place in the heap; -1 once it was taken out. */
  at: number;
};

export class Due {
  /** A binary heap: none is due before the one at half its place. */
  readonly #heap: DueItem[] = [];
  #added = 0;

  /** Undefined: nothing is. */
  get first(): DueItem | undefined {
    return this.#heap[0];
  }

  add(dueMs: number, run: () => void): DueItem {
    const item = { dueMs, run, number: this.#added++, at: this.#heap.length };
    this.#heap.push(item);
    this.#rise(item);
    return item;
  }

  /** Does nothing where it was taken out before. */
  remove(item: DueItem): void {
    if (item.at < 0) return;
    const last = this.#heap.pop()!;
    if (last !== item) {
      this.#put(last, item.at);
      this.#rise(last);
      this.#sink(last);
    }
    item.at = -1;
  }

  #rise(item: DueItem): void {
    while (item.at > 0) {
      const above = this.#heap[(item.at - 1) >> 1]!;
      if (isBefore(above, item)) return;
      this.#swap(above, item);
    }
  }

  #sink(item: DueItem): void {
    for (;;) {
      const left = this.#heap[2 * item.at + 1];
      const right = this.#heap[2 * item.at + 2];
      if (left === undefined) return;
      const first = right !== undefined && isBefore(right, left) ? right : left;
      if (isBefore(item, first)) return;
      this.#swap(item, first);
    }
  }

  #swap(above: DueItem, below: DueItem): void {
    const { at } = above;
    this.#put(above, below.at);
    this.#put(below, at);
  }

  #put(item: DueItem, at: number): void {
    this.#heap[at] = item;
    item.at = at;
  }
}

function isBefore(a: DueItem, b: DueItem): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.number < b.number);
}
