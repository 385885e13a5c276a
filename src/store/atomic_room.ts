/** What one atomic of an owner store has room for. */
import { assert } from "../assert.ts";
import { ATOMIC_MAX_BYTES, ATOMIC_MAX_KEY_BYTES, ATOMIC_MAX_RECORDS, ROW_MAX_BYTES } from "../limits.ts";
import type { Part } from "./updates.ts";

/** Deno KV allows 100 checks; the meta row's and, at init, the identity row's are two of them. */
const PARTS_MAX = ATOMIC_MAX_RECORDS - 2;
const PARTS_MAX_BYTES = ATOMIC_MAX_BYTES - 2 * ROW_MAX_BYTES;
const PARTS_MAX_KEY_BYTES = ATOMIC_MAX_KEY_BYTES - 256;

assert(2 * ROW_MAX_BYTES < PARTS_MAX_BYTES, "the largest record fits an atomic");

export class AtomicRoom {
  #parts = 0;
  #bytes = 0;
  #keyBytes = 0;

  /** Whether the part goes into it, and takes its room. */
  takes({ bytes, keyBytes }: Pick<Part, "bytes" | "keyBytes">): boolean {
    const [parts, all, keys] = [this.#parts + 1, this.#bytes + bytes, this.#keyBytes + keyBytes];
    if (parts > PARTS_MAX || all > PARTS_MAX_BYTES || keys > PARTS_MAX_KEY_BYTES) return false;
    [this.#parts, this.#bytes, this.#keyBytes] = [parts, all, keys];
    return true;
  }
}
