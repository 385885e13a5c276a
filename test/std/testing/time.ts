/** The part of @std/testing/time that this project uses, over @sinonjs/fake-timers. */
import fakeTimers from "@sinonjs/fake-timers";

/** Replaces Date and the timers of this process until restored. */
export class FakeTime {
  readonly #clock: ReturnType<typeof fakeTimers.install>;

  constructor(start: number | Date = Date.now()) {
    this.#clock = fakeTimers.install({ now: start });
  }

  get now(): number {
    return this.#clock.now;
  }

  tick(ms = 0): void {
    this.#clock.tick(ms);
  }

  async tickAsync(ms = 0): Promise<void> {
    await this.#clock.tickAsync(ms);
  }

  restore(): void {
    this.#clock.uninstall();
  }

  [Symbol.dispose](): void {
    this.restore();
  }
}
