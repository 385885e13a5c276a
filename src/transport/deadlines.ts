/**
 * Deadlines of many things that all have the same time, which may change: one timer for the oldest, however many there are.
 */
import type { Clock } from "../ports.ts";

export interface Timed {
  /** Set by the owner, who then calls `settled()`. */
  readonly isSettled: boolean;
}

export class Deadlines<T extends Timed> {
  readonly #clock: Clock;
  readonly #ms: () => number;
  readonly #expire: (item: T) => void;
  /** In the order of their deadlines, as the time is the same for all. */
  #due: { readonly item: T; readonly sinceMs: number }[] = [];
  #first = 0;
  #open = 0;
  #cancel: (() => void) | null = null;

  /**
   * @param ms the time that each has now; where it has become less, an item may end some time later than that
   * @param expire must settle the item it gets
   */
  constructor(clock: Clock, ms: () => number, expire: (item: T) => void) {
    this.#clock = clock;
    this.#ms = ms;
    this.#expire = expire;
  }

  /** Items neither settled nor expired. */
  get open(): number {
    return this.#open;
  }

  add(item: T): void {
    this.#open++;
    this.#due.push({ item, sinceMs: this.#clock.now() });
    if (this.#cancel === null) this.#arm(this.#ms());
  }

  /** To be called once for each item that was settled, expired or not. */
  settled(): void {
    this.#open--;
    // No timer outlives the last item: an idle peer costs nothing and keeps no process up.
    if (this.#open === 0) this.#clear();
  }

  #arm(ms: number): void {
    this.#cancel = this.#clock.after(ms, () => {
      this.#cancel = null;
      this.#sweep();
    });
  }

  #sweep(): void {
    const now = this.#clock.now();
    const ms = this.#ms();
    for (;;) {
      const next = this.#due[this.#first];
      if (next === undefined) return this.#clear();
      if (!next.item.isSettled) {
        if (next.sinceMs + ms > now) break;
        this.#expire(next.item);
        // Expiring the last one cleared the list.
        if (this.#open === 0) return;
      }
      this.#first++;
    }
    this.#due = this.#due.slice(this.#first);
    this.#first = 0;
    const oldest = this.#due[0];
    if (oldest !== undefined) this.#arm(Math.max(1, oldest.sinceMs + ms - now));
  }

  #clear(): void {
    this.#due = [];
    this.#first = 0;
    this.#cancel?.();
    this.#cancel = null;
  }
}
