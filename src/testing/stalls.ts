/**
 * Processes that are stopped for a while, as by a pause of their machine: their clocks go on, but nothing in them runs. What
 * comes for one meanwhile (timers, messages, answers, callers) waits, and comes all at once when it runs again.
 */
export class Stalls {
  readonly #waiting = new Map<string, (() => void)[]>();

  begin(process: string): void {
    if (!this.#waiting.has(process)) this.#waiting.set(process, []);
  }

  isStalled(process: string): boolean {
    return this.#waiting.has(process);
  }

  end(process: string): void {
    const waiting = this.#waiting.get(process) ?? [];
    this.#waiting.delete(process);
    for (const run of waiting) run();
  }

  endAll(): void {
    for (const process of [...this.#waiting.keys()]) this.end(process);
  }

  /** At once, or when it runs again. */
  run(process: string, work: () => void): void {
    const waiting = this.#waiting.get(process);
    if (waiting === undefined) work();
    else waiting.push(work);
  }

  /** When it runs again; null if it does. */
  awake(process: string): Promise<void> | null {
    const waiting = this.#waiting.get(process);
    return waiting === undefined ? null : new Promise((resolve) => waiting.push(resolve));
  }

  /** What is done for the process, told to it only when it runs. */
  async told<T>(process: string, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } finally {
      await this.awake(process);
    }
  }
}
