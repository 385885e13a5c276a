/** Requests of clients that are under way, so that a node which gives way to another in the same process can answer them all. */
import { QuorateError } from "../src/errors.ts";
import type { Ctx } from "./answer.ts";

export class UnderWay {
  readonly #after: (ms: number, run: () => void) => () => void;
  readonly #open = new Set<(why: string) => void>();
  #onNone: () => void = () => {};
  #onOver: () => void = () => {};

  constructor(after: (ms: number, run: () => void) => () => void) {
    this.#after = after;
  }

  /** As `run`; rejects where the node has gone on to something else before it is over. */
  during(c: Ctx, run: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const cut = (why: string) => {
        c.set("isCutOff", true);
        reject(cutOff(c, why));
      };
      const over = (then: () => void) => {
        then();
        this.#open.delete(cut);
        if (this.#open.size === 0) this.#onNone();
      };
      this.#open.add(cut);
      run().then(() => over(resolve), (error) => over(() => reject(error)));
    });
  }

  /** Called once those that are left are cut off. */
  onOver(run: () => void): void {
    this.#onOver = run;
  }

  /** Gives those under way some time, and answers what is left then. Nothing new may come from when it is called. */
  async end(withinMs: number, why: string): Promise<void> {
    if (this.#open.size > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onNone = resolve;
      const cancel = this.#after(withinMs, resolve);
      await promise;
      cancel();
    }
    for (const cut of this.#open) cut(why);
    this.#onOver();
  }
}

/** Once a write has a key it may have been handed over. */
function cutOff(c: Ctx, why: string): QuorateError {
  const idempotencyKey = c.get("idempotencyKey");
  return idempotencyKey === undefined
    ? new QuorateError("not-ready", why)
    : new QuorateError("outcome-unknown", `${why}; repeat it with the same Idempotency-Key`, { idempotencyKey });
}
