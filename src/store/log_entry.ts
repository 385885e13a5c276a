/**
 * What one commit changed of one record, as the log of an owner store has it (PROTOCOL.md §3): its ballot part whole, and of its
 * state only the values that moved it on, which make the same state again. `[key, ballot, moves, stateHash, sum]`, a
 * move `[certificate, value]` or `[certificate]` where the value is the one that the record before had voted for.
 */
import { Buffer } from "node:buffer";
import { assert } from "../assert.ts";
import { ROW_MAX_BYTES } from "../limits.ts";
import type { Certificate, Value } from "../paxos/message.ts";
import { type Apply, DamagedRecord, type Move, type StoredRecord } from "../ports.ts";
import { checksum } from "./checksum.ts";

type LoggedMove = readonly [Certificate] | readonly [Certificate, Value];
export type LogEntry = readonly [
  key: string,
  ballot: Readonly<Record<string, unknown>>,
  moves: readonly LoggedMove[],
  stateHash: string,
  /** Checksum of the rest, as JSON; one of before format 4 has none. */
  sum?: string,
];

/**
 * JSON of the entry that turns `base`, as it is on disk, into `record`; null: it has to be written whole.
 *
 * @param moves what moved the record on since, one for each instance; null if something else did
 */
export function encodeEntry(
  key: string,
  base: StoredRecord | null,
  record: StoredRecord,
  moves: readonly Move[] | null,
): string | null {
  if (base === null || moves === null || record.epoch !== base.epoch || record.firstSeen !== undefined) return null;
  if (record.instance - base.instance !== moves.length || decidedBy(base, moves) !== record.decidedBy) return null;
  if (moves.length === 0 && record.stateHash !== base.stateHash) return null;
  const { epoch: _, state: _state, stateHash, decidedBy: _by, ...ballot } = record;
  const voted = base.vote?.value.id;
  const logged = moves.map(({ certificate, value }, i) =>
    // Only what the record on disk voted for is there to be read again.
    i === 0 && value.id === voted ? [certificate] : [certificate, value]
  );
  const text = JSON.stringify([key, ballot, logged, stateHash]);
  const json = `${text.slice(0, -1)},"${checksum(text)}"]`;
  return Buffer.byteLength(json) > ROW_MAX_BYTES ? null : json;
}

function decidedBy(base: StoredRecord, moves: readonly Move[]): Certificate | null {
  return moves.at(-1)?.certificate ?? base.decidedBy;
}

/** Throws DamagedRecord if the entry does not follow on the record. Whether the state is what its hash says, its reader checks. */
export function replay(base: StoredRecord, entry: LogEntry, apply: Apply): StoredRecord {
  const [key, ballot, moves, stateHash, sum] = entry;
  if (sum !== undefined && sum !== checksum(JSON.stringify(entry.slice(0, -1)))) {
    throw new DamagedRecord(`the record of ${JSON.stringify(key)} is damaged: its log is not as it was written`);
  }
  let { state, instance, decidedBy } = base;
  moves.forEach(([certificate, given], i) => {
    const value = given ?? (i === 0 ? base.vote?.value : undefined);
    if (value?.id !== certificate.valueId || certificate.instance !== instance) {
      throw new DamagedRecord(`the record of ${JSON.stringify(key)} is damaged: its log does not follow on its rows`);
    }
    state = apply(state, instance, value);
    decidedBy = certificate;
    instance++;
  });
  const { epoch } = base;
  const record = { ...ballot, epoch, state, stateHash, decidedBy } as unknown as StoredRecord;
  if (record.instance !== instance) {
    throw new DamagedRecord(`the record of ${JSON.stringify(key)} is damaged: its log skips an instance`);
  }
  return record;
}

/** Rows of at most ROW_MAX_BYTES of these entries, each of which fits one. */
export function rowsOf(entries: readonly string[], format: number): readonly Uint8Array[] {
  const head = `{"format":${format},"entries":[`;
  const rows: Uint8Array[] = [];
  let some: string[] = [];
  let bytes = 0;
  const close = () => {
    if (some.length > 0) rows.push(new TextEncoder().encode(`${head}${some.join(",")}]}`));
    some = [];
    bytes = 0;
  };
  for (const entry of entries) {
    const more = Buffer.byteLength(entry) + 1;
    assert(more <= ROW_MAX_BYTES + 1, "an entry fits a row");
    if (bytes + more > ROW_MAX_BYTES) close();
    some.push(entry);
    bytes += more;
  }
  close();
  return rows;
}
