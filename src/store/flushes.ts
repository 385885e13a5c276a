/** Those who wait until what they asked of a store is durable; what is asked for is numbered. */
type Waiting = { readonly upTo: number; readonly resolve: () => void; readonly reject: (error: unknown) => void };

export class Flushes {
  #waiting: readonly Waiting[] = [];

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Resolves when everything up to this number is durable. */
  wait(upTo: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting = [...this.#waiting, { upTo, resolve, reject }];
    });
  }

  /** What was asked for up to this number is durable. */
  done(durable: number): void {
    if (this.#waiting.length > 0) { for (const { resolve } of this.#taken(durable)) resolve(); }
  }

  failed(error: unknown, upTo: number): void {
    for (const { reject } of this.#taken(upTo)) reject(error);
  }

  #taken(upTo: number): readonly Waiting[] {
    const taken = this.#waiting.filter((flush) => flush.upTo <= upTo);
    this.#waiting = this.#waiting.filter((flush) => flush.upTo > upTo);
    return taken;
  }
}
