/**
 * Where a record takes no vote in the standing fast ballot any more (PROTOCOL.md §2, R1): a value of its node's own may have left
 * there before the vote for it was durable, and that vote was lost with its process, or with its commit.
 */
import type { AcceptorRecord } from "./message.ts";

/** What of `barred` still counts at that instance. */
export function barredAt({ barred }: AcceptorRecord, instance: number): Pick<AcceptorRecord, "barred"> {
  return barred === undefined || barred < instance ? {} : { barred };
}

/**
 * The record as a process finds it on disk after one that may have sent a value before its own vote for it was durable, and died: at
 * its instance, or behind it where it had learned in memory what it has a vote for.
 */
export function barring(record: AcceptorRecord): AcceptorRecord {
  const last = record.vote === null ? record.instance : record.instance + 1;
  return { ...record, barred: Math.max(record.barred ?? 0, last) };
}
