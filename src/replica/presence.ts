/**
 * Whether this process was away a moment ago: started again, or stopped for so long that names may have moved on by more
 * commands than a window remembers (PROTOCOL.md §6).
 */
import { CATCH_UP_MS, STALL_MS } from "../limits.ts";
import type { Clock } from "../ports.ts";

const TICK_MS = 500;

export class Presence {
  readonly #clock: Clock;
  #tickMs: number;
  #backMs: number | null = null;
  #cancel: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#tickMs = clock.now();
    this.#tick();
  }

  /** When it came back, if that was less than CATCH_UP_MS ago; else null. */
  cameBackMs(): number | null {
    this.#look();
    const now = this.#clock.now();
    return this.#backMs !== null && now - this.#backMs < CATCH_UP_MS ? this.#backMs : null;
  }

  cameBack(): void {
    this.#backMs = this.#clock.now();
  }

  close(): void {
    this.#cancel();
  }

  #tick(): void {
    this.#look();
    this.#cancel = this.#clock.after(TICK_MS, () => this.#tick());
  }

  /** A timer that comes far too late says that nothing ran here meanwhile. */
  #look(): void {
    const now = this.#clock.now();
    if (now - this.#tickMs > STALL_MS) this.cameBack();
    this.#tickMs = now;
  }
}
