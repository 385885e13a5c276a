/**
 * The index of live records in a store that was written before there was one. Whoever writes a record puts it right in the
 * index too, in the same atomic; what is left are records that nobody has written since, and those are entered here, once.
 * An entry too many costs a look and is right after it; one too few would hide a name.
 */
import type { Which } from "../ports.ts";
import { INDEXED_ROW, listKeys, liveRow, NOTHING, RECORDS } from "./key_space.ts";
import { isIndexed } from "./rows.ts";

type IndexedKv = Pick<Deno.Kv, "getMany" | "atomic" | "list">;

/** Records looked at together; an atomic has room for the longest keys of so many. */
const PAGE = 50;

export class LiveIndex {
  readonly #kv: IndexedKv;
  readonly #within: <T>(task: Promise<T>) => Promise<T>;
  #isComplete = false;
  #isClosed = false;
  #building: Promise<void> | null = null;

  /** @param within gives each call of the database its time */
  constructor(kv: IndexedKv, within: <T>(task: Promise<T>) => Promise<T>) {
    this.#kv = kv;
    this.#within = within;
  }

  /** As a store has it. Until every live record is in the index, all records are what may be live. */
  async keys(prefix: string, after: string, limit: number, which: Which): Promise<readonly string[]> {
    const isComplete = which === "live" && await this.#hasAll();
    return await this.#within(listKeys(this.#kv, prefix, after, limit, isComplete ? "live" : "all"));
  }

  /** Whether it has every live record; where it has not, that is begun, and goes on behind. */
  async #hasAll(): Promise<boolean> {
    if (this.#isComplete) return true;
    if (await this.isNoted()) return this.#isComplete = true;
    // If the database fails now, the next call begins it again.
    this.#building ??= this.#complete().catch(() => {}).finally(() => this.#building = null);
    return false;
  }

  /** Whether that is noted on disk. */
  async isNoted(): Promise<boolean> {
    const [{ value }] = await this.#within(this.#kv.getMany<[unknown]>([INDEXED_ROW]));
    return value !== null;
  }

  /** Resolves when it has every live record, or after `close`. */
  async build(): Promise<void> {
    for (let start: Deno.KvKey | null = RECORDS; start !== null && !this.#isClosed;) start = await this.#page(start);
  }

  /** What is under way ends at its next page. */
  close(): void {
    this.#isClosed = true;
  }

  async #complete(): Promise<void> {
    await this.build();
    if (this.#isClosed) return;
    await this.#within(this.#kv.atomic().set(INDEXED_ROW, NOTHING).commit());
    this.#isComplete = true;
  }

  /** Where the next page begins, or null. */
  async #page(start: Deno.KvKey): Promise<Deno.KvKey | null> {
    const found: Deno.KvEntry<unknown>[] = [];
    const list = async () => {
      const selector = start === RECORDS ? { prefix: RECORDS } : { prefix: RECORDS, start };
      for await (const entry of this.#kv.list(selector, { limit: PAGE + 1 })) found.push(entry);
    };
    await this.#within(list());
    const next = found[PAGE]?.key ?? null;
    const missing = found.slice(0, PAGE).filter(({ value }) => !isIndexed(value));
    if (missing.length > 0 && !await this.#enter(missing)) {
      // Somebody has written one of them meanwhile, and has put that one right.
      for (const entry of missing) await this.#enter([entry]);
    }
    return next;
  }

  /** False if one of the records is not as it was read. */
  async #enter(entries: readonly Deno.KvEntry<unknown>[]): Promise<boolean> {
    const atomic = this.#kv.atomic();
    for (const { key, versionstamp } of entries) {
      atomic.check({ key, versionstamp }).set(liveRow(key[1] as string), NOTHING);
    }
    return (await this.#within(atomic.commit())).ok;
  }
}

/** Part of the atomic that writes the record. */
export function enter(atomic: ReturnType<IndexedKv["atomic"]>, key: string, live: boolean): void {
  if (live) atomic.set(liveRow(key), NOTHING);
  else atomic.delete(liveRow(key));
}
