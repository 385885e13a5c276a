/** Time that passes as fast as the work in it is done, and the same way for the same seed. */
import { setImmediate } from "node:timers";
import type { Clock, Randomness } from "../../src/replica/ports.ts";
import { seeded } from "../replica/clocks.ts";

/** 2026-01-01 */
const EPOCH_MS = 1_767_225_600_000;

type Timer = { readonly atMs: number; readonly order: number; readonly run: () => void };

export class VirtualClock implements Clock {
  #nowMs = 1_000;
  #order = 0;
  readonly #timers = new Set<Timer>();
  /** Added to the wall clock of everybody: nothing may depend on it. */
  wallOffsetMs = 0;

  now(): number {
    return this.#nowMs;
  }

  wall(): number {
    return Math.floor(EPOCH_MS + this.#nowMs + this.wallOffsetMs);
  }

  after(ms: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, ms), order: this.#order++, run };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
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
      const next = this.#earliest();
      if (next === null) throw new Error("nothing is left to happen, and the work is not done");
      if (next.atMs > endMs) throw new Error(`not done within ${limitMs} ms`);
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
    }
  }

  #earliest(): Timer | null {
    let first: Timer | null = null;
    for (const timer of this.#timers) {
      if (first === null || timer.atMs < first.atMs || (timer.atMs === first.atMs && timer.order < first.order)) {
        first = timer;
      }
    }
    return first;
  }
}

/** The clock of a machine that is fast or slow by a rate. */
export function rated(clock: Clock, rate: number): Clock {
  return { now: () => clock.now() * rate, wall: () => clock.wall(), after: (ms, run) => clock.after(ms / rate, run) };
}

export type Seeded = Randomness & {
  /** Uniform integer in [0, below). */
  below(below: number): number;
  chance(share: number): boolean;
  pick<T>(items: readonly T[]): T;
};

export function seededRandomness(seed: number): Seeded {
  const next = seeded(seed);
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
