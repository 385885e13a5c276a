/** Names whose own record says nothing any more: it contradicts what a peer proved, or cannot be read (PROTOCOL.md §3). */
import type { Report } from "../ports.ts";
import { STOPPED_MAX_KEYS, STOPPED_SHOWN_MAX } from "../limits.ts";

export type StoppedName = { readonly key: string; readonly reason: string };

export class Stopped {
  readonly #report: Report;
  /** As far as this process has met them, with the newest instance that those who listen were told of instead. */
  readonly #names = new Map<string, { readonly reason: string; toldOf: number }>();

  /** @param report one line for the operator */
  constructor(report: Report) {
    this.#report = report;
  }

  /** Reported once for each name. */
  note(key: string, reason: string): void {
    if (this.#names.has(key) || this.#names.size >= STOPPED_MAX_KEYS) return;
    this.#names.set(key, { reason, toldOf: 0 });
    this.#report(`${JSON.stringify(key)} answers nothing here until a person has looked at its record: ${reason}`, {
      event: "key-stopped",
      level: "error",
      names: [key],
    });
  }

  /** Its record could be used, so whatever was wrong with it is no more. */
  forget(key: string): void {
    this.#names.delete(key);
  }

  has(key: string): boolean {
    return this.#names.has(key);
  }

  /** Whether those who listen to such a name have not been told of this instance; from now on they have. */
  isNews(key: string, instance: number): boolean {
    const name = this.#names.get(key);
    if (name === undefined || name.toldOf >= instance) return false;
    name.toldOf = instance;
    return true;
  }

  /** At most STOPPED_MAX_KEYS. */
  get count(): number {
    return this.#names.size;
  }

  /** The first STOPPED_SHOWN_MAX of them. */
  get shown(): readonly StoppedName[] {
    return [...this.#names].slice(0, STOPPED_SHOWN_MAX).map(([key, { reason }]) => ({ key, reason }));
  }
}
