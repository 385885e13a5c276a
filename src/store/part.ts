/** What the queued steps of one key come to: its share of the next atomic of an owner store. */
import type { AcceptorRecord } from "../paxos/message.ts";
import { StoreError } from "../ports.ts";
import { ballotRow, keyWeightBytes, stateRow } from "./key_space.ts";
import type { Entry } from "./record_cache.ts";
import { encodeRecord, type RecordRows } from "./rows.ts";
import type { Part, Run, Waiter } from "./updates.ts";

const REFUSALS_MAX = 5;

/**
 * Runs the queued steps one after another, the first on the committed record, each on what the one before
 * left. Steps that saw only what is committed and changed nothing are answered and leave the queue, as do
 * those that failed. What stays waits for the commit of the returned part; null if nothing is to be written.
 */
export function play(entry: Entry<Waiter>): Part | null {
  let record = entry.record;
  let rows: RecordRows | null = null;
  entry.queue = entry.queue.filter((waiter) => {
    try {
      waiter.run = runStep(entry, waiter, record);
    } catch (error) {
      waiter.reject(error);
      return false;
    }
    if (waiter.run.rows !== null) {
      rows = waiter.run.rows;
      record = waiter.run.result.record;
    } else if (rows === null) {
      waiter.resolve(waiter.run.result.reply);
      return false;
    }
    return true;
  });
  return rows === null || record === null ? null : makePart(entry, record, rows);
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

function runStep(entry: Entry<Waiter>, waiter: Waiter, saw: AcceptorRecord | null): Run {
  const last = waiter.run;
  if (last !== null && last.base === entry.record && last.saw === saw) return last;
  const result = waiter.step(saw);
  const rows = result.record === null ? null : encodeRecord(entry.key, result.record, entry.record);
  return { base: entry.record, saw, result, rows };
}

function makePart(entry: Entry<Waiter>, record: AcceptorRecord, rows: RecordRows): Part {
  const ballot = ballotRow(entry.key);
  const sets: [Deno.KvKey, Uint8Array][] = [[ballot, rows.ballot]];
  if (rows.state !== null) sets.push([stateRow(entry.key), rows.state]);
  const keyBytes = keyWeightBytes(entry.key);
  return {
    entry,
    record,
    // One check for all rows: whoever writes another of them writes this one too.
    write: {
      check: { key: ballot, versionstamp: entry.version },
      sets,
      live: rows.live === null ? null : { key: entry.key, is: rows.live },
    },
    bytes: rows.ballot.length + (rows.state?.length ?? 0) + keyBytes,
    keyBytes,
  };
}
