/**
 * Many timers on one of the platform's. A node makes some for each value, nearly all of which are cancelled, and one of the
 * platform's costs as much as a message.
 */
import { assert } from "../assert.ts";

type Timer = {
  readonly dueMs: number;
  /** Those due at once run in the order in which they were made. */
  readonly order: number;
  /** Null: cancelled, or run. */
  run: (() => void) | null;
};

/** The platform's: `now` in ms, and `set` as `setTimeout`, which returns what cancels it. */
export type Platform = {
  readonly now: () => number;
  readonly set: (ms: number, run: () => void) => () => void;
};

/** Cancelled ones stay until they are due, as long as they are not many more than the others. */
const CANCELLED_MAX = 1_024;

export class Timers {
  readonly #platform: Platform;
  /** A binary heap: what is due first in front. */
  #heap: Timer[] = [];
  #live = 0;
  #count = 0;
  #armed: { readonly dueMs: number; readonly cancel: () => void } | null = null;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  /** Runs `run` once, no sooner than after `ms`. Returns what cancels it. */
  after(ms: number, run: () => void): () => void {
    const timer: Timer = { dueMs: this.#platform.now() + Math.max(0, ms), order: this.#count++, run };
    this.#push(timer);
    this.#live++;
    this.#arm();
    return () => this.#cancel(timer);
  }

  #cancel(timer: Timer): void {
    if (timer.run === null) return;
    // What it would have run, and all that holds, is let go at once.
    timer.run = null;
    this.#live--;
    if (this.#live === 0) {
      this.#heap = [];
      this.#disarm();
    } else if (this.#heap.length > 2 * this.#live + CANCELLED_MAX) {
      // A sorted list is a heap.
      this.#heap = this.#heap.filter(({ run }) => run !== null).sort((a, b) => isBefore(a, b) ? -1 : 1);
    }
  }

  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined) return;
    if (this.#armed !== null) {
      if (this.#armed.dueMs <= first.dueMs) return;
      this.#disarm();
    }
    const cancel = this.#platform.set(Math.max(0, Math.ceil(first.dueMs - this.#platform.now())), () => this.#ring());
    this.#armed = { dueMs: first.dueMs, cancel };
  }

  #disarm(): void {
    this.#armed?.cancel();
    this.#armed = null;
  }

  #ring(): void {
    this.#armed = null;
    // What those that run now add is for the next time, however soon.
    const last = this.#count;
    const now = this.#platform.now();
    try {
      for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
        if (first.run !== null && (first.dueMs > now || first.order >= last)) break;
        this.#pop();
        const { run } = first;
        if (run === null) continue;
        first.run = null;
        this.#live--;
        run();
      }
    } finally {
      // Also where one of them threw: the rest must not wait for ever.
      this.#arm();
    }
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (isBefore(heap[above]!, timer)) break;
      heap[at] = heap[above]!;
      at = above;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    assert(last !== undefined, "there is one to take");
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= heap.length) break;
      const right = left + 1;
      const below = right < heap.length && isBefore(heap[right]!, heap[left]!) ? right : left;
      if (isBefore(last, heap[below]!)) break;
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = last;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}
