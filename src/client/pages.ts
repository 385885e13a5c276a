/** Lists that come in pages. */
import type { Page } from "../api.ts";
import type { Calls } from "./calls.ts";

/** The items of all pages, each page asked for once the one before is read. @param target with a query, and no cursor in it */
export async function* itemsOf<T>(
  calls: Calls,
  target: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<T, void> {
  let cursor: string | null = "";
  while (cursor !== null) {
    const after: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const call = { method: "GET", target: target + after } as const;
    const page: Page<T> = (await calls.json<Page<T>>(call, { signal })).body;
    yield* page.items;
    cursor = page.cursor;
  }
}
