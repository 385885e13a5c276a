/**
 * The window as states of versions 1 and 2 have it: one text, each entry behind a `;`. `|` and a tag before an entry say whose
 * it and those behind it are.
 */
import { entryOf, itemOf, NO_TAG, tagOf } from "./dedup.ts";

export function itemsOf(text: string): string[] {
  const items: string[] = [];
  if (text === "") return items;
  let tag = NO_TAG;
  // The first piece has no entry before its tag.
  for (const piece of text.split(";")) {
    const at = piece.indexOf("|");
    const entry = at < 0 ? piece : piece.slice(0, at);
    if (entry !== "") items.push(itemOf(entry, tag));
    if (at >= 0) tag = piece.slice(at + 1);
  }
  return items;
}

export function textOf(items: readonly string[]): string {
  let text = "";
  let last = NO_TAG;
  for (const item of items) {
    const tag = tagOf(item);
    text += tag === last ? `;${entryOf(item)}` : `|${tag};${entryOf(item)}`;
    last = tag;
  }
  return text;
}
