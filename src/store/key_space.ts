/**
 * Where things lie in Deno KV: `["r", key]` ballot part and `["s", key]` state part of a record (PROTOCOL.md §3), a small state
 * with the ballot part; `["i", key, n]` votes of an import that have no room there; of an owner store `["g", seq, n]`, what
 * commit `seq` changed of records since; of a shared store
 * `["f", key]`, when its leases were first seen (§7); `["l", key]` without content for each record that is live;
 * `["q", …]` what belongs to the whole store (§9): of an owner store its meta row, of a shared one marks, spread over rows
 * by the key whose commit they rode in.
 */
import { Buffer } from "node:buffer";
import { assert } from "../assert.ts";
import { compareKeys } from "../key_order.ts";
import { NAME_MAX_BYTES } from "../limits.ts";
import type { Which } from "../ports.ts";

/** A name of NAME_MAX_BYTES and the kind before it, as in `locks/`. */
export const KEY_MAX_BYTES = NAME_MAX_BYTES + 32;

export const IDENTITY_ROW: Deno.KvKey = ["q", "identity"];
export const META_ROW: Deno.KvKey = ["q", "meta"];

export const EPOCHS_ROW: Deno.KvKey = ["q", "epochs"];

/** There once every live record has its row in the index. */
export const INDEXED_ROW: Deno.KvKey = ["q", "indexed"];

const MARKS_ROWS: Deno.KvKey = ["q", "marks"];

/** Commits of different keys that bring news of the same peer seldom meet in one row. */
const MARKS_SHARDS = 16;

/** What a row of the index holds. */
export const NOTHING = new Uint8Array();

export const RECORDS: Deno.KvKey = ["r"];
const LIVE: Deno.KvKey = ["l"];

export function ballotRow(key: string): Deno.KvKey {
  return ["r", key];
}

export function stateRow(key: string): Deno.KvKey {
  return ["s", key];
}

export function importRow(key: string, n: number): Deno.KvKey {
  return ["i", key, n];
}

export const LOG: Deno.KvKey = ["g"];

export function logRow(seq: number, n: number): Deno.KvKey {
  return ["g", seq, n];
}

export function marksRow(key: string): Deno.KvKey {
  let hash = 0;
  for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) >>> 0;
  return [...MARKS_ROWS, hash % MARKS_SHARDS];
}

export function liveRow(key: string): Deno.KvKey {
  return ["l", key];
}

export function firstSeenRow(key: string): Deno.KvKey {
  return ["f", key];
}

/** Throws InvariantError: names were checked at the edge, so a bad one here is a bug. */
export function assertKey(key: string): void {
  // Lone surrogates all become U+FFFD on disk: two keys would share one record.
  assert(key.isWellFormed(), "a key is well-formed Unicode");
  const bytes = Buffer.byteLength(key);
  assert(bytes >= 1 && bytes <= KEY_MAX_BYTES, `a key has 1 to ${KEY_MAX_BYTES} bytes`);
}

/** What one record's keys weigh at most in an atomic, in bytes: a check and three sets. */
export function keyWeightBytes(key: string): number {
  // On disk a NUL takes two bytes; 8 covers the row's letter and the parts' frames.
  const nuls = key.includes("\0") ? key.split("\0").length - 1 : 0;
  return 4 * (Buffer.byteLength(key) + nuls + 8);
}

/** Keys that have a ballot row, or one in the index of live records, and begin with `prefix`, in byte order, after `after`, at most `limit`. */
export async function listKeys(
  kv: Pick<Deno.Kv, "list">,
  prefix: string,
  after: string,
  limit: number,
  which: Which = "all",
): Promise<string[]> {
  const found: string[] = [];
  if (limit <= 0) return found;
  const start = compareKeys(prefix, after) > 0 ? prefix : after;
  // One more than asked for, because the range starts at `after` itself.
  const selector = which === "all"
    ? { prefix: RECORDS, start: ballotRow(start) }
    : { prefix: LIVE, start: liveRow(start) };
  const rows = kv.list(selector, { limit: limit + 1 });
  for await (const row of rows) {
    const key = row.key[1];
    assert(typeof key === "string", "the key of a row is a string");
    if (key === after) continue;
    if (!key.startsWith(prefix) || found.length === limit) break;
    found.push(key);
  }
  return found;
}

/** All rows of marks of a shared store. */
export async function listMarks(kv: Pick<Deno.Kv, "list">): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const row of kv.list({ prefix: MARKS_ROWS }, { limit: MARKS_SHARDS })) found.push(row.value);
  return found;
}
