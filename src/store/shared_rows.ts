/** What one update of a shared store reads, all in one request, and what its commit has to check of that. */
import { Buffer } from "node:buffer";
import { DamagedRecord, type Found, type Mark, type NodeId } from "../ports.ts";
import { ballotRow, firstSeenRow, IDENTITY_ROW, marksRow, stateRow } from "./key_space.ts";
import { Remembered } from "../remembered.ts";
import { decodeMarks, decodeWritten, type OnDisk } from "./rows.ts";

type Entry = Deno.KvEntryMaybe<unknown>;
/** The identity's, the ballot's, the state's, the leases', the marks'. */
export type Entries = readonly [Entry, Entry, Entry, Entry, Entry];

export type Rows = OnDisk & Found & {
  /** The write that left the record so. */
  readonly writeId: string | null;
  readonly heard: Readonly<Record<NodeId, Mark>>;
  readonly checks: readonly Deno.AtomicCheck[];
};

export function readRows(kv: Pick<Deno.Kv, "getMany">, key: string): Promise<Entries> {
  const names = [IDENTITY_ROW, ballotRow(key), stateRow(key), firstSeenRow(key), marksRow(key)] as const;
  return kv.getMany<[unknown, unknown, unknown, unknown, unknown]>(names);
}

type Written = Pick<Rows, "record" | "damage" | "writeId">;
type Read = { readonly values: readonly unknown[]; readonly written: Written };
type Heard = { readonly value: unknown; readonly marks: Rows["heard"] };

/** Keys whose rows are remembered as they were read last. */
const REMEMBERED_KEYS = 64;

/** What rows say, read once as long as their bytes are the same: nothing is taken for true that is not in the database now. */
export class RowReader {
  readonly #read = new Remembered<Read>(REMEMBERED_KEYS);
  readonly #heard = new Remembered<Heard>(REMEMBERED_KEYS);

  /** Throws StoreError if one of them is damaged that is not the record's. */
  of(key: string, [identity, ballot, state, firstSeen, marks]: Entries): Rows {
    // One check for all rows of the record: whoever writes another of them writes this one too.
    const checks = [identity, ballot, marks].map(({ key, versionstamp }) => ({ key, versionstamp }));
    return {
      ...this.#recordOf(key, [ballot.value, state.value, firstSeen.value]),
      version: ballot.versionstamp,
      hasState: state.value !== null,
      hasFirstSeen: firstSeen.value !== null,
      heard: this.#marksOf(key, marks.value),
      checks,
    };
  }

  #recordOf(key: string, values: readonly [ballot: unknown, state: unknown, firstSeen: unknown]): Written {
    const known = this.#read.get(key);
    if (known?.values.every((value, i) => isSameRow(value, values[i])) === true) return known.written;
    const written = recordOf(key, ...values);
    this.#read.set(key, { values, written });
    return written;
  }

  #marksOf(key: string, value: unknown): Rows["heard"] {
    const known = this.#heard.get(key);
    if (known !== undefined && isSameRow(known.value, value)) return known.marks;
    const marks = decodeMarks(value);
    this.#heard.set(key, { value, marks });
    return marks;
  }
}

/** Whether both hold the same bytes, or there is neither. */
export function isSameRow(a: unknown, b: unknown): boolean {
  return a instanceof Uint8Array && b instanceof Uint8Array ? Buffer.compare(a, b) === 0 : a === b;
}

function recordOf(key: string, ballot: unknown, state: unknown, firstSeen: unknown): Written {
  try {
    return { ...decodeWritten(key, ballot, state, firstSeen), damage: null };
  } catch (error) {
    if (error instanceof DamagedRecord) return { record: null, damage: error.message, writeId: null };
    throw error;
  }
}
