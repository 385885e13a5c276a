/**
 * What the rows hold: UTF-8 JSON, which costs KV less than objects do; from format 5 on a record with a small state is one packed
 * row (packed_row.ts). Every row says in which format it was written, and from format 4 on ends with a checksum of the rest; in a
 * row of the log each entry has one of its own. Nothing is converted when it is read: a row of an older format stays as it is
 * until it is written again.
 */
import type { Ballot } from "../paxos/ballot.ts";
import { DamagedRecord, type Mark, type StoredRecord, StoreError } from "../ports.ts";
import { INLINE_STATE_MAX_BYTES, ROW_MAX_BYTES } from "../limits.ts";
import { ROW_FORMAT, SEALED_FORMAT } from "../version.ts";
import { checksum } from "./checksum.ts";
import { takenApart } from "./import_rows.ts";
import type { LogEntry } from "./log_entry.ts";
import { pack } from "./packed.ts";
import { isPackedRow, packedRow, unpackRow } from "./packed_row.ts";

/** A row as it is to be: null: as it is on disk; `none`: there is to be none. */
export type RowChange = Uint8Array | "none" | null;

export type RecordRows = {
  readonly ballot: Uint8Array;
  /** `none`: the state is in the ballot row. */
  readonly state: RowChange;
  /** Shared stores only: when leases were first seen. */
  readonly firstSeen: RowChange;
  /** Whether the index of live records is to have it; null if it says so already. */
  readonly live: boolean | null;
  /** Votes of an import that the ballot row has no room for. */
  readonly apart?: readonly Uint8Array[];
};

/** Written by init; again when its incarnation is confirmed, and of a shared store when it is quarantined. */
export type IdentityRow = {
  readonly cluster: string;
  readonly id: string;
  readonly incarnation: string;
  readonly config: string;
  /** Whether enough others have this incarnation on record for it to vote (PROTOCOL.md §9); a row of before says nothing. */
  readonly confirmed?: boolean;
  /** Shared stores only, which have no meta row: why the store never votes again. */
  readonly quarantined?: string;
};

/** Written in every atomic. */
export type MetaRow = {
  readonly seq: number;
  /** The last `seq` of a process that had been confirmed: peers may have heard of commits up to it, and of none after. */
  readonly spoken: number;
  readonly boot: number;
  readonly run: string;
  readonly marks: Readonly<Record<string, Mark>>;
  readonly quarantined: string | null;
  /** There is a row of epochs. A version that does not know of it must not open the store: it would vote in a sealed epoch. */
  readonly sealed?: true;
  /** The process that wrote it was closed, and had lost nothing that it had begun to write. */
  readonly ended?: true;
};

/** A record as it was read, and which rows there are of it besides the ballot's. */
export type OnDisk = {
  readonly record: StoredRecord | null;
  readonly hasState: boolean;
  readonly hasFirstSeen: boolean;
};

type Fields = Readonly<Record<string, unknown>>;

/** From this format on rows bear checksums. */
const SUMS_FORMAT = 4;
/** What the number and the checksum weigh in a row. */
const SUM_BYTES = endOf("").length;
const FRAME_BYTES = `"format":${ROW_FORMAT},`.length + SUM_BYTES - "}".length;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * The rows that turn what is on disk into `record`. Throws StoreError if one is too large.
 *
 * @param disk null: it is not known which rows there are
 * @param written by whom: where many write, `writeId`, by which a writer knows its own write again; where one does, `at`, the
 *   number of the commit, by which it is known what of the log is older
 */
