/** Pages of what the caller may read: one range of names after another, and nothing beside them is even looked at. */
import type { Page } from "../src/api.ts";
import type { NameRange } from "../src/auth/scopes.ts";

export type Listed = { readonly name: string } | { readonly key: string };

/** @param list a page of names that begin so, after the cursor, in byte order */
export async function listRanges<T extends Listed>(
  ranges: readonly NameRange[],
  limit: number,
  cursor: string | null,
  list: (prefix: string, limit: number, cursor: string | null) => Promise<Page<T>>,
): Promise<Page<T>> {
  const items: T[] = [];
  for (const [i, { prefix, exact }] of ranges.entries()) {
    // A name is the first of those that begin with it.
    const page = await list(prefix, exact ? 1 : limit - items.length, cursor);
    items.push(...page.items.filter((item) => !exact || nameOf(item) === prefix));
    // Within the range, so a name that the caller may know of, though what it named may be deleted.
    if (!exact && page.cursor !== null) return { items, cursor: page.cursor };
    if (items.length < limit || i === ranges.length - 1) continue;
    const last = items.at(-1);
    return { items, cursor: last === undefined ? null : nameOf(last) };
  }
  return { items, cursor: null };
}

/** A register's is its key. */
function nameOf(item: Listed): string {
  return "key" in item ? item.key : item.name;
}
