/** The messages of KV Connect's data path, numbered as in its schema (`datapath.proto`). */
import { type Field, fields, MalformedMessage, Writer } from "./protobuf.ts";

export type ReadRange = {
  /** Inclusive. */
  readonly start: Uint8Array;
  /** Exclusive, in both directions. */
  readonly end: Uint8Array;
  readonly limit: number;
  readonly reverse: boolean;
};

/** `encoding`: 1 V8's serialization, 2 a little-endian 64-bit integer, 3 plain bytes. */
export type Value = { readonly data: Uint8Array; readonly encoding: number };

export type Row = Value & {
  readonly key: Uint8Array;
  /** 10 bytes, growing with every commit. */
  readonly versionstamp: Uint8Array;
};

export type Check = {
  readonly key: Uint8Array;
  /** Empty: the key has no value. */
  readonly versionstamp: Uint8Array;
};

export type Mutation = {
  readonly key: Uint8Array;
  readonly type: number;
  readonly value: Value | null;
  /** Milliseconds since 1970; 0 or −1: never. */
  readonly expireAtMs: bigint;
};

export type AtomicWrite = {
  readonly checks: readonly Check[];
  readonly mutations: readonly Mutation[];
  readonly enqueues: number;
};

export const SET = 1;
export const DELETE = 2;

export const READ_SUCCESS = 1;
export const READ_DISABLED = 2;
export const WRITE_SUCCESS = 1;
export const WRITE_CHECK_FAILURE = 2;
export const WRITE_DISABLED = 5;

const NOTHING = new Uint8Array();

export function decodeSnapshotRead(message: Uint8Array): ReadRange[] {
  const ranges: ReadRange[] = [];
  for (const field of fields(message)) if (field.number === 1) ranges.push(decodeRange(bytesOf(field)));
  return ranges;
}

function decodeRange(message: Uint8Array): ReadRange {
  const range = { start: NOTHING as Uint8Array, end: NOTHING as Uint8Array, limit: 0, reverse: false };
  for (const field of fields(message)) {
    if (field.number === 1) range.start = bytesOf(field);
    else if (field.number === 2) range.end = bytesOf(field);
    else if (field.number === 3) range.limit = Number(BigInt.asIntN(32, varintOf(field)));
    else if (field.number === 4) range.reverse = varintOf(field) !== 0n;
  }
  return range;
}

export function decodeAtomicWrite(message: Uint8Array): AtomicWrite {
  const checks: Check[] = [];
  const mutations: Mutation[] = [];
  let enqueues = 0;
  for (const field of fields(message)) {
    if (field.number === 1) checks.push(decodeCheck(bytesOf(field)));
    else if (field.number === 2) mutations.push(decodeMutation(bytesOf(field)));
    else if (field.number === 3) enqueues++;
  }
  return { checks, mutations, enqueues };
}

function decodeCheck(message: Uint8Array): Check {
  const check = { key: NOTHING as Uint8Array, versionstamp: NOTHING as Uint8Array };
  for (const field of fields(message)) {
    if (field.number === 1) check.key = bytesOf(field);
    else if (field.number === 2) check.versionstamp = bytesOf(field);
  }
  return check;
}

function decodeMutation(message: Uint8Array): Mutation {
  const mutation = { key: NOTHING as Uint8Array, type: 0, value: null as Value | null, expireAtMs: 0n };
  for (const field of fields(message)) {
    if (field.number === 1) mutation.key = bytesOf(field);
    else if (field.number === 2) mutation.value = decodeValue(bytesOf(field));
    else if (field.number === 3) mutation.type = Number(varintOf(field));
    else if (field.number === 4) mutation.expireAtMs = BigInt.asIntN(64, varintOf(field));
  }
  return mutation;
}

function decodeValue(message: Uint8Array): Value {
  const value = { data: NOTHING as Uint8Array, encoding: 0 };
  for (const field of fields(message)) {
    if (field.number === 1) value.data = bytesOf(field);
    else if (field.number === 2) value.encoding = Number(varintOf(field));
  }
  return value;
}

export function encodeReadOutput(status: number, ranges: readonly (readonly Row[])[]): Uint8Array<ArrayBuffer> {
  const output = new Writer();
  for (const rows of ranges) {
    const range = new Writer();
    for (const row of rows) range.bytes(1, encodeEntry(row));
    output.bytes(1, range.done());
  }
  // 2 is what clients before version 3 look at; 4 says that the read was strongly consistent.
  return output.varint(2, status === READ_DISABLED ? 1 : 0).varint(4, 1).varint(8, status).done();
}

function encodeEntry(row: Row): Uint8Array {
  return new Writer().bytes(1, row.key).bytes(2, row.data).varint(3, row.encoding).bytes(4, row.versionstamp).done();
}

export function encodeWriteOutput(
  status: number,
  versionstamp: Uint8Array,
  failedChecks: readonly number[],
): Uint8Array<ArrayBuffer> {
  const output = new Writer().varint(1, status).bytes(2, versionstamp);
  // Packed, as this version of the format sends lists of numbers.
  if (failedChecks.length > 0) output.bytes(4, Uint8Array.from(failedChecks));
  return output.done();
}

function bytesOf(field: Field): Uint8Array {
  if (field.bytes === undefined) throw new MalformedMessage(`field ${field.number} is no bytes`);
  return field.bytes;
}

function varintOf(field: Field): bigint {
  if (field.varint === undefined) throw new MalformedMessage(`field ${field.number} is no number`);
  return field.varint;
}
