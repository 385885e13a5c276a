/** Time that passes as fast as the work in it is done, and the same way for the same seed. */
import { setImmediate } from "node:timers";
import type { Clock, Randomness } from "../../src/ports.ts";
import { seeded } from "../replica/clocks.ts";

/** 2026-01-01 */
const EPOCH_MS = 1_767_225_600_000;

type Timer = { readonly atMs: number; readonly order: number; readonly run: () => void; isCancelled: boolean };

export class VirtualClock implements Clock {
  #nowMs = 1_000;
  #order = 0;
  readonly #timers = new Timers();

  now(): number {
    return this.#nowMs;
  }

  wall(): number {
    return Math.floor(EPOCH_MS + this.#nowMs);
  }

  after(ms: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, ms), order: this.#order++, run, isCancelled: false };
    this.#timers.add(timer);
    return () => void (timer.isCancelled = true);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Lets time pass until `work` is done; rejects if nothing is left to wait for, or after `limitMs` of virtual time. */
  async run<T>(work: Promise<T>, limitMs: number): Promise<T> {
    let isDone = false;
    const mark = () => void (isDone = true);
    work.then(mark, mark);
    const endMs = this.#nowMs + limitMs;
    for (;;) {
      // One turn of the event loop runs every microtask there is.
      await new Promise((resolve) => setImmediate(resolve));
      if (isDone) return await work;
      const next = this.#timers.take();
      if (next === null) throw new Error("nothing is left to happen, and the work is not done");
      if (next.atMs > endMs) throw new Error(`not done within ${limitMs} ms`);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
    }
  }
}

/** A heap: the earliest first, of those at one time the one set first. */
class Timers {
  readonly #heap: Timer[] = [];

  add(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isEarlier(timer, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = timer;
  }

  take(): Timer | null {
    for (;;) {
      const [first] = this.#heap;
      if (first === undefined) return null;
      const last = this.#heap.pop()!;
      if (last !== first) this.#sink(last);
      if (!first.isCancelled) return first;
    }
  }

  #sink(timer: Timer): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isEarlier(heap[child + 1]!, heap[child]!)) child++;
      if (!isEarlier(heap[child]!, timer)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = timer;
  }
}

function isEarlier(a: Timer, b: Timer): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** The clock of a machine: fast or slow by a rate, with a wall clock that can be set wrong. */
export class MachineClock implements Clock {
  readonly rate: number;
  /** Nothing may depend on it. */
  wallOffsetMs = 0;
  readonly #clock: Clock;
  readonly #gate: (run: () => void) => void;

  /** @param gate runs what is due, unless the machine is stopped: then later */
  constructor(clock: Clock, rate: number, gate: (run: () => void) => void = (run) => run()) {
    this.#clock = clock;
    this.rate = rate;
    this.#gate = gate;
  }

  now(): number {
    return this.#clock.now() * this.rate;
  }

  wall(): number {
    return Math.floor(this.#clock.wall() + this.wallOffsetMs);
  }

  after(ms: number, run: () => void): () => void {
    let isCancelled = false;
    const due = () => this.#gate(() => void (isCancelled || run()));
    const cancel = this.#clock.after(ms / this.rate, due);
    return () => {
      isCancelled = true;
      cancel();
    };
  }
}

export type Seeded = Randomness & {
  /** Uniform integer in [0, below). */
  below(below: number): number;
  chance(share: number): boolean;
  pick<T>(items: readonly T[]): T;
};

/** @param stream independent sequences of one seed: what one of them is asked for does not change another */
export function seededRandomness(seed: number, stream = 0): Seeded {
  const next = seeded(seed + Math.imul(stream, 0x9e3779b1));
  let ids = 0;
  const below = (limit: number) => Math.floor(next() * limit);
  return {
    next,
    id: () => `r${(ids++).toString(36)}`,
    below,
    chance: (share) => next() < share,
    pick: (items) => items[below(items.length)]!,
  };
}
