/** For what may happen a thousand times a second: a line at once, and then no more than one a minute, with how often it was. */

const EVERY_MS = 60_000;

export class Seldom {
  readonly #now: () => number;
  readonly #tell: (count: number) => void;
  #toldMs = -Infinity;
  /** Since the last line. */
  #count = 0;

  /** @param tell is given how many there were since the last line, this one included */
  constructor(now: () => number, tell: (count: number) => void) {
    this.#now = now;
    this.#tell = tell;
  }

  note(): void {
    this.#count++;
    const now = this.#now();
    if (now - this.#toldMs < EVERY_MS) return;
    this.#toldMs = now;
    const count = this.#count;
    this.#count = 0;
    this.#tell(count);
  }
}
