/** How often a subject may ask: a token bucket each (api.md, "Limits and defaults"). The clock is the caller's. */
import { assert } from "../assert.ts";
import { RATE_SUBJECTS_MAX } from "../limits.ts";

/** `perSecond` in the long run, `burst` at once after a rest. */
export type Rate = { readonly perSecond: number; readonly burst: number };

/** What was left, and when that was. */
type Bucket = { readonly left: number; readonly atMs: number };

export class RateLimiter {
  readonly #rate: Rate;
  readonly #maxSubjects: number;
  /** Those not full, the one asked for longest ago first. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(rate: Rate, maxSubjects: number = RATE_SUBJECTS_MAX) {
    assert(rate.perSecond > 0 && rate.burst >= 1, "a rate lets something through");
    this.#rate = rate;
    this.#maxSubjects = maxSubjects;
  }

  /** Takes one request's worth; 0 if there was one, else in how many ms there will be. `nowMs` never goes back. */
  take(subject: string, nowMs: number): number {
    const { perSecond, burst } = this.#rate;
    const known = this.#buckets.get(subject) ?? { left: burst, atMs: nowMs };
    const left = Math.min(burst, known.left + ((nowMs - known.atMs) * perSecond) / 1_000);
    if (left < 1) return Math.ceil(((1 - left) * 1_000) / perSecond);
    this.#buckets.delete(subject);
    this.#buckets.set(subject, { left: left - 1, atMs: nowMs });
    if (this.#buckets.size > this.#maxSubjects) this.#forgetOldest();
    return 0;
  }

  /** It had longest to fill up again: of all it loses least by being taken for full. */
  #forgetOldest(): void {
    const [oldest] = this.#buckets.keys();
    this.#buckets.delete(oldest!);
  }
}
