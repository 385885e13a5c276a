import { ManualClock } from "../transport/manual_clock.ts";

/** Time that passes when the test says so, also without any timer firing, and a wall clock that somebody sets. */
export class SleepyClock extends ManualClock {
  #sleptMs = 0;
  #jumpedMs = 0;

  override now(): number {
    return super.now() + this.#sleptMs;
  }

  override wall(): number {
    return super.wall() + this.#sleptMs + this.#jumpedMs;
  }

  /** The process does not run: no timer fires, and those that are set fire so much late. */
  sleep(ms: number): void {
    this.#sleptMs += ms;
  }

  /** The machine is suspended: what is monotonic stands still. */
  suspend(ms: number): void {
    this.#jumpedMs += ms;
  }

  /** Somebody sets the wall clock. */
  setWall(byMs: number): void {
    this.#jumpedMs += byMs;
  }
}
