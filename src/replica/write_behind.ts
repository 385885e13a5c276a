/**
 * Records that this process has moved on in memory, on the word of a Learn, and not written yet (PROTOCOL.md §5). What is
 * next written of such a record carries the move; what is not used again is written after LEARN_SAVE_MS.
 */
import { LEARN_SAVE_MS, UNSAVED_MAX_KEYS } from "../limits.ts";
import type { SentReply } from "../members/message.ts";
import type { BallotStore, Clock, Move, StepResult, StoredRecord } from "../ports.ts";

/** `mayWait`: nothing that leaves because of it needs the record to be written first. */
export type HeldStep<R> = (record: StoredRecord | null) => StepResult<R> & { readonly mayWait?: boolean };

/** A move that is held back. */
type Held = {
  /** What is stored, and what the move makes of it. */
  readonly base: StoredRecord;
  readonly record: StoredRecord;
  readonly move: Move;
  readonly number: number;
  readonly sinceMs: number;
  /** The update that made it has failed: nobody is told what rests on it. */
  isLost: boolean;
};

export type WriteBehindParts = {
  readonly clock: Clock;
  /** The same move again, of a record that was read anew; null: it does not follow on it any more. */
  readonly again: (key: string, stored: StoredRecord, move: Move) => StoredRecord | null;
  /** Writes the record as it is in memory. */
  readonly write: (key: string) => Promise<unknown>;
};

export class WriteBehind {
  readonly #parts: WriteBehindParts;
  /** In the order of their numbers. */
  readonly #held = new Map<string, Held>();
  #last = 0;
  #isSaving = false;
  #cancel: (() => void) | null = null;
  #isClosed = false;

  constructor(parts: WriteBehindParts) {
    this.#parts = parts;
  }

  isHeld(key: string): boolean {
    return this.#held.has(key);
  }

  /** Moves are numbered as they come: that of the newest, and up to which all are written. */
  get numbers(): { readonly last: number; readonly saved: number } {
    const first = this.#held.values().next().value;
    return { last: this.#last, saved: first === undefined ? this.#last : first.number - 1 };
  }

  /** A Learn is answered before what it made is durable; then the answer says so (PROTOCOL.md §5). */
  told(key: string, reply: SentReply, store: Pick<BallotStore, "identity">): SentReply {
    if (reply.type !== "learned" || !this.isHeld(key)) return reply;
    return { ...reply, unsaved: { run: store.identity()!.run, ...this.numbers } };
  }

  begin<R>(key: string, step: HeldStep<R>): HeldUpdate<R> {
    return new HeldUpdate(this, key, step);
  }

  /** Writes what is held, and holds nothing more. Resolves when that is durable, or known to fail. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    await Promise.all([...this.#held.keys()].map((key) => this.#parts.write(key).catch(() => {})));
  }

  /** For its updates, as the rest is: the move that is held of the key, and the record with it; null of one that is past it. */
  on(key: string, stored: StoredRecord | null): { readonly held: Held; readonly record: StoredRecord | null } | null {
    const held = this.#held.get(key);
    if (held === undefined) return null;
    if (stored === held.base) return { held, record: held.record };
    const isBefore = stored !== null && stored.instance === held.base.instance;
    return { held, record: isBefore ? this.#parts.again(key, stored, held.move) : null };
  }

  /** Null: as many are held as may be. */
  hold(key: string, base: StoredRecord, record: StoredRecord, move: Move): Held | null {
    if (this.#isClosed || this.#held.size >= UNSAVED_MAX_KEYS) return null;
    const held = { base, record, move, number: ++this.#last, sinceMs: this.#parts.clock.now(), isLost: false };
    this.#held.set(key, held);
    this.#arm();
    return held;
  }

  drop(key: string, held: Held): void {
    if (this.#held.get(key) === held) this.#held.delete(key);
  }

  #arm(): void {
    if (this.#isClosed || this.#isSaving || this.#cancel !== null || this.#held.size === 0) return;
    const { clock } = this.#parts;
    const { sinceMs } = this.#held.values().next().value!;
    // Where its write has just failed, the next try waits as long as the first.
    const dueMs = sinceMs + LEARN_SAVE_MS - clock.now();
    this.#cancel = clock.after(dueMs > 0 ? dueMs : LEARN_SAVE_MS, () => this.#save());
  }

  async #save(): Promise<void> {
    this.#cancel = null;
    this.#isSaving = true;
    const { clock, write } = this.#parts;
    const untilMs = clock.now() - LEARN_SAVE_MS;
    const due = [...this.#held].filter(({ 1: { sinceMs } }) => sinceMs <= untilMs);
    // Its health tells of a store that fails; they are tried again.
    await Promise.all(due.map(([key]) => write(key).catch(() => {})));
    this.#isSaving = false;
    this.#arm();
  }
}

/** One update of a stored record, whose step sees the record as it is in memory. */
export class HeldUpdate<R> {
  readonly #behind: WriteBehind;
  readonly #key: string;
  readonly #step: HeldStep<R>;
  /** The move that the step's last run held back, and the one that what it writes carries. */
  #made: Held | null = null;
  #carried: Held | null = null;
  /** The move that the step's last run saw, where it wrote nothing. */
  #seen: Held | null = null;

  constructor(behind: WriteBehind, key: string, step: HeldStep<R>) {
    this.#behind = behind;
    this.#key = key;
    this.#step = step;
  }

  run(stored: StoredRecord | null): StepResult<R> {
    this.failed();
    const before = this.#behind.on(this.#key, stored);
    const moved = before?.record ?? null;
    const { mayWait, ...next } = this.#step(moved ?? stored);
    // Past the move already: then it was written.
    this.#carried = before !== null && (moved === null || next.record !== null) ? before.held : null;
    const { record, reply, move } = next;
    this.#seen = record === null && moved !== null ? before!.held : null;
    if (record === null) return next;
    if (mayWait === true && before === null && stored !== null && move !== undefined) {
      this.#made = this.#behind.hold(this.#key, stored, record, move);
      if (this.#made !== null) return { record: null, reply };
    }
    // What is more than one move on from what is stored is written whole.
    if (moved === null) return next;
    return { record, reply, ...(record.instance === moved.instance ? { move: before!.held.move } : {}) };
  }

  /** What the last run saw and wrote is durable, or held. False: the move that it saw was never made. */
  done(): boolean {
    if (this.#seen?.isLost === true) return false;
    if (this.#carried !== null) this.#behind.drop(this.#key, this.#carried);
    return true;
  }

  /** Nothing of the last run is known to have happened. */
  failed(): void {
    if (this.#made !== null) {
      this.#made.isLost = true;
      this.#behind.drop(this.#key, this.#made);
    }
    this.#made = null;
  }
}
