/** What one update of a shared store reads, all in one request, and what its commit has to check of that. */
import { DamagedRecord, type Found, type Mark, type NodeId } from "../ports.ts";
import { ballotRow, firstSeenRow, IDENTITY_ROW, marksRow, stateRow } from "./key_space.ts";
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

/** Throws StoreError if one of them is damaged that is not the record's. */
export function rowsOf(key: string, [identity, ballot, state, firstSeen, marks]: Entries): Rows {
  // One check for all rows of the record: whoever writes another of them writes this one too.
  const checks = [identity, ballot, marks].map(({ key, versionstamp }) => ({ key, versionstamp }));
  return {
    ...recordOf(key, ballot.value, state.value, firstSeen.value),
    version: ballot.versionstamp,
    hasState: state.value !== null,
    hasFirstSeen: firstSeen.value !== null,
    heard: decodeMarks(marks.value),
    checks,
  };
}

function recordOf(
  key: string,
  ballot: unknown,
  state: unknown,
  firstSeen: unknown,
): Pick<Rows, "record" | "damage" | "writeId"> {
  try {
    return { ...decodeWritten(key, ballot, state, firstSeen), damage: null };
  } catch (error) {
    if (error instanceof DamagedRecord) return { record: null, damage: error.message, writeId: null };
    throw error;
  }
}
