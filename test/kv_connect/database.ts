/** One database: rows in the order of their keys' bytes, changed by one atomic write after another. */
import { type AtomicWrite, type ReadRange, type Row, SET } from "./messages.ts";

export type Commit =
  | { readonly ok: true; readonly versionstamp: Uint8Array }
  | { readonly ok: false; readonly failedChecks: readonly number[] };

export class Database {
  /** Sorted. Requests are copied into it: what came in one buffer must not keep all of it alive. */
  readonly #rows: Row[] = [];
  #version = 0n;

  /** All ranges as of one moment. */
  read(ranges: readonly ReadRange[]): Row[][] {
    return ranges.map(({ start, end, limit, reverse }) => {
      const from = this.#find(start);
      const to = Math.max(from, this.#find(end));
      return reverse
        ? this.#rows.slice(Math.max(from, to - limit), to).reverse()
        : this.#rows.slice(from, Math.min(to, from + limit));
    });
  }

  /** Applies all of it, or nothing of it if a check fails. */
  write({ checks, mutations }: AtomicWrite): Commit {
    const failedChecks = checks.flatMap(({ key, versionstamp }, i) => {
      const held = this.#at(key)?.versionstamp ?? new Uint8Array();
      return compareBytes(held, versionstamp) === 0 ? [] : [i];
    });
    if (failedChecks.length > 0) return { ok: false, failedChecks };
    const versionstamp = stampOf(++this.#version);
    for (const { key, type, value } of mutations) {
      const index = this.#find(key);
      const isThere = this.#at(key) !== undefined;
      if (type === SET && value !== null) {
        const row = { key: key.slice(), data: value.data.slice(), encoding: value.encoding, versionstamp };
        this.#rows.splice(index, isThere ? 1 : 0, row);
      } else if (isThere) {
        this.#rows.splice(index, 1);
      }
    }
    return { ok: true, versionstamp };
  }

  rows(): readonly Row[] {
    return this.#rows;
  }

  #at(key: Uint8Array): Row | undefined {
    const row = this.#rows[this.#find(key)];
    return row !== undefined && compareBytes(row.key, key) === 0 ? row : undefined;
  }

  /** Index of the first row whose key is not below this one. */
  #find(key: Uint8Array): number {
    let low = 0;
    let high = this.#rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareBytes(this.#rows[middle]!.key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Negative, 0 or positive; a prefix comes before what it begins. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Big-endian, so that bytes and their hexadecimal form compare as the versions do; two bytes of room after them. */
function stampOf(version: bigint): Uint8Array {
  const stamp = new Uint8Array(10);
  new DataView(stamp.buffer).setBigUint64(0, version);
  return stamp;
}
