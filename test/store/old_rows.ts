/** Rows of a record as 0.1.0 wrote them: two, JSON without a number or a checksum. */
import type { StoredRecord } from "../../src/ports.ts";

/** @param more besides the record's own, in its ballot row */
export function oldRowsOf(record: StoredRecord, more: Readonly<Record<string, unknown>> = {}) {
  const { epoch, state, stateHash, decidedBy, firstSeen: _seen, live: _live, ...ballot } = record;
  const { instance } = record;
  return {
    ballot: bytesOf({ ...ballot, ...more }),
    state: bytesOf({ epoch, instance, state, stateHash, decidedBy }),
  };
}

export function bytesOf(row: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(row));
}
