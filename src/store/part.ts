/** What the queued steps of one key come to: its share of the next atomic of an owner store. */
import { Buffer } from "node:buffer";
import type { AcceptorRecord } from "../paxos/message.ts";
import { DamagedRecord, type Move, type StoredRecord, StoreError } from "../ports.ts";
import { ballotRow, keyWeightBytes, stateRow } from "./key_space.ts";
import { encodeEntry } from "./log_entry.ts";
import type { Entry } from "./record_cache.ts";
import { apartKeys, mayBeApart } from "./import_rows.ts";
import { encodeRecord, liveChange, type RecordRows } from "./rows.ts";
import type { Part, Run, Waiter } from "./updates.ts";

const REFUSALS_MAX = 5;

/**
 * Runs the queued steps one after another, the first on the committed record, each on what the one before
 * left. Steps that saw only what is committed and changed nothing are answered and leave the queue, as do
 * those that failed. What stays waits for the commit of the returned part; null if nothing is to be written.
 */
export function play(entry: Entry<Waiter>): Part | null {
  let last: Run | null = null;
  let isWhole = false;
  entry.queue = entry.queue.filter((waiter) => {
    let run: Run;
    try {
      run = waiter.run = runStep(entry, waiter, last);
    } catch (error) {
      waiter.reject(error);
      return false;
    }
    if (run.result.record !== null) {
      last = run;
      isWhole ||= waiter.isWhole;
    } else if (last === null) {
      waiter.resolve(run.result.reply);
      return false;
    }
    return true;
  });
  return last === null ? null : makePart(entry, last, isWhole);
}

/** Those of a refused atomic that are tried once more. A check failed, so nothing was written: their steps run again. */
export function again(waiters: readonly Waiter[], path: string): Waiter[] {
  return waiters.filter((waiter) => {
    waiter.run = null;
    waiter.refusals++;
    if (waiter.refusals < REFUSALS_MAX) return true;
    waiter.reject(new StoreError(`${path}: another writer changed the record ${REFUSALS_MAX} times`));
    return false;
  });
}

/** @param before the last run that wrote something; null: the committed record is as it was */
function runStep(entry: Entry<Waiter>, waiter: Waiter, before: Run | null): Run {
  const { key, record: base, damage } = entry;
  if (damage !== null && before === null && !waiter.mends) throw new DamagedRecord(damage);
  const saw = before === null ? base : before.result.record;
  const last = waiter.run;
  if (last !== null && last.base === base && last.saw === saw) return last;
  const result = waiter.step(saw);
  const { record } = result;
  if (record === null) return { base, saw, result, moves: null, json: null };
  const moves = movesTo(record, saw, before === null ? [] : before.moves, result.move);
  const json = encodeEntry(key, base, record, moves);
  // One that fits no row fails here, and takes nobody else's with it.
  if (json === null) encodeRecord(key, record, null);
  return { base, saw, result, moves, json };
}

/** What moves the record as it is on disk on to this one; null if that is not known. */
function movesTo(
  record: AcceptorRecord,
  saw: StoredRecord | null,
  before: readonly Move[] | null,
  move: Move | undefined,
): readonly Move[] | null {
  if (saw === null || before === null) return null;
  if (record.instance === saw.instance) return record.stateHash === saw.stateHash ? before : null;
  return move === undefined ? null : [...before, move];
}

function makePart(entry: Entry<Waiter>, { result, json }: Run, isWhole: boolean): Part {
  const record = result.record!;
  // What the index has of a damaged one is not known.
  const live = entry.damage === null ? liveChange(record, entry.record) : record.live ?? true;
  const keyBytes = keyWeightBytes(entry.key);
  return {
    entry,
    record,
    json: isWhole ? null : json,
    live: live === null ? null : { key: entry.key, is: live },
    rows: null,
    bytes: (json === null ? 0 : Buffer.byteLength(json)) + keyBytes,
    keyBytes,
  };
}

/**
 * The part as it writes its record whole, in commit `at`; null where they cannot be written: then all that wait for it
 * are told, and nobody else is kept from the commit.
 */
export function written(part: Part, at: number): Part | null {
  const { entry, record, keyBytes } = part;
  let rows: RecordRows;
  try {
    rows = encodeRecord(entry.key, record, null, { at });
  } catch (error) {
    for (const waiter of entry.queue) waiter.reject(error);
    entry.queue = [];
    return null;
  }
  const state = rows.state === "none" ? null : rows.state;
  const { apart } = rows;
  const gone = apart === undefined && mayBeApart(entry.record) ? [null, null, null, null] : [];
  const keys = apartKeys(entry.key);
  const imports = (apart ?? gone).map((row, n) => [keys[n]!, row] as const);
  const changes = [[ballotRow(entry.key), rows.ballot], [stateRow(entry.key), state], ...imports] as const;
  const bytes = changes.reduce((sum, [, row]) => sum + (row?.length ?? 0), 0);
  const weight = keyBytes * (imports.length > 0 ? 2 : 1);
  return { ...part, json: null, rows: changes, bytes: bytes + weight, keyBytes: weight };
}
