/** Time that passes as fast as the work in it is done, and the same way for the same seed. */
import { setImmediate } from "node:timers";
import { Due } from "../compose/due.ts";
import type { Clock } from "../ports.ts";

/** 2026-01-01 */
const EPOCH_MS = 1_767_225_600_000;

export class VirtualClock implements Clock {
  #nowMs = 1_000;
  readonly #due = new Due();

  now(): number {
    return this.#nowMs;
  }

  wall(): number {
    return Math.floor(EPOCH_MS + this.#nowMs);
  }

  after(ms: number, run: () => void): () => void {
    const timer = this.#due.add(this.#nowMs + Math.max(0, ms), run);
    return () => this.#due.remove(timer);
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
      if (this.#due.first === undefined) throw new Error("nothing is left to happen, and the work is not done");
      this.#nowMs = Math.max(this.#nowMs, endMs);
      throw new Error(`not done within ${limitMs} ms`);
    }
  }

  /** The next of what is due by then; false: nothing is. */
  #runNext(endMs: number): boolean {
    const next = this.#due.first;
    if (next === undefined || next.dueMs > endMs) return false;
    this.#due.remove(next);
    this.#nowMs = Math.max(this.#nowMs, next.dueMs);
    next.run();
    return true;
  }
}

/** A turn of the event loop: every microtask there is has run. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
