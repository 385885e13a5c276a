/**
 * Whether a guarded decision (R2) waits for the last votes of an open quorum, which make its write needless (PROTOCOL.md §2). On
 * one network they come a moment after the others; from another continent, or of a member that is down, they do not.
 */
import { LAST_VOTES_MAX_MS, LAST_VOTES_MIN_MS, LAST_VOTES_SHARE } from "../limits.ts";

/** Decisions that are remembered. */
const WINDOW = 16;

export class LastVotes {
  /** Whether they came in time, of the newest decisions. */
  readonly #inTime: boolean[] = [];
  #came = 0;

  /** @param tookMs since the value was sent to the others; 0: the write does not wait */
  waitMs(tookMs: number): number {
    if (2 * this.#came < this.#inTime.length) return 0;
    return Math.min(LAST_VOTES_MAX_MS, Math.max(LAST_VOTES_MIN_MS, tookMs * LAST_VOTES_SHARE));
  }

  /** After a decision: whether they came before its write began, or, where that did not wait for them, before it was over. */
  note(isInTime: boolean): void {
    this.#inTime.push(isInTime);
    if (isInTime) this.#came++;
    if (this.#inTime.length > WINDOW && this.#inTime.shift()) this.#came--;
  }
}