export function encodeRecord(
  key: string,
  record: StoredRecord,
  disk: OnDisk | null,
  written: { readonly writeId: string } | { readonly at: number } | Record<never, never> = {},
): RecordRows {
  // A part added to the record later lands in the ballot row, the one that every write writes.
  const { epoch, state, stateHash, decidedBy, firstSeen: _seen, ...ballot } = record;
  const { instance } = record;
  const base = disk?.record ?? null;
  // A chained state bears its hash itself.
  const hash = stateHash === chainOf(state) ? {} : { stateHash };
  const { importing } = ballot;
  const what = `ballot row of ${JSON.stringify(key)}`;
  const fitting = (encode: (votes: object) => Uint8Array): Pick<RecordRows, "ballot" | "apart"> => {
    const votes = { ...ballot, ...written };
    try {
      return { ballot: encode(votes) };
    } catch (error) {
      if (!(error instanceof StoreError) || importing === undefined) throw error;
      const { said, rows } = takenApart(key, importing);
      return { ballot: encode({ ...votes, importing: said }), apart: rows };
    }
  };
  const rest = { firstSeen: firstSeenRow(key, record, disk), live: liveChange(record, base) };
  const small = pack({ epoch, state, ...hash, decidedBy }, INLINE_STATE_MAX_BYTES);
  if (small !== null) {
    const votes = fitting((votes) => packedRow([pack(votes)!, small], what));
    return { ...votes, state: disk?.hasState === false ? null : "none", ...rest };
  }
  const isThere = disk?.hasState === true && base !== null && sameState(record, base);
  return {
    ...fitting((votes) => encodeRow(without(BALLOT_DEFAULTS, votes as Fields), what)),
    state: isThere ? null : encodeRow(
      without(STATE_DEFAULTS, { epoch, instance, state, ...hash, decidedBy }),
      `state row of ${JSON.stringify(key)}`,
    ),
    ...rest,
  };
}

/**
 * Throws StoreError if a row of the record would be too large.
 *
 * @param text the record as JSON: no row of it has more letters, and no letter more than three bytes
 */
export function assertFits(key: string, record: StoredRecord, text: string): void {
  if (text.length * 4 > ROW_MAX_BYTES) encodeRecord(key, record, null);
}

/** A row of its own: with a full queue it is heavy, and a vote needs the room. No lease is called `format`. */
function firstSeenRow(key: string, { firstSeen }: StoredRecord, disk: OnDisk | null): RowChange {
  if (firstSeen === undefined) return null;
  if (Object.keys(firstSeen).length === 0) return disk?.hasFirstSeen === false ? null : "none";
  return JSON.stringify(firstSeen) === JSON.stringify(disk?.record?.firstSeen)
    ? null
    : encodeRow(firstSeen, `row of leases of ${JSON.stringify(key)}`);
}

/** From format 4 on what nearly every row would say is left out: that it has promised and voted nothing, in the first epoch. */
const BALLOT_DEFAULTS: Fields = { promised: [0, "", 0] satisfies Ballot, vote: null };
const STATE_DEFAULTS: Fields = { epoch: 0 };

function without(defaults: Fields, fields: Fields): Fields {
  const isSaid = ([name, value]: readonly [string, unknown]) =>
    !Object.hasOwn(defaults, name) || JSON.stringify(value) !== JSON.stringify(defaults[name]);
  return Object.fromEntries(Object.entries(fields).filter(isSaid));
}

function chainOf(state: unknown): unknown {
  return (state as { readonly chain?: unknown } | undefined)?.chain;
}

/** A row that does not say is of before the index: it may have a row there or not. */
export function liveChange({ live = true }: StoredRecord, base: StoredRecord | null): boolean | null {
  const was = base === null ? false : base.live;
  return live === was ? null : live;
}

function sameState(a: StoredRecord, b: StoredRecord): boolean {
  return a.instance === b.instance && a.epoch === b.epoch && a.stateHash === b.stateHash &&
    (a.decidedBy === b.decidedBy || JSON.stringify(a.decidedBy) === JSON.stringify(b.decidedBy));
}

/**
 * Throws DamagedRecord if the rows are damaged: a record that cannot be read is not "no record". Whether its state is the one
 * that its hash is of, the acceptor's host checks, who knows the machine.
 */
export function decodeRecord(
  key: string,
  ballot: unknown,
  state: unknown,
  firstSeen: unknown = null,
): StoredRecord | null {
  return decodeWritten(key, ballot, state, firstSeen).record;
}

/** As `decodeRecord`, and who wrote the ballot row last; null: nobody has, or it says nothing of that. */
export function decodeWritten(
  key: string,
  ballot: unknown,
  state: unknown,
  firstSeen: unknown,
): { readonly record: StoredRecord | null; readonly writeId: string | null } {
  try {
    return ballot === null && state === null
      ? { record: null, writeId: null }
      : recordOf(key, ballot, state, firstSeen);
  } catch (error) {
    throw error instanceof StoreError ? new DamagedRecord(error.message) : error;
  }
}

