/** Protocol Buffers' wire format, as far as the messages of KV Connect need it. */

const VARINT = 0;
const FIXED_64 = 1;
const BYTES = 2;
const FIXED_32 = 5;
/** 64 bits, 7 in a byte. */
const VARINT_MAX_BYTES = 10;

/** One field as it lies on the wire: a varint's value, or the bytes of anything that has a length. */
export type Field =
  & { readonly number: number }
  & (
    | { readonly varint: bigint; readonly bytes?: never }
    | { readonly bytes: Uint8Array; readonly varint?: never }
  );

/** What was sent is no message of this format. */
export class MalformedMessage extends Error {}

/** Every varint and bytes field of a message in its order; fixed-width ones are passed over. Throws MalformedMessage. */
export function* fields(message: Uint8Array): Generator<Field> {
  const reader = new Reader(message);
  while (!reader.atEnd) {
    const tag = reader.varint();
    const number = Number(tag >> 3n);
    if (number === 0) throw new MalformedMessage("field number 0");
    const kind = Number(tag & 7n);
    if (kind === VARINT) yield { number, varint: reader.varint() };
    else if (kind === BYTES) yield { number, bytes: reader.take(Number(reader.varint())) };
    else if (kind === FIXED_64) reader.take(8);
    else if (kind === FIXED_32) reader.take(4);
    else throw new MalformedMessage(`wire type ${kind}`);
  }
}

class Reader {
  readonly #data: Uint8Array;
  #at = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  get atEnd(): boolean {
    return this.#at === this.#data.length;
  }

  varint(): bigint {
    let value = 0n;
    for (let i = 0; i < VARINT_MAX_BYTES; i++) {
      const byte = this.#data[this.#at++];
      if (byte === undefined) throw new MalformedMessage("cut off in a varint");
      value |= BigInt(byte & 0x7f) << BigInt(7 * i);
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new MalformedMessage("varint of more than ten bytes");
  }

  take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#data.length) throw new MalformedMessage("cut off in a field");
    const taken = this.#data.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}

export class Writer {
  readonly #parts: Uint8Array[] = [];

  /** Zero is a field's default and, as the format has it, not sent. */
  varint(number: number, value: number): this {
    if (value === 0) return this;
    this.#push(varintBytes(number << 3 | VARINT));
    this.#push(varintBytes(value));
    return this;
  }

  /** Sent even when empty: inside a repeated field an empty message counts. */
  bytes(number: number, value: Uint8Array): this {
    this.#push(varintBytes(number << 3 | BYTES));
    this.#push(varintBytes(value.length));
    this.#push(value);
    return this;
  }

  done(): Uint8Array<ArrayBuffer> {
    const message = new Uint8Array(this.#parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.#parts) {
      message.set(part, at);
      at += part.length;
    }
    return message;
  }

  #push(part: Uint8Array): void {
    this.#parts.push(part);
  }
}

function varintBytes(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt(value);
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
