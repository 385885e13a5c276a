/** When this process last heard of a key, or of a session: how old what it knows of it may be. */
import type { Clock } from "./ports.ts";

/** Of keys beyond that, those not heard of for longest are forgotten. */
const HEARD_MAX_KEYS = 100_000;

export class Heard {
  readonly #clock: Clock;
  /** Oldest first. */
  readonly #atMs = new Map<string, number>();
  readonly #maxKeys: number;

  constructor(clock: Clock, maxKeys = HEARD_MAX_KEYS) {
    this.#clock = clock;
    this.#maxKeys = maxKeys;
  }

  /** The own record is as new as what a member has just said. */
  note(key: string): void {
    this.#atMs.delete(key);
    this.#atMs.set(key, this.#clock.now());
    if (this.#atMs.size <= this.#maxKeys) return;
    for (const oldest of this.#atMs.keys()) return void this.#atMs.delete(oldest);
  }

  /** In ms; null if this process has not heard of the key, and so cannot tell. */
  ageMs(key: string): number | null {
    const atMs = this.#atMs.get(key);
    return atMs === undefined ? null : this.#clock.now() - atMs;
  }
}
