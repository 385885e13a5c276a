/** What one update of a shared store reads, all in one request, and what its commit has to check of that. */
import type { Mark, NodeId } from "../ports.ts";
import { ballotRow, firstSeenRow, IDENTITY_ROW, marksRow, stateRow } from "./key_space.ts";
import { decodeMarks, decodeRecord, type OnDisk, writeIdOf } from "./rows.ts";

type Entry = Deno.KvEntryMaybe<unknown>;
/** The identity's, the ballot's, the state's, the leases', the marks'. */
export type Entries = readonly [Entry, Entry, Entry, Entry, Entry];

export type Rows = OnDisk & {
  /** The write that left the record so. */
  readonly writeId: string | null;
  readonly heard: Readonly<Record<NodeId, Mark>>;
  readonly checks: readonly Deno.AtomicCheck[];
};

export function readRows(kv: Pick<Deno.Kv, "getMany">, key: string): Promise<Entries> {
  const names = [IDENTITY_ROW, ballotRow(key), stateRow(key), firstSeenRow(key), marksRow(key)] as const;
  return kv.getMany<[unknown, unknown, unknown, unknown, unknown]>(names);
}

/** Throws StoreError if one of them is damaged. */
export function rowsOf(key: string, [identity, ballot, state, firstSeen, marks]: Entries): Rows {
  // One check for all rows of the record: whoever writes another of them writes this one too.
  const checks = [identity, ballot, marks].map(({ key, versionstamp }) => ({ key, versionstamp }));
  return {
    record: decodeRecord(key, ballot.value, state.value, firstSeen.value),
    hasState: state.value !== null,
    hasFirstSeen: firstSeen.value !== null,
    writeId: writeIdOf(ballot.value),
    heard: decodeMarks(marks.value),
    checks,
  };
}
