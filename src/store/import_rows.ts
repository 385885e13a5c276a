/**
 * The votes of imports in rows of their own, where a record's ballot row has no room for them: beside a vote of the epoch before
 * there may be a state and a value for each. The ballot row says that they are there; any other such row is left over.
 */
import { DamagedRecord, type StoredRecord } from "../ports.ts";
import { importRow } from "./key_space.ts";
import { decodeRow, encodeRow } from "./rows.ts";

type Importing = NonNullable<StoredRecord["importing"]>;
type Vote = Importing["vote"];

/** The base and the rest of either vote. */
const ROWS = 4;
/** What is lighter than this had room in its ballot row. */
const LIGHT_CHARS = 4 * 1024;

/** `said`: what stands in the ballot row instead. */
export function takenApart(
  key: string,
  { epoch, promised, vote, before }: Importing,
): { readonly said: object; readonly rows: readonly Uint8Array[] } {
  const parts = [...partsOf(vote), ...partsOf(before ?? null)];
  return {
    said: { epoch, promised, apart: before !== undefined },
    rows: parts.map((part) => encodeRow({ part }, `row of the import of ${JSON.stringify(key)}`)),
  };
}

function partsOf(vote: Vote): readonly unknown[] {
  if (vote === null) return [null, null];
  const { base, ...rest } = vote;
  return [base, rest];
}

export function isApart(record: StoredRecord | null): record is StoredRecord {
  return record?.importing !== undefined && "apart" in record.importing;
}

export function apartKeys(key: string): readonly Deno.KvKey[] {
  return Array.from({ length: ROWS }, (_, n) => importRow(key, n));
}

/** The record with what its rows say. Throws DamagedRecord if they do not. */
export function together(key: string, record: StoredRecord, rows: readonly unknown[]): StoredRecord {
  const what = `row of the import of ${JSON.stringify(key)}`;
  const { epoch, promised, apart } = record.importing as unknown as Importing & { readonly apart: boolean };
  let parts: readonly unknown[];
  try {
    parts = rows.map((row) => decodeRow(row, what)["part"]);
  } catch (error) {
    throw new DamagedRecord((error as Error).message);
  }
  const voteOf = (base: unknown, rest: unknown): Vote => base === null ? null : { ...rest as object, base } as Vote;
  const before = apart ? { before: voteOf(parts[2], parts[3])! } : {};
  return { ...record, importing: { epoch, promised, vote: voteOf(parts[0], parts[1]), ...before } };
}

/** Whether there may be rows of it that the next record of the key does not need. */
export function mayBeApart(record: StoredRecord | null): boolean {
  return record?.importing !== undefined && JSON.stringify(record.importing).length > LIGHT_CHARS;
}
