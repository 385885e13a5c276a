/**
 * The time at the beginning of what runs now: read once for all that one commit, or one frame of a peer, sets off. For counting
 * and for what users are told, where a turn is nothing; a lease is timed by the clock itself.
 */
import type { Clock } from "../ports.ts";

export class TurnClock {
  readonly #clock: Clock;
  #nowMs: number | null = null;
  readonly #end = () => {
    this.#nowMs = null;
  };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): number {
    if (this.#nowMs === null) {
      this.#nowMs = this.#clock.now();
      queueMicrotask(this.#end);
    }
    return this.#nowMs;
  }
}
