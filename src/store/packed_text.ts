/**
 * Texts that nearly every record has, in as few bytes as what they say: numbers, digests, random ids, and what is made of them.
 * Each kind takes only what it gives back as it was, letter by letter; every other text is UTF-8.
 */
import type { PackedReader, PackedWriter } from "./packed_bytes.ts";

export type TextKind = {
  readonly fits: RegExp;
  /** What has to be safe integers for it. */
  readonly numbers: (match: readonly string[]) => readonly number[];
  readonly write: (to: PackedWriter, match: readonly string[], numbers: readonly number[]) => void;
  readonly read: (from: PackedReader) => string;
};

const RANDOM_BYTES = 12;
const ENTRY_BYTES = 12;
const TAG_BYTES = 3;
/** How an entry of the window ends. */
const NO_TAG = 0;
const REPEATABLE = 1;
const TAGGED = 2;
const ENDS = 3;

/** From 0 on, without a zero before it. */
const decimal: TextKind = {
  fits: /^(0|[1-9][0-9]{0,15})$/,
  numbers: ([, digits]) => [Number(digits)],
  write: (to, _, [number = 0]) => to.varint(number),
  read: (from) => `${from.varint()}`,
};

/** An entry of the window, as the machine has it: two digests, a letter, the instance, numbers, and whose it is. */
const entry: TextKind = {
  fits: /^([0-9a-f]{24})([a-zA-Z])(0|[1-9a-z][0-9a-z]{0,10})((?:,(?:0|[1-9][0-9]{0,15}))*)(?:\|(~|[0-9a-f]{6}))?$/,
  numbers: ([, , , instance = "", list = ""]) => [parseInt(instance, 36), ...list.split(",").slice(1).map(Number)],
  write(to, [, digests = "", letter = "", , , tag = ""], [instance = 0, ...numbers]) {
    const end = tag === "" ? NO_TAG : tag === "~" ? REPEATABLE : TAGGED;
    to.hex(digests);
    to.utf8(letter, 1);
    to.varint(instance);
    to.varint(numbers.length * ENDS + end);
    for (const number of numbers) to.varint(number);
    if (end === TAGGED) to.hex(tag);
  },
  read(from) {
    const digests = from.hex(ENTRY_BYTES);
    const letter = from.utf8(1);
    const instance = from.varint().toString(36);
    const ends = from.varint();
    let numbers = "";
    for (let left = Math.floor(ends / ENDS); left > 0; left--) numbers += `,${from.varint()}`;
    const end = ends % ENDS;
    const tag = end === NO_TAG ? "" : end === REPEATABLE ? "|~" : `|${from.hex(TAG_BYTES)}`;
    return `${digests}${letter}${instance}${numbers}${tag}`;
  },
};

/** A digest. */
const hex: TextKind = {
  fits: /^(?:[0-9a-f]{2})+$/,
  numbers: ([digits = ""]) => [digits.length / 2],
  write(to, [digits = ""], [bytes = 0]) {
    to.varint(bytes);
    to.hex(digits);
  },
  read: (from) => from.hex(from.varint()),
};

/** Id of a value: node, nonce, number. */
const valueId: TextKind = {
  fits: /^([a-z0-9-]{1,64})\/([A-Za-z0-9_-]{16})\/(0|[1-9][0-9]{0,15})$/,
  numbers: ([, , , number]) => [Number(number)],
  write(to, [, node = "", nonce = ""], [number = 0]) {
    to.varint(node.length);
    to.utf8(node, node.length);
    to.base64url(nonce);
    to.varint(number);
  },
  read: (from) => `${from.utf8(from.varint())}/${from.base64url(RANDOM_BYTES)}/${from.varint()}`,
};

/** Id of a write: run, number. */
const writeId: TextKind = {
  fits: /^([A-Za-z0-9_-]{16})\.(0|[1-9][0-9]{0,15})$/,
  numbers: ([, , number]) => [Number(number)],
  write(to, [, run = ""], [number = 0]) {
    to.base64url(run);
    to.varint(number);
  },
  read: (from) => `${from.base64url(RANDOM_BYTES)}.${from.varint()}`,
};

/** What was made at random, from 8 characters on: three bytes in four. */
const base64url: TextKind = {
  fits: /^(?:[A-Za-z0-9_-]{4}){2,}$/,
  numbers: ([text = ""]) => [text.length / 4],
  write(to, [text = ""], [groups = 0]) {
    to.varint(groups);
    to.base64url(text);
  },
  read: (from) => from.base64url(from.varint() * 3),
};

/** In this order a text is offered to them; where each stands is what a row says, as in packed_words.ts. */
export const TEXT_KINDS: readonly TextKind[] = [decimal, entry, hex, valueId, writeId, base64url];
