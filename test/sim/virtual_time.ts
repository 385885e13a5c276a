/** Machines in virtual time. */
import type { Clock } from "../../src/ports.ts";

export { VirtualClock } from "../../src/testing/virtual_clock.ts";
export { type Seeded, seededRandomness } from "../../src/testing/seeded.ts";

/** The clock of a machine: fast or slow by a rate, with a wall clock that can be set wrong. */
export class MachineClock implements Clock {
  readonly rate: number;
  /** Nothing may depend on it. */
  wallOffsetMs = 0;
  readonly #clock: Clock;
  readonly #gate: (run: () => void) => void;

  /** @param gate runs what is due, unless the machine is stopped: then later */
  constructor(clock: Clock, rate: number, gate: (run: () => void) => void = (run) => run()) {
    this.#clock = clock;
    this.rate = rate;
    this.#gate = gate;
  }

  now(): number {
    return this.#clock.now() * this.rate;
  }

  wall(): number {
    return Math.floor(this.#clock.wall() + this.wallOffsetMs);
  }

  after(ms: number, run: () => void): () => void {
    let isCancelled = false;
    const due = () => this.#gate(() => void (isCancelled || run()));
    const cancel = this.#clock.after(ms / this.rate, due);
    return () => {
      isCancelled = true;
      cancel();
    };
  }
}
