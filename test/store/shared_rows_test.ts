/** What is read of the rows of a shared store: each time what they hold, though the same bytes are read only once. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { StoreError } from "../../src/ports.ts";
import { ballotRow, firstSeenRow, IDENTITY_ROW, marksRow, stateRow } from "../../src/store/key_space.ts";
import { encodeMarks, encodeRecord } from "../../src/store/rows.ts";
import { type Entries, RowReader } from "../../src/store/shared_rows.ts";
import { makeRecord } from "./ballot_store_contract.ts";

type Values = {
  readonly ballot?: unknown;
  readonly state?: unknown;
  readonly seen?: unknown;
  readonly marks?: unknown;
};

let versions = 0;

function entries({ ballot = null, state = null, seen = null, marks = null }: Values): Entries {
  const entry = (key: Deno.KvKey, value: unknown) =>
    value === null
      ? { key, value, versionstamp: null }
      : { key, value: value instanceof Uint8Array ? value.slice() : value, versionstamp: `${++versions}` };
  return [
    entry(IDENTITY_ROW, null),
    entry(ballotRow("k"), ballot),
    entry(stateRow("k"), state),
    entry(firstSeenRow("k"), seen),
    entry(marksRow("k"), marks),
  ];
}

const mark = (seq: number) => ({ incarnation: "i", boot: 1, run: "r", seq });

Deno.test("shared rows: the same bytes are read once, and whichever row becomes another is read anew", () => {
  const reader = new RowReader();
  const rowsOf = (padding: string, seenMs: number) => {
    const record = { ...makeRecord(1, padding.repeat(8_000)), firstSeen: { lease: seenMs } };
    return { record, rows: encodeRecord("k", record, null) };
  };
  const [{ record, rows }, { record: other, rows: others }] = [rowsOf("x", 1), rowsOf("y", 2)];
  const whole = { ballot: rows.ballot, state: rows.state, seen: rows.firstSeen, marks: encodeMarks({ b: mark(1) }) };
  const first = reader.of("k", entries(whole));
  const again = reader.of("k", entries(whole));
  assertEquals([again.record, first.record?.state], [first.record, record.state]);
  assert(again.record === first.record && again.heard === first.heard, "the same bytes, read once");
  assert(again.version !== first.version, "its version is that of the row that is there now");

  assertEquals(reader.of("k", entries({ ...whole, state: others.state })).record?.state, other.state);
  assertEquals(reader.of("k", entries({ ...whole, seen: others.firstSeen })).record?.firstSeen, { lease: 2 });
  assertEquals(reader.of("k", entries({ ...whole, seen: null })).record?.firstSeen, undefined);
  assertEquals(reader.of("k", entries({ ...whole, marks: encodeMarks({ b: mark(2) }) })).heard, { b: mark(2) });
  assertEquals(reader.of("k", entries({})).record, null);
  const torn = rows.ballot.slice(0, -1);
  assert(reader.of("k", entries({ ...whole, ballot: torn })).damage !== null, "damaged");
  assertEquals(reader.of("k", entries(whole)).damage, null);
  assertThrows(() => reader.of("k", entries({ ...whole, marks: torn })), StoreError);
});
