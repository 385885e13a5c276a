/** When this process last heard of a key, or of a session: how old what it knows of it may be. */
import { HEARD_MAX_KEYS } from "../limits.ts";
import type { Clock } from "../ports.ts";
import { Remembered } from "../remembered.ts";
import { TurnClock } from "./turn_clock.ts";

export class Freshness {
  readonly #clock: Clock;
  readonly #turn: TurnClock;
  readonly #atMs: Remembered<number>;

  constructor(clock: Clock, maxKeys = HEARD_MAX_KEYS) {
    this.#clock = clock;
    this.#turn = new TurnClock(clock);
    this.#atMs = new Remembered(maxKeys);
  }

  /** The own record is as new as what a member has just said. */
  note(key: string): void {
    this.#atMs.set(key, this.#turn.now());
  }

  /** In ms; null if this process has not heard of the key, and so cannot tell. */
  ageMs(key: string): number | null {
    const atMs = this.#atMs.get(key);
    return atMs === undefined ? null : this.#clock.now() - atMs;
  }
}
