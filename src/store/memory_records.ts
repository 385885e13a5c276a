/** A disk in memory: what is there of a record, and what is shown of an atomic that writes some. */
import { assert } from "../assert.ts";
import type { Found, KeptEpochs, StoredRecord } from "../ports.ts";
import type { IdentityRow, MetaRow } from "./rows.ts";

/**
 * The two moments of an atomic in which a process may die with a difference: what was made ready is not on disk yet; it is,
 * and nobody has heard of it. `steps` are all that it makes of its records, in order and as they are read again, those too
 * that later steps of the same atomic overwrite: each of them is answered for. Empty where only the store's own row is written.
 */
export type AtomicWatch = (moment: "ready" | "committed", steps: readonly AtomicStep[]) => void;
export type AtomicStep = readonly [key: string, record: StoredRecord];

export type DiskMeta = MetaRow & { readonly identity: IdentityRow | null; readonly epochs?: KeptEpochs };

/** What a disk held at one moment. Never changes. */
export type MemoryImage = { readonly records: ReadonlyMap<string, string>; readonly meta: string | null };

/** Outlives the stores opened on it, one at a time. Everything is JSON text, so nothing is shared with a caller. */
export class MemoryDisk {
  records: Map<string, string> = new Map();
  /** The store that is open on it. */
  owner: { crash(): void } | null = null;
  #meta: string | DiskMeta | null = null;

  get meta(): string | null {
    // Written with every commit, and hardly ever read.
    return this.#meta = typeof this.#meta === "object" && this.#meta !== null ? JSON.stringify(this.#meta) : this.#meta;
  }

  /** @param row nobody may change it any more */
  set meta(row: string | DiskMeta | null) {
    this.#meta = row;
  }

  snapshot(): MemoryImage {
    return { records: new Map(this.records), meta: this.meta };
  }

  /** Rolls back, or clones another disk. Only between a close or crash and the next open. */
  restore(image: MemoryImage): void {
    assert(this.owner === null, "no store is open on this disk");
    this.records = new Map(image.records);
    this.meta = image.meta;
  }
}

type Read = { readonly text: string; readonly found: Found };

/**
 * Records as they are read from their text. A text is read once, however often it is asked for, as long as it is its key's last:
 * who would change what it was given, in place, fails.
 */
export class ReadRecords {
  readonly #last = new Map<string, Read>();

  of(key: string, text: string | undefined): Found {
    if (text === undefined) return NOTHING;
    const last = this.#last.get(key);
    if (last?.text === text) return last.found;
    const found = recordIn(key, text);
    this.#last.set(key, { text, found });
    return found;
  }
}

const NOTHING: Found = { record: null, damage: null, version: null };

/** What is no JSON is damaged. */
function recordIn(key: string, text: string): Found {
  try {
    return { record: frozen(JSON.parse(text)) as StoredRecord, damage: null, version: null };
  } catch {
    return { record: null, damage: `the record of ${JSON.stringify(key)} is damaged`, version: null };
  }
}

/** To its depth. What is frozen already is so too. */
function frozen(item: unknown): unknown {
  if (typeof item !== "object" || item === null || Object.isFrozen(item)) return item;
  for (const part of Object.values(item)) frozen(part);
  return Object.freeze(item);
}
