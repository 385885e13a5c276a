/**
 * JSON in few bytes, for what a store keeps of very many names: words and fields that records have again and again are one byte or
 * none (packed_words.ts), digests and ids what they are of (packed_text.ts). What is read is what JSON.parse would make of
 * JSON.stringify, with every object's fields in their order. It knows nothing of records: what has another shape takes more room.
 */
import { assert } from "../assert.ts";
import { PackedReader, PackedWriter, utf8Bytes } from "./packed_bytes.ts";
import { TEXT_KINDS } from "./packed_text.ts";
import { type Field, SHAPES, WORDS } from "./packed_words.ts";

/** The first byte of a value: what it is, and where there is room also how large, or which. */
const SMALL = 0x00;
const LIST = 0x20;
const TEXT = 0x30;
const WORD = 0x40;
const SHAPE = 0x80;
const KIND = 0xa0;
const NULL = 0xb0;
const TRUE = 0xb1;
const FALSE = 0xb2;
const NUMBER = 0xb3;
const LONG_LIST = 0xb4;
const LONG_TEXT = 0xb5;
const FIELDS = 0xb6;
/** As JSON has it: numbers that are not whole or below 0, texts that are no Unicode. */
const AS_JSON = 0xb7;

assert(WORDS.length <= SHAPE - WORD && SHAPES.length <= KIND - SHAPE, "words and shapes fit their bytes");
assert(TEXT_KINDS.length <= NULL - KIND, "kinds of text fit their bytes");
assert(SHAPES.every((fields) => fields.length <= 24), "a mask of three bytes tells of all fields");

type Shape = { readonly at: number; readonly fields: readonly Field[]; readonly maskBytes: number };
const shapes: readonly Shape[] = SHAPES.map((fields, at) => ({
  at,
  fields,
  maskBytes: Math.ceil(fields.filter(({ rest }) => rest !== null).length / 8),
}));
/** By what their first field may be. */
const shapesByFirst = new Map<string, Shape[]>();
for (const shape of shapes) {
  for (const { name, rest } of shape.fields) {
    shapesByFirst.set(name, [...shapesByFirst.get(name) ?? [], shape]);
    if (rest === null || rest.value !== undefined) break;
  }
}

const wordAt = new Map(WORDS.map((word, at) => [word, at]));
const writer = new PackedWriter();

/** Null: it takes more than `maxBytes`. */
export function pack(value: unknown, maxBytes = Infinity): Uint8Array | null {
  writer.begin(maxBytes);
  put(writer, value);
  return writer.isFull ? null : writer.written();
}

/** The values that these bytes are of, one after another. Throws if they are of none. */
export function unpack(bytes: Uint8Array): readonly unknown[] {
  const from = new PackedReader(bytes);
  const values: unknown[] = [];
  while (!from.isAtEnd) values.push(get(from));
  return values;
}

function put(to: PackedWriter, value: unknown): void {
  if (to.isFull) return;
  switch (typeof value) {
    case "string":
      return putText(to, value);
    case "number":
      return putNumber(to, value);
    case "boolean":
      return to.byte(value ? TRUE : FALSE);
    default:
      if (value === null || value === undefined) to.byte(NULL);
      else if (Array.isArray(value)) putList(to, value);
      else putObject(to, value);
  }
}

function putList(to: PackedWriter, list: readonly unknown[]): void {
  putSize(to, list.length, LIST, TEXT, LONG_LIST);
  for (const item of list) {
    if (to.isFull) return;
    put(to, item);
  }
}

/** In the first byte, from `short` on below `end`; or behind `long`. */
function putSize(to: PackedWriter, size: number, short: number, end: number, long: number): void {
  if (short + size < end) return to.byte(short + size);
  to.byte(long);
  to.varint(size);
}

function putNumber(to: PackedWriter, value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) putSize(to, value, SMALL, LIST, NUMBER);
  else putJson(to, value);
}

function putText(to: PackedWriter, text: string): void {
  const word = wordAt.get(text);
  if (word !== undefined) return to.byte(WORD + word);
  for (const [at, { fits, numbers, write }] of TEXT_KINDS.entries()) {
    const match = fits.exec(text);
    const found = match === null ? null : numbers(match);
    if (found === null || !found.every(Number.isSafeInteger)) continue;
    to.byte(KIND + at);
    return write(to, match!, found);
  }
  // UTF-8 would make another text of a lone surrogate.
  if (!text.isWellFormed()) return putJson(to, text);
  const bytes = utf8Bytes(text);
  putSize(to, bytes, TEXT, WORD, LONG_TEXT);
  to.utf8(text, bytes);
}

