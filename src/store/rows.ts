/** What the rows hold: UTF-8 JSON, which costs KV less than objects do. */
import { type Mark, type StoredRecord, StoreError } from "../replica/ports.ts";
import { ROW_MAX_BYTES } from "../limits.ts";

export type RecordRows = {
  readonly ballot: Uint8Array;
  /** Null if the row on disk holds this state already. */
  readonly state: Uint8Array | null;
  /** Of a shared store, when leases were first seen; null if the row on disk says so already. */
  readonly firstSeen: Uint8Array | null;
};

/** Written once, by init. */
export type IdentityRow = {
  readonly cluster: string;
  readonly id: string;
  readonly incarnation: string;
  readonly config: string;
  /** Of a shared store, which has no meta row: why it never votes again. */
  readonly quarantined?: string;
};

/** Written in every atomic. */
export type MetaRow = {
  readonly format: 1;
  readonly seq: number;
  /** The last `seq` of a process that had been confirmed: peers may have heard of commits up to it, and of none after. */
  readonly spoken: number;
  readonly boot: number;
  readonly run: string;
  readonly marks: Readonly<Record<string, Mark>>;
  readonly quarantined: string | null;
};

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * The rows that turn `base`, as it is on disk, into `record`. Throws StoreError if one is too large.
 *
 * @param writeId where many write: by it a writer knows its own write again
 */
export function encodeRecord(
  key: string,
  record: StoredRecord,
  base: StoredRecord | null,
  writeId?: string,
): RecordRows {
  // A part added to the record later lands in the ballot row, the one that every write writes.
  const { epoch, state, stateHash, decidedBy, firstSeen, ...ballot } = record;
  return {
    ballot: encodeRow(writeId === undefined ? ballot : { ...ballot, writeId }, `ballot row of ${JSON.stringify(key)}`),
    state: base !== null && sameState(record, base) ? null : encodeRow(
      { epoch, instance: record.instance, state, stateHash, decidedBy },
      `state row of ${JSON.stringify(key)}`,
    ),
    // A row of its own: with a full queue it is heavy, and a vote needs the room.
    firstSeen: firstSeen === undefined || JSON.stringify(firstSeen) === JSON.stringify(base?.firstSeen)
      ? null
      : encodeRow(firstSeen, `row of leases of ${JSON.stringify(key)}`),
  };
}

function sameState(a: StoredRecord, b: StoredRecord): boolean {
  return a.instance === b.instance && a.epoch === b.epoch && a.stateHash === b.stateHash &&
    (a.decidedBy === b.decidedBy || JSON.stringify(a.decidedBy) === JSON.stringify(b.decidedBy));
}

/** Throws StoreError if the rows are damaged: a record that cannot be read is not "no record". */
export function decodeRecord(
  key: string,
  ballot: unknown,
  state: unknown,
  firstSeen: unknown = null,
): StoredRecord | null {
  if (ballot === null && state === null) return null;
  const first = decodeRow(ballot, `ballot row of ${JSON.stringify(key)}`);
  const second = decodeRow(state, `state row of ${JSON.stringify(key)}`);
  // Both are written in one atomic whenever the instance changes, so two instances mean a torn or edited store.
  if (first.instance !== second.instance || !Array.isArray(first.promised) || typeof second.stateHash !== "string") {
    throw new StoreError(`the record of ${JSON.stringify(key)} is damaged: its two rows do not belong together`);
  }
  const { writeId: _, ...votes } = first;
  const seen = firstSeen === null ? {} : { firstSeen: decodeRow(firstSeen, `row of leases of ${JSON.stringify(key)}`) };
  return { ...votes, ...second, ...seen } as unknown as StoredRecord;
}

/** Who wrote a ballot row last; null: nobody has, or it says nothing of that. */
export function writeIdOf(ballot: unknown): string | null {
  if (ballot === null) return null;
  const { writeId } = decodeRow(ballot, "ballot row");
  return typeof writeId === "string" ? writeId : null;
}

/** UTF-8 JSON of at most ROW_MAX_BYTES; `what` is for the error. */
export function encodeRow(value: unknown, what: string): Uint8Array {
  const bytes = encoder.encode(JSON.stringify(value));
  if (bytes.length > ROW_MAX_BYTES) {
    throw new StoreError(`the ${what} would have ${bytes.length} bytes, more than ${ROW_MAX_BYTES}`);
  }
  return bytes;
}

export function decodeRow(value: unknown, what: string): Record<string, unknown> {
  if (value instanceof Uint8Array) {
    try {
      const parsed: unknown = JSON.parse(decoder.decode(value));
      if (typeof parsed === "object" && parsed !== null) return parsed as Record<string, unknown>;
    } catch { /* told below */ }
  }
  throw new StoreError(`the ${what} is ${value === null ? "missing" : "damaged"}`);
}

export function decodeIdentity(value: unknown): IdentityRow {
  const row = decodeRow(value, "identity row");
  const { cluster, id, incarnation, config, quarantined } = row;
  for (const part of [cluster, id, incarnation, config, quarantined ?? ""]) {
    if (typeof part !== "string") throw new StoreError("the identity row is damaged");
  }
  return { cluster, id, incarnation, config, ...(quarantined === undefined ? {} : { quarantined }) } as IdentityRow;
}

/** Marks by peer, as a row of a shared store has them; null: no row. */
export function decodeMarks(value: unknown): Readonly<Record<string, Mark>> {
  return value === null ? {} : decodeRow(value, "row of marks") as unknown as Readonly<Record<string, Mark>>;
}

export function decodeMeta(value: unknown): MetaRow {
  const row = decodeRow(value, "meta row");
  if (row.format !== 1) throw new StoreError(`this store has format ${row.format}; this version reads format 1`);
  if (
    !Number.isSafeInteger(row.seq) || !Number.isSafeInteger(row.spoken) || !Number.isSafeInteger(row.boot) ||
    typeof row.run !== "string"
  ) {
    throw new StoreError("the meta row is damaged");
  }
  return row as unknown as MetaRow;
}
