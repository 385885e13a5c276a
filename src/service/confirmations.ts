/**
 * Confirmations of hand-overs that were answered before them (PROTOCOL.md §7). One is held back for a moment: a hold that is
 * given back by then takes its confirmation along, in one value.
 */
import { CONFIRM_AFTER_MS } from "../limits.ts";
import type { Clock } from "../ports.ts";

export class Confirmations {
  readonly #clock: Pick<Clock, "after">;
  readonly #due = new Map<string, () => void>();

  constructor(clock: Pick<Clock, "after">) {
    this.#clock = clock;
  }

  later(name: string, fence: string, confirm: () => void): void {
    const id = idOf(name, fence);
    const run = () => {
      cancel();
      this.#due.delete(id);
      confirm();
    };
    const cancel = this.#clock.after(CONFIRM_AFTER_MS, run);
    this.#due.set(id, run);
  }

  /** To be called right before another command about this grant is sent. */
  now(name: string, fence: string): void {
    this.#due.get(idOf(name, fence))?.();
  }
}

function idOf(name: string, fence: string): string {
  return `${fence} ${name}`;
}