function putJson(to: PackedWriter, value: unknown): void {
  const json = JSON.stringify(value);
  const bytes = utf8Bytes(json);
  to.byte(AS_JSON);
  to.varint(bytes);
  to.utf8(json, bytes);
}

function putObject(to: PackedWriter, given: object): void {
  const object = given as Readonly<Record<string, unknown>>;
  const names = Object.keys(object).filter((name) => object[name] !== undefined);
  const shape = shapesByFirst.get(names[0] ?? "")?.find((shape) => fits(names, shape));
  if (shape !== undefined) return putShape(to, shape, object);
  to.byte(FIELDS);
  to.varint(names.length);
  for (const name of names) {
    putText(to, name);
    put(to, object[name]);
  }
}

/** Whether an object with these fields in this order has the shape. */
function fits(names: readonly string[], { fields }: Shape): boolean {
  let next = 0;
  for (const { name, rest } of fields) {
    if (names[next] === name) next++;
    else if (rest === null || rest.value !== undefined) return false;
  }
  return next === names.length;
}

function putShape(to: PackedWriter, { at, fields, maskBytes }: Shape, object: Readonly<Record<string, unknown>>): void {
  let mask = 0;
  let bit = 1;
  for (const { name, rest } of fields) {
    if (rest === null) continue;
    if (!isSame(object[name], rest.value)) mask += bit;
    bit *= 2;
  }
  to.byte(SHAPE + at);
  for (let i = 0; i < maskBytes; i++) to.byte((mask >> (8 * i)) & 0xff);
  for (const { name, rest } of fields) {
    const isSaid = rest === null || mask % 2 === 1;
    if (rest !== null) mask >>= 1;
    if (isSaid) put(to, object[name]);
  }
}

/** @param rest a plain value, or a list of such */
function isSame(value: unknown, rest: unknown): boolean {
  if (!Array.isArray(value) || !Array.isArray(rest)) return value === rest;
  return value.length === rest.length && value.every((item, i) => item === rest[i]);
}

function get(from: PackedReader): unknown {
  const first = from.byte();
  if (first < LIST) return first - SMALL;
  if (first < TEXT) return getList(from, first - LIST);
  if (first < WORD) return from.utf8(first - TEXT);
  if (first < SHAPE) return known(WORDS[first - WORD]);
  if (first < KIND) return getShape(from, known(shapes[first - SHAPE]));
  if (first < NULL) return known(TEXT_KINDS[first - KIND]).read(from);
  switch (first) {
    case NULL:
      return null;
    case TRUE:
      return true;
    case FALSE:
      return false;
    case NUMBER:
      return from.varint();
    case LONG_LIST:
      return getList(from, from.varint());
    case LONG_TEXT:
      return from.utf8(from.varint());
    case AS_JSON:
      return JSON.parse(from.utf8(from.varint()));
    case FIELDS:
      return getFields(from, from.varint());
    default:
      return known(undefined);
  }
}

function known<T>(found: T | undefined): T {
  if (found === undefined) throw new RangeError("of no known kind");
  return found;
}

/** Not made at once: a length that has rotted may be any. */
function getList(from: PackedReader, length: number): unknown[] {
  const list: unknown[] = [];
  for (let i = 0; i < length; i++) list.push(get(from));
  return list;
}

function getFields(from: PackedReader, count: number): object {
  const entries: [string, unknown][] = [];
  for (let i = 0; i < count; i++) entries.push([String(get(from)), get(from)]);
  return Object.fromEntries(entries);
}

function getShape(from: PackedReader, { fields, maskBytes }: Shape): object {
  let mask = 0;
  for (let i = 0; i < maskBytes; i++) mask += from.byte() << (8 * i);
  const object: Record<string, unknown> = {};
  for (const { name, rest } of fields) {
    const isSaid = rest === null || mask % 2 === 1;
    if (rest !== null) mask >>= 1;
    if (isSaid) object[name] = get(from);
    else if (rest!.value !== undefined) object[name] = Array.isArray(rest!.value) ? [...rest!.value] : rest!.value;
  }
  return object;
}
