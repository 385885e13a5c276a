/** How many updates of records are under way, for whoever has to know that there are none, and never will be. */
import { QuorateError } from "../errors.ts";

export class OpenUpdates {
  #count = 0;
  #isOver = false;
  #none: (() => void) | null = null;

  get isOver(): boolean {
    return this.#isOver;
  }

  /** `not-ready` once no more are let in; else null. */
  begin(): QuorateError | null {
    if (this.#isOver) return new QuorateError("not-ready", "this node goes over to another set of members");
    this.#count++;
    return null;
  }

  end(): void {
    this.#count--;
    if (this.#count === 0) this.#none?.();
  }

  /** Lets no more in; resolves when none is under way. */
  over(): Promise<void> {
    this.#isOver = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#none = resolve;
    if (this.#count === 0) resolve();
    return promise;
  }
}
