/**
 * Whether this process was away a moment ago: started again, or stopped for so long that names may have moved on by more
 * commands than a window remembers (PROTOCOL.md §6).
 */
import { CATCH_UP_MS, STALL_MS } from "../limits.ts";
import type { Clock } from "../ports.ts";

const TICK_MS = 500;

/** What may be lacking here for longer than a moment, and is fetched once it is started. */
export type Lack = { readonly isLeft: boolean; start(): void; close(): void };

export class Presence {
  readonly #clock: Clock;
  readonly #lack: Lack | null;
  #tickMs: number;
  #backMs: number | null = null;
  #cancel: () => void = () => {};

  constructor(clock: Clock, lack: Lack | null = null) {
    this.#clock = clock;
    this.#lack = lack;
    this.#tickMs = clock.now();
    this.#tick();
  }

  /** @param wasAway whether this process goes on where another left off */
  start(wasAway: boolean): void {
    if (wasAway || this.#lack !== null) this.#cameBack();
    this.#lack?.start();
  }

  /** When it came back, if that was less than CATCH_UP_MS ago, or something is lacking still; else null. */
  cameBackMs(): number | null {
    this.#look();
    const now = this.#clock.now();
    const isBack = this.#backMs !== null && (now - this.#backMs < CATCH_UP_MS || this.#lack?.isLeft === true);
    return isBack ? this.#backMs : null;
  }

  #cameBack(): void {
    this.#backMs = this.#clock.now();
  }

  close(): void {
    this.#lack?.close();
    this.#cancel();
  }

  #tick(): void {
    this.#look();
    this.#cancel = this.#clock.after(TICK_MS, () => this.#tick());
  }

  /** A timer that comes far too late says that nothing ran here meanwhile. */
  #look(): void {
    const now = this.#clock.now();
    if (now - this.#tickMs > STALL_MS) this.#cameBack();
    this.#tickMs = now;
  }
}
