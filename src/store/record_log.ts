/**
 * The log of an owner store: which rows of it are on disk, and what they say of each record that has changed since it was last
 * written whole. It is read once, when the store is opened, and is bounded: from LOG_SHORTEN_BYTES on, records are written
 * whole again, the longest in it first, and rows that all records have behind them are deleted.
 */
import { LOG_SHORTEN_BYTES, LOG_SHORTEN_ROWS } from "../limits.ts";
import { type Apply, DamagedRecord, type StoredRecord } from "../ports.ts";
import { LOG, logRow } from "./key_space.ts";
import { type LogEntry, replay, rowsOf } from "./log_entry.ts";
import { decodeLog } from "./rows.ts";
import { ROW_FORMAT } from "../version.ts";

/** Rows of the log read, or deleted, together. */
const PAGE = 200;

/** What a commit does to the log. */
export type LogWrite = {
  readonly sets: readonly (readonly [key: Deno.KvKey, value: Uint8Array])[];
  readonly deletes: readonly Deno.KvKey[];
  /** To be called once it is durable. */
  readonly done: () => void;
};

type Row = { readonly key: Deno.KvKey; readonly seq: number; readonly bytes: number };
/** `entry` as it was read, or as JSON, as it was written. */
type Item = { readonly seq: number; readonly entry: LogEntry | string };
type Logged = { readonly since: number; readonly items: Item[] };
/** JSON of what one record changed, for the next commit. */
export type NewEntry = { readonly key: string; readonly json: string };

export class RecordLog {
  readonly #kv: Pick<Deno.Kv, "list">;
  readonly #shortenBytes: number;
  readonly #apply: Apply;
  /** On disk, the oldest first. */
  #rows: Row[] = [];
  #bytes = 0;
  /** By key; the one that has been in it for longest comes first. */
  readonly #logged = new Map<string, Logged>();

  private constructor(kv: Pick<Deno.Kv, "list">, apply: Apply, shortenBytes: number) {
    this.#kv = kv;
    this.#apply = apply;
    this.#shortenBytes = shortenBytes;
  }

  /** Rejects with StoreError if a row of it is damaged: of which records, nobody could say. */
  static async open(
    kv: Pick<Deno.Kv, "list">,
    apply: Apply,
    shortenBytes = LOG_SHORTEN_BYTES,
  ): Promise<RecordLog> {
    const log = new RecordLog(kv, apply, shortenBytes);
    await log.readOn();
    return log;
  }

  /** Reads what is on disk behind what is known: a commit of unknown outcome may have added to it. */
  async readOn(): Promise<void> {
    const known = this.#rows.at(-1);
    const selector = known === undefined ? { prefix: LOG } : { prefix: LOG, start: known.key };
    for await (const { key, value } of this.#kv.list<unknown>(selector, { batchSize: PAGE })) {
      const [, seq, n] = key as [string, number, number];
      if (known !== undefined && known.seq === seq && known.key[2] === n) continue;
      const entries = decodeLog(value);
      this.#added({ key, seq, bytes: (value as Uint8Array).length });
      for (const entry of entries) this.#note(entry[0], { seq, entry });
    }
  }

  /** It holds as much as it may: what changes is to be written whole. */
  get isFull(): boolean {
    return this.#bytes > 2 * this.#shortenBytes || this.#rows.length > 2 * LOG_SHORTEN_ROWS;
  }

  has(key: string): boolean {
    return this.#logged.has(key);
  }

  /** Those that have changed since they were last written whole. */
  keys(): Iterable<string> {
    return this.#logged.keys();
  }

  /** Keys to be written whole, at most so many; none while it is short. */
  oldest(most: number): readonly string[] {
    if (this.#bytes <= this.#shortenBytes && this.#rows.length <= LOG_SHORTEN_ROWS) return [];
    return [...this.#logged.keys().take(most)];
  }

  /** The record as the log leaves it. Throws DamagedRecord. @param at the commit that wrote `base`, as its row says */
  newest(key: string, base: StoredRecord | null, at: number): StoredRecord | null {
    const later = this.#logged.get(key)?.items.filter(({ seq }) => seq > at) ?? [];
    if (base === null && later.length > 0) {
      throw new DamagedRecord(`the record of ${JSON.stringify(key)} is damaged: its log has no rows to follow on`);
    }
    return later.reduce<StoredRecord | null>((record, { entry }) => {
      return replay(record!, typeof entry === "string" ? JSON.parse(entry) : entry, this.#apply);
    }, base);
  }

  /** @param entries of this commit @param whole keys that it writes whole */
  write(seq: number, entries: readonly NewEntry[], whole: readonly string[]): LogWrite {
    const sets = rowsOf(entries.map(({ json }) => json), ROW_FORMAT).map((row, n) => [logRow(seq, n), row] as const);
    const dropped = this.#rows.slice(0, Math.min(PAGE, this.#behind()));
    return {
      sets,
      deletes: dropped.map(({ key }) => key),
      done: () => {
        this.#rows.splice(0, dropped.length);
        for (const { bytes } of dropped) this.#bytes -= bytes;
        for (const key of whole) this.#logged.delete(key);
        for (const [key, value] of sets) this.#added({ key, seq, bytes: value.length });
        for (const { key, json } of entries) this.#note(key, { seq, entry: json });
      },
    };
  }

  /** How many of the oldest rows say nothing any more of any record. */
  #behind(): number {
    const first = this.#logged.values().next().value;
    if (first === undefined) return this.#rows.length;
    let count = 0;
    while (count < this.#rows.length && this.#rows[count]!.seq < first.since) count++;
    return count;
  }

  #added(row: Row): void {
    this.#rows.push(row);
    this.#bytes += row.bytes;
  }

  #note(key: string, item: Item): void {
    const logged = this.#logged.get(key) ?? { since: item.seq, items: [] };
    logged.items.push(item);
    this.#logged.set(key, logged);
  }
}
