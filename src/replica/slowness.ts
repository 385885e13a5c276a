/**
 * Whether a store is slow: of the commits of each second, for ten seconds on end, more than one in a hundred took longer than
 * 250 ms. Told once when it begins and once when it is over; a second without commits says nothing.
 */
import type { Report } from "../ports.ts";

export const SLOW_MS = 250;
const SECOND_MS = 1_000;
const SLOW_SECONDS = 10;
/** The share of a second's commits that may be slow. */
const SHARE = 0.01;

export class Slowness {
  readonly #report: Report;
  #secondMs = -Infinity;
  #commits = 0;
  #slow = 0;
  #worstMs = 0;
  /** Seconds on end that were slow. */
  #seconds = 0;
  #isTold = false;

  constructor(report: Report) {
    this.#report = report;
  }

  get isSlow(): boolean {
    return this.#isTold;
  }

  /** A commit took `tookMs` and ended at `nowMs`, by one monotonic clock. */
  note(nowMs: number, tookMs: number): void {
    if (nowMs - this.#secondMs >= SECOND_MS) {
      this.#judge();
      this.#secondMs = nowMs;
    }
    this.#commits++;
    if (tookMs <= SLOW_MS) return;
    this.#slow++;
    this.#worstMs = Math.max(this.#worstMs, tookMs);
  }

  #judge(): void {
    if (this.#commits === 0) return;
    const isSlow = this.#slow > this.#commits * SHARE;
    const worstMs = Math.round(this.#worstMs);
    this.#commits = 0;
    this.#slow = 0;
    if (!isSlow) {
      this.#seconds = 0;
      this.#worstMs = 0;
      if (this.#isTold) this.#report("the store is fast again", { event: "store", facts: { slow: false } });
      this.#isTold = false;
      return;
    }
    this.#seconds++;
    if (this.#isTold || this.#seconds < SLOW_SECONDS) return;
    this.#isTold = true;
    const line = `the store is slow: commits took up to ${worstMs} ms, and above ${SLOW_MS} ms for ${SLOW_SECONDS} s`;
    this.#report(line, { event: "store", level: "warn", facts: { slow: true, worstMs } });
  }
}
