/**
 * Bytes one after another: written up to a limit, read up to their end. Digests and ids are turned into bytes here, a letter at a
 * time: for texts so short that costs a tenth of what the platform's functions do.
 */

const FIRST_BYTES = 1_024;
const ASCII_END = 0x80;
/** Up to here the platform's decoder costs more than to look at each letter. */
const SHORT_BYTES = 48;
const HEX = "0123456789abcdef";
const BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const HEX_PAIRS = Array.from({ length: 256 }, (_, byte) => HEX[byte >> 4]! + HEX[byte & 15]!);
const HEX_VALUES = valuesOf(HEX);
const BASE64URL_VALUES = valuesOf(BASE64URL);

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** By code unit. */
function valuesOf(letters: string): Uint8Array {
  const values = new Uint8Array(ASCII_END);
  for (let i = 0; i < letters.length; i++) values[letters.charCodeAt(i)] = i;
  return values;
}

export class PackedWriter {
  #bytes = new Uint8Array(FIRST_BYTES);
  #length = 0;
  #maxBytes = 0;

  /** Begins anew: what was written before is gone. */
  begin(maxBytes: number): void {
    this.#length = 0;
    this.#maxBytes = maxBytes;
  }

  /** More was written than there is room for. */
  get isFull(): boolean {
    return this.#length > this.#maxBytes;
  }

  /** A copy. */
  written(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#length++] = value;
  }

  /** A safe integer from 0 on: seven bits a byte, the lowest first. */
  varint(value: number): void {
    for (; value >= 0x80; value = Math.floor(value / 0x80)) this.byte(0x80 + value % 0x80);
    this.byte(value);
  }

  /** @param digits an even number of them */
  hex(digits: string): void {
    const to = this.#room(digits.length / 2);
    for (let i = 0; i < digits.length; i += 2) {
      to[this.#length++] = HEX_VALUES[digits.charCodeAt(i)]! * 16 + HEX_VALUES[digits.charCodeAt(i + 1)]!;
    }
  }

  /** @param letters in fours */
  base64url(letters: string): void {
    const to = this.#room(letters.length / 4 * 3);
    for (let i = 0; i < letters.length; i += 4) {
      let bits = 0;
      for (let j = 0; j < 4; j++) bits = bits * 64 + BASE64URL_VALUES[letters.charCodeAt(i + j)]!;
      for (const shift of [16, 8, 0]) to[this.#length++] = (bits >> shift) & 0xff;
    }
  }

  /** @param bytes how many the text has */
  utf8(text: string, bytes: number): void {
    const to = this.#room(bytes);
    if (bytes > text.length) encoder.encodeInto(text, to.subarray(this.#length));
    else for (let i = 0; i < bytes; i++) to[this.#length + i] = text.charCodeAt(i);
    this.#length += bytes;
  }

  #room(more: number): Uint8Array {
    if (this.#length + more > this.#bytes.length) {
      const larger = new Uint8Array(2 * (this.#length + more));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    return this.#bytes;
  }
}

/** How many bytes a text has as UTF-8; one with a lone surrogate is none. */
export function utf8Bytes(text: string): number {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= ASCII_END) return encoder.encode(text).length;
  return text.length;
}

function isAscii(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! >= ASCII_END) return false;
  return true;
}

/** Throws RangeError where the bytes end too soon, or a number is too large. */
export class PackedReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  byte(): number {
    return this.#bytes[this.#take(1)]!;
  }

  varint(): number {
    let value = 0;
    for (let unit = 1;; unit *= 0x80) {
      const byte = this.byte();
      value += (byte % 0x80) * unit;
      if (value > Number.MAX_SAFE_INTEGER) throw new RangeError("too large a number");
      if (byte < 0x80) return value;
    }
  }

  hex(bytes: number): string {
    const from = this.#take(bytes);
    let digits = "";
    for (let i = from; i < this.#at; i++) digits += HEX_PAIRS[this.#bytes[i]!]!;
    return digits;
  }

  /** @param bytes in threes */
  base64url(bytes: number): string {
    const from = this.#take(bytes);
    let letters = "";
    for (let i = from; i < this.#at; i += 3) {
      const bits = this.#bytes[i]! * 0x10000 + this.#bytes[i + 1]! * 0x100 + this.#bytes[i + 2]!;
      for (const shift of [18, 12, 6, 0]) letters += BASE64URL[(bits >> shift) & 63]!;
    }
    return letters;
  }

  utf8(bytes: number): string {
    const from = this.#take(bytes);
    const text = this.#bytes.subarray(from, this.#at);
    if (bytes > SHORT_BYTES || !isAscii(text)) return decoder.decode(text);
    return String.fromCharCode.apply(null, text as unknown as number[]);
  }

  /** Where what is read next begins. */
  #take(bytes: number): number {
    const from = this.#at;
    if (from + bytes > this.#bytes.length) throw new RangeError("cut off");
    this.#at += bytes;
    return from;
  }
}
