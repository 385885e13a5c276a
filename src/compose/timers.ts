/**
 * Many timers over one of the runtime's. Nearly all that a node sets are deadlines, which are cancelled long before they are
 * due, and to set and clear one of the runtime's costs more than most of what it watches over.
 */
import type { Clock } from "../ports.ts";
import { Due } from "./due.ts";

/** The runtime takes this for less, and for no number; so no callback that sets another keeps the rest of the process waiting. */
const LEAST_MS = 1;
/** A longer one the runtime calls at once. */
const LONGEST_MS = 2 ** 31 - 1;

export class Timers {
  readonly #clock: Pick<Clock, "now" | "after">;
  readonly #due = new Due();
  /** The runtime's timer; what it was set for may be cancelled since. */
  #wake: { readonly atMs: number; readonly cancel: () => void } | null = null;

  /** @param clock has the runtime's timers */
  constructor(clock: Pick<Clock, "now" | "after">) {
    this.#clock = clock;
  }

  /** Calls back once after `ms`; returns what cancels it. */
  after(ms: number, run: () => void): () => void {
    const now = this.#clock.now();
    const item = this.#due.add(now + (ms > LEAST_MS ? ms : LEAST_MS), run);
    this.#arm(now);
    return () => {
      this.#due.remove(item);
      if (this.#due.first === undefined) this.#disarm();
    };
  }

  /** The runtime wakes no later than the first is due. */
  #arm(now: number): void {
    const { first } = this.#due;
    if (first === undefined || (this.#wake !== null && this.#wake.atMs <= first.dueMs)) return;
    this.#disarm();
    // Overdue by now, where a callback took long and set another: a time that is past the runtime warns of.
    const ms = Math.min(LONGEST_MS, Math.max(LEAST_MS, Math.ceil(first.dueMs - now)));
    this.#wake = { atMs: first.dueMs, cancel: this.#clock.after(ms, () => this.#ring()) };
  }

  /** For nothing it would keep the process alive. */
  #disarm(): void {
    this.#wake?.cancel();
    this.#wake = null;
  }

  #ring(): void {
    this.#wake = null;
    const now = this.#clock.now();
    try {
      for (let { first } = this.#due; first !== undefined && first.dueMs <= now; { first } = this.#due) {
        this.#due.remove(first);
        first.run();
      }
    } finally {
      // Also where one throws: the others are called as if it had not.
      this.#arm(this.#clock.now());
    }
  }
}
