/** Time that passes as fast as the work in it is done, and the same way for the same seed. */
import { setImmediate } from "node:timers";
import type { Clock } from "../ports.ts";

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

  /** Lets so much time pass; resolves once what was due by then has been done. */
  async pass(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await turn();
    while (this.#runNext(endMs)) await turn();
    this.#nowMs = Math.max(this.#nowMs, endMs);
  }

  /** Lets time pass until `work` is done; rejects if nothing is left to wait for, or after `limitMs` of virtual time. */
  async run<T>(work: Promise<T>, limitMs: number): Promise<T> {
    let isDone = false;
    const mark = () => void (isDone = true);
    work.then(mark, mark);
    const endMs = this.#nowMs + limitMs;
    for (;;) {
      await turn();
      if (isDone) return await work;
      if (this.#runNext(endMs)) continue;
      if (this.#timers.first() === null) throw new Error("nothing is left to happen, and the work is not done");
      this.#nowMs = Math.max(this.#nowMs, endMs);
      throw new Error(`not done within ${limitMs} ms`);
    }
  }

  /** The next of what is due by then; false: nothing is. */
  #runNext(endMs: number): boolean {
    const next = this.#timers.first();
    if (next === null || next.atMs > endMs) return false;
    this.#timers.take();
    this.#nowMs = Math.max(this.#nowMs, next.atMs);
    next.run();
    return true;
  }
}

/** A turn of the event loop: every microtask there is has run. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
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

  /** Null: nothing is set. */
  first(): Timer | null {
    while (this.#heap[0]?.isCancelled) this.take();
    return this.#heap[0] ?? null;
  }

  /** Takes the first out, whether it is cancelled or not. */
  take(): void {
    const last = this.#heap.pop();
    if (last !== undefined && this.#heap.length > 0) this.#sink(last);
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