function recordOf(
  key: string,
  ballot: unknown,
  state: unknown,
  firstSeen: unknown,
): { readonly record: StoredRecord; readonly writeId: string | null } {
  const [first, inline] = decodeBallot(ballot, `ballot row of ${JSON.stringify(key)}`);
  // Where the state is in the ballot row, a row that an older state left behind says nothing.
  const second = inline ?? decodeRow(state, `state row of ${JSON.stringify(key)}`, STATE_DEFAULTS);
  const stateHash = second.stateHash ?? chainOf(second.state);
  // Both are written in one atomic whenever the instance changes, so two instances mean a torn or edited store.
  if (first.instance !== second.instance || !Array.isArray(first.promised) || typeof stateHash !== "string") {
    throw new StoreError(`the record of ${JSON.stringify(key)} is damaged: its two rows do not belong together`);
  }
  const { writeId, at: _at, ...votes } = first;
  const seen = firstSeen === null ? {} : { firstSeen: decodeRow(firstSeen, `row of leases of ${JSON.stringify(key)}`) };
  const record = { ...votes, ...second, stateHash, ...seen } as unknown as StoredRecord;
  return { record, writeId: typeof writeId === "string" ? writeId : null };
}

/** The ballot part, and the state part where it is in the same row. */
function decodeBallot(row: unknown, what: string): readonly [Fields, Fields | null] {
  if (!isPackedRow(row)) return [decodeRow(row, what, BALLOT_DEFAULTS), null];
  const { format, parts } = unpackRow(row, what);
  checkFormat(format, what);
  const [ballot, state] = parts.filter((part) => typeof part === "object" && part !== null) as Fields[];
  if (ballot === undefined || state === undefined) throw new StoreError(`the ${what} is damaged`);
  return [ballot, { instance: ballot.instance, ...state }];
}

/** Whether a ballot row says if its record is live, and so is right in the index. One that cannot be read does not say. */
export function isIndexed(ballot: unknown): boolean {
  try {
    return typeof decodeBallot(ballot, "ballot row")[0]["live"] === "boolean";
  } catch {
    return false;
  }
}

/** The commit that wrote a ballot row; 0: nobody has, or it is of before there was a log. */
export function writtenAt(ballot: unknown): number {
  if (ballot === null) return 0;
  const [{ at }] = decodeBallot(ballot, "ballot row");
  return Number.isSafeInteger(at) ? at as number : 0;
}

/** Throws StoreError if it is damaged: of which records it tells, nobody could say. */
export function decodeLog(value: unknown): readonly LogEntry[] {
  const { format = 1, entries } = parseRow(value, "log of this store");
  checkFormat(format, "log of this store");
  if (!Array.isArray(entries)) throw new StoreError("the log of this store is damaged");
  for (const entry of entries) {
    const [key, ballot, moves, stateHash, sum] = Array.isArray(entry) ? entry : [];
    const isWhole = typeof key === "string" && typeof ballot === "object" && Array.isArray(moves) &&
      typeof stateHash === "string" && (format as number < SUMS_FORMAT || typeof sum === "string");
    if (!isWhole) throw new StoreError("the log of this store is damaged");
  }
  return entries as readonly LogEntry[];
}

/** UTF-8 JSON of at most ROW_MAX_BYTES beside its format and checksum; `what` is for the error. */
export function encodeRow(value: object, what: string, format = ROW_FORMAT): Uint8Array {
  const text = JSON.stringify({ format, ...value }).slice(0, -1);
  const bytes = encoder.encode(text + endOf(text));
  // These do not count: a record that filled its row when rows had none must fit still.
  const size = bytes.length - FRAME_BYTES;
  if (size > ROW_MAX_BYTES) throw new StoreError(`the ${what} would have ${size} bytes, more than ${ROW_MAX_BYTES}`);
  return bytes;
}

/** How a row ends that begins with this text. */
function endOf(text: string | Uint8Array): string {
  return `,"sum":"${checksum(text)}"}`;
}

/**
 * The fields of a row of any format that this version knows, without the number and the checksum.
 *
 * @param defaults what is left out from format 4 on
 */
