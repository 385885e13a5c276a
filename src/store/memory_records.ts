/** Records of a disk in memory: what is there of one, and what is shown of an atomic that writes some. */
import type { Found, StoredRecord } from "../ports.ts";

/**
 * The two moments of an atomic in which a process may die with a difference: what was made ready is not on disk yet; it is,
 * and nobody has heard of it. `steps` are all that it makes of its records, in order, as JSON text, those too that later
 * steps of the same atomic overwrite: each of them is answered for. Empty where only the store's own row is written.
 */
export type AtomicWatch = (moment: "ready" | "committed", steps: readonly AtomicStep[]) => void;
export type AtomicStep = readonly [key: string, record: string];

/** What is no JSON is damaged. */
export function recordIn(key: string, text: string | undefined): Found {
  try {
    return { record: text === undefined ? null : JSON.parse(text) as StoredRecord, damage: null, version: null };
  } catch {
    return { record: null, damage: `the record of ${JSON.stringify(key)} is damaged`, version: null };
  }
}
