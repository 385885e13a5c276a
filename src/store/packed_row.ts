/**
 * A row that is no JSON: the number of its format, packed values one after another, and the first bytes of the SHA-256 of both. JSON
 * begins with a brace, so a row says by its first byte which of both it is.
 */
import { Buffer } from "node:buffer";
import { ROW_MAX_BYTES } from "../limits.ts";
import { StoreError } from "../ports.ts";
import { ROW_FORMAT } from "../version.ts";
import { checksum } from "./checksum.ts";
import { unpack } from "./packed.ts";

const SUM_BYTES = 4;
const FRAME_BYTES = 1 + SUM_BYTES;
/** No text begins with less. */
const FORMATS_END = 0x20;

/** @param parts packed; `what` is for the error. Throws StoreError if they are too large for a row */
export function packedRow(parts: readonly Uint8Array[], what: string): Uint8Array {
  const row = Buffer.concat([Uint8Array.of(ROW_FORMAT), ...parts]);
  const size = row.length - 1;
  if (size > ROW_MAX_BYTES) throw new StoreError(`the ${what} would have ${size} bytes, more than ${ROW_MAX_BYTES}`);
  return new Uint8Array(Buffer.concat([row, sumOf(row)]));
}

/** False also of what is no row at all. */
export function isPackedRow(row: unknown): row is Uint8Array {
  return row instanceof Uint8Array && row.length > FRAME_BYTES && row[0]! < FORMATS_END;
}

/** Throws StoreError if the row is not as it was written, or says what this version cannot read: then by its format alone. */
export function unpackRow(
  row: Uint8Array,
  what: string,
): { readonly format: number; readonly parts: readonly unknown[] } {
  const format = row[0]!;
  const said = row.subarray(0, -SUM_BYTES);
  if (Buffer.compare(sumOf(said), row.subarray(-SUM_BYTES)) !== 0) {
    throw new StoreError(`the ${what} is damaged: it is not as it was written`);
  }
  if (format > ROW_FORMAT) return { format, parts: [] };
  try {
    return { format, parts: unpack(said.subarray(1)) };
  } catch (error) {
    throw new StoreError(`the ${what} is damaged`, { cause: error });
  }
}

function sumOf(bytes: Uint8Array): Uint8Array {
  return Buffer.from(checksum(bytes), "hex");
}
