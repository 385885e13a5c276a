/** Fences and revisions: I·1024 + k as decimal strings (PROTOCOL.md §7). */
import { assert } from "../assert.ts";
import { GRANTS_PER_INSTANCE } from "../limits.ts";

const DECIMAL = /^(0|[1-9][0-9]{0,19})$/;
/** The first grant of instance 1; nothing below it was ever granted. */
const FIRST = numberOf(1, 1);

/** The number of the `k`-th grant or change, k from 1, in `instance`. */
export function numberOf(instance: number, k: number): string {
  assert(k >= 1 && k <= GRANTS_PER_INSTANCE, "one instance has room for 1,024 grants");
  const number = instance * GRANTS_PER_INSTANCE + k;
  // Beyond that a number is not exact any more.
  if (Number.isSafeInteger(number)) return String(number);
  return (BigInt(instance) * BigInt(GRANTS_PER_INSTANCE) + BigInt(k)).toString();
}

/** The instance in which the grant with this fence was made. */
export function instanceOfFence(fence: string): number {
  return Number(BigInt(fence) / BigInt(GRANTS_PER_INSTANCE));
}

/** Bounded, and without leading zeros, so that equal numbers are equal strings. */
export function isDecimal(text: unknown): text is string {
  return typeof text === "string" && DECIMAL.test(text);
}

/** Negative, 0 or positive, as `a` is below, equal to or above `b`. */
export function compareDecimals(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a === b ? 0 : a < b ? -1 : 1;
}

/** False if no grant up to `lastFence` can have had this fence. */
export function wasPossible(fence: string, lastFence: string): boolean {
  return compareDecimals(fence, FIRST) >= 0 && compareDecimals(fence, lastFence) <= 0;
}