export function decodeRow(value: unknown, what: string, defaults: Fields = {}, newest = ROW_FORMAT): Fields {
  return checkRow(parseRow(value, what), value, what, defaults, newest);
}

/** @param parsed what `value` says */
function checkRow(parsed: Fields, value: unknown, what: string, defaults: Fields = {}, newest = ROW_FORMAT): Fields {
  const { format = 1, sum, ...fields } = parsed;
  checkFormat(format, what, newest);
  // Also where the number says otherwise: it may be what has rotted.
  if ((format as number) >= SUMS_FORMAT || sum !== undefined) checkSum(value as Uint8Array, what);
  return (format as number) >= SUMS_FORMAT ? { ...defaults, ...fields } : fields;
}

function checkSum(row: Uint8Array, what: string): void {
  const end = String.fromCharCode(...row.subarray(-SUM_BYTES));
  if (end !== endOf(row.subarray(0, -SUM_BYTES))) {
    throw new StoreError(`the ${what} is damaged: it is not as it was written`);
  }
}

function parseRow(value: unknown, what: string): Fields {
  if (value instanceof Uint8Array) {
    try {
      const parsed: unknown = JSON.parse(decoder.decode(value));
      if (typeof parsed === "object" && parsed !== null) return parsed as Fields;
    } catch { /* told below */ }
  }
  throw new StoreError(`the ${what} is ${value === null ? "missing" : "damaged"}`);
}

function checkFormat(format: unknown, what: string, newest = ROW_FORMAT): void {
  if (typeof format !== "number" || !Number.isSafeInteger(format) || format < 1) {
    throw new StoreError(`the ${what} is damaged: its format is no number`);
  }
  // Whatever this version made of it might be less than what it says.
  if (format > newest) {
    throw new StoreError(
      `the ${what} was written by a newer version, in format ${format}; this version reads formats up to ${newest}`,
    );
  }
}

export function encodeIdentity(row: IdentityRow): Uint8Array {
  return encodeRow(row, "identity row");
}

/** @param store its name, for the error that refuses a start */
export function decodeIdentity(value: unknown, store: string): IdentityRow {
  const what = `identity row of ${store}`;
  const { cluster, id, incarnation, config, confirmed, quarantined } = decodeRow(value, what);
  for (const part of [cluster, id, incarnation, config, quarantined ?? ""]) {
    if (typeof part !== "string") throw new StoreError(`the ${what} is damaged`);
  }
  if (!["boolean", "undefined"].includes(typeof confirmed)) throw new StoreError(`the ${what} is damaged`);
  const said = {
    ...(confirmed === undefined ? {} : { confirmed }),
    ...(quarantined === undefined ? {} : { quarantined }),
  };
  return { cluster, id, incarnation, config, ...said } as IdentityRow;
}

export function encodeMeta(row: MetaRow): Uint8Array {
  return encodeRow(row, "meta row", row.sealed === true ? SEALED_FORMAT : ROW_FORMAT);
}

/** @param store as decodeIdentity has it */
export function decodeMeta(value: unknown, store: string): MetaRow {
  const what = `meta row of ${store}`;
  const row = decodeRow(value, what, {}, SEALED_FORMAT);
  const { seq, spoken, boot, run } = row;
  if (![seq, spoken, boot].every(Number.isSafeInteger) || typeof run !== "string") {
    throw new StoreError(`the ${what} is damaged`);
  }
  return row as unknown as MetaRow;
}

/** Marks by peer, as a row of a shared store has them. */
export function encodeMarks(marks: Readonly<Record<string, Mark>>): Uint8Array {
  return encodeRow({ marks }, "row of marks");
}

/** Null: no row. */
export function decodeMarks(value: unknown): Readonly<Record<string, Mark>> {
  if (value === null) return {};
  const row = parseRow(value, "row of marks");
  // The rows of 0.1.0 are the map itself, and a member may be called `format` or `sum`.
  const isOld = typeof row["format"] !== "number" && typeof row["sum"] !== "string";
  const marks = isOld ? row : checkRow(row, value, "row of marks")["marks"];
  if (typeof marks !== "object" || marks === null) throw new StoreError("the row of marks is damaged");
  return marks as Readonly<Record<string, Mark>>;
}
