/** Pages of what the caller may read: one range of names after another, and nothing beside them is even looked at. */
import type { Page } from "../src/api.ts";
import type { NameRange } from "../src/auth/scopes.ts";

/** @param list a page of names that begin so, after the cursor, in byte order */
export async function listRanges<T extends { readonly name: string }>(
  ranges: readonly NameRange[],
  limit: number,
  cursor: string | null,
  list: (prefix: string, limit: number, cursor: string | null) => Promise<Page<T>>,
): Promise<Page<T>> {
  const items: T[] = [];
  for (const [i, { prefix, exact }] of ranges.entries()) {
    // A name is the first of those that begin with it.
    const page = await list(prefix, exact ? 1 : limit - items.length, cursor);
    items.push(...page.items.filter(({ name }) => !exact || name === prefix));
    // Within the range, so a name that the caller may know of, though what it named may be deleted.
    if (!exact && page.cursor !== null) return { items, cursor: page.cursor };
    if (items.length < limit || i === ranges.length - 1) continue;
    return { items, cursor: items.at(-1)?.name ?? null };
  }
  return { items, cursor: null };
}
