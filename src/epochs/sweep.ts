/**
 * Moves all names of the epoch before into this one, and then retires that (PROTOCOL.md §9). Every member could, and no harm
 * comes of several; the first of those that can be reached does it. Nothing of how far it came outlives it: what has moved is
 * found out again, many names in one question, so that whoever goes on after a death does not ask name by name.
 */
import { QuorateError } from "../errors.ts";
import {
  KEYS_PER_REPLY,
  SWEEP_EPOCH_ASKED,
  SWEEP_EPOCH_AT_ONCE,
  SWEEP_EPOCH_OTHERS_MS,
  SWEEP_EPOCH_RETRY_MS,
  TIMEOUT_DEFAULT_MS,
} from "../limits.ts";
import type { Clock } from "../ports.ts";
import type { Bringing } from "../replica/imports.ts";
import type { KeyRange, KeysPage } from "../replica/names.ts";
import { PREFIXES, type ReservedKeys } from "./reserved_keys.ts";

export type SweepParts = {
  readonly clock: Clock;
  readonly keys: Pick<ReservedKeys, "retired" | "retire">;
  /**
   * Keys of this prefix after `after`, in byte order, as n−f sealed members of the epoch before list them too, each after its
   * seal. Rejects with `no-quorum`.
   */
  readonly page: (range: Omit<KeyRange, "which">, timeoutMs: number) => Promise<KeysPage>;
  /** Null: this node is in another epoch by now. */
  readonly bringing: () => Bringing | null;
  /** The first instance of names without a record, in both epochs. */
  readonly first: number;
  /** Whether no member before this one can be reached. */
  readonly isMine: () => boolean;
  /** Told once, when it is decided that the epoch before is retired, by whomever. */
  readonly onRetired: (first: number) => void;
};

/** Null: not counted yet. */
export type Progress = { readonly moved: number; readonly total: number | null };

export class EpochSweep {
  readonly #parts: SweepParts;
  #cancel: () => void = () => {};
  #isClosed = false;
  #total: number | null = null;
  /** Names that are not known to have moved; null: not listed yet. What has moved stays so, as records stay. */
  #left: readonly string[] | null = null;
  #notMoved = 0;
  #sinceMs = 0;

  constructor(parts: SweepParts) {
    this.#parts = parts;
  }

  get progress(): Progress {
    return { moved: (this.#total ?? 0) - this.#notMoved, total: this.#total };
  }

  /** Until it is retired, or `close`. */
  start(): void {
    this.#sinceMs = this.#parts.clock.now();
    this.#later(SWEEP_EPOCH_RETRY_MS);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  #later(ms: number): void {
    if (!this.#isClosed) this.#cancel = this.#parts.clock.after(ms, () => void this.#round());
  }

  async #round(): Promise<void> {
    const { keys, onRetired } = this.#parts;
    try {
      const first = await keys.retired(TIMEOUT_DEFAULT_MS) ?? (this.#isDue() ? await this.#sweep() : null);
      if (this.#isClosed) return;
      if (first !== null) return onRetired(first);
    } catch (error) {
      // What cannot be done now is tried again: members may be away for a while.
      if (!(error instanceof QuorateError)) throw error;
    }
    this.#later(SWEEP_EPOCH_RETRY_MS);
  }

  /** Who can be reached may yet be unable to go on. */
  #isDue(): boolean {
    return this.#parts.isMine() || this.#parts.clock.now() - this.#sinceMs > SWEEP_EPOCH_OTHERS_MS;
  }

  /** Null: some name could not be moved yet. */
  async #sweep(): Promise<number | null> {
    const { keys, first } = this.#parts;
    if (this.#left === null) {
      const all = await this.#list();
      if (this.#isClosed) return null;
      this.#left = all;
      this.#total = all.length;
    }
    this.#notMoved = this.#left.length;
    const stuck = await this.#move(this.#left);
    if (this.#isClosed) return null;
    this.#left = stuck;
    if (stuck.length > 0) return null;
    return await keys.retire(first, TIMEOUT_DEFAULT_MS);
  }

  /** Those that could not be moved now. */
  async #move(names: readonly string[]): Promise<readonly string[]> {
    const stuck: string[] = [];
    let asked = 0;
    let page: string[] = [];
    let asking: Promise<void> | null = null;
    /** By then others may have moved some of them, or this node before it died. */
    const ask = async () => {
      const some = names.slice(asked, asked + SWEEP_EPOCH_ASKED);
      asked += some.length;
      const brought = await this.#parts.bringing()?.broughtOf(some) ?? new Set();
      page = some.filter((name) => !brought.has(name));
      this.#notMoved -= some.length - page.length;
    };
    const next = async () => {
      while (page.length === 0 && asked < names.length && !this.#isClosed) {
        await (asking ??= ask().finally(() => asking = null));
      }
      return this.#isClosed ? undefined : page.shift();
    };
    const work = async () => {
      for (let name = await next(); name !== undefined; name = await next()) {
        if (await this.#parts.bringing()?.bring(name) === true) this.#notMoved--;
        else stuck.push(name);
      }
    };
    await Promise.all(Array.from({ length: SWEEP_EPOCH_AT_ONCE }, work));
    return stuck;
  }

  /** All before any is moved: whoever lists is sealed, so none is added to them. */
  async #list(): Promise<readonly string[]> {
    const all: string[] = [];
    for (const prefix of PREFIXES) {
      for (let after = ""; !this.#isClosed;) {
        const range = { prefix, after, limit: KEYS_PER_REPLY };
        const { keys, more } = await this.#parts.page(range, TIMEOUT_DEFAULT_MS);
        all.push(...keys);
        const last = keys.at(-1);
        if (!more || last === undefined) break;
        after = last;
      }
    }
    return all;
  }
}
