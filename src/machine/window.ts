/**
 * What the window keeps after an instance (PROTOCOL.md §6): all commands of the last WINDOW_INSTANCES instances and
 * DEDUP_WINDOW of before, in at most WINDOW_MAX_BYTES. The subject that has most loses first, so that nobody's commands
 * push out a neighbour's.
 */
import { assert } from "../assert.ts";
import { COMMANDS_PER_VALUE, DEDUP_WINDOW, WINDOW_INSTANCES, WINDOW_MAX_BYTES, WINDOW_SUBJECTS } from "../limits.ts";
import { ENTRY_MAX_BYTES, type Floor, instanceIn, NO_TAG, REPEATABLE_TAG, type Window } from "./dedup.ts";

assert(COMMANDS_PER_VALUE * ENTRY_MAX_BYTES <= WINDOW_MAX_BYTES, "the entries of one instance fit the window");

type Item = { readonly tag: string; readonly entry: string };

export function trimWindow(window: Window, instance: number): Window {
  // A value that only repeats what was decided leaves the state as it was.
  if (window.added === 0 || isSmall(window.text)) return window;
  const items = itemsOf(window.text);
  const older = items.slice(0, countBefore(items, instance - WINDOW_INSTANCES + 1));
  const gone = new Set(older.filter(({ tag }) => tag === REPEATABLE_TAG));
  const own = older.filter(({ tag }) => tag !== REPEATABLE_TAG);
  for (const item of firstToGo(own, own.length - DEDUP_WINDOW)) gone.add(item);
  let bytes = 0;
  for (const item of items) if (!gone.has(item)) bytes += bytesOf(item);
  if (bytes > WINDOW_MAX_BYTES) {
    // The results of this instance's commands are read from the window, so its entries stay; they always have room.
    for (const item of firstToGo(items.slice(0, countBefore(items, instance)).filter((item) => !gone.has(item)))) {
      gone.add(item);
      bytes -= bytesOf(item);
      if (bytes <= WINDOW_MAX_BYTES) break;
    }
  }
  return { ...window, text: textOf(items.filter((item) => !gone.has(item))), ...floorsAfter(window, gone) };
}

/** How many were applied before this instance: the oldest stand first. */
function countBefore(items: readonly Item[], instance: number): number {
  let count = items.length;
  while (count > 0 && instanceIn(items[count - 1]!.entry) >= instance) count--;
  return count;
}

/** Nothing can have to leave: the usual case, told without taking the text apart. */
function isSmall(text: string): boolean {
  if (text.length > WINDOW_MAX_BYTES || text.includes(REPEATABLE_TAG)) return false;
  let count = 0;
  for (let at = text.indexOf(";"); at >= 0; at = text.indexOf(";", at + 1)) count++;
  return count <= DEDUP_WINDOW;
}

/** At most so many of these, one after another: the oldest of the tag that has most left; of equal tags the oldest. */
function* firstToGo(items: readonly Item[], most = items.length): Generator<Item> {
  if (most <= 0) return;
  const byTag = new Map<string, { readonly items: Item[]; at: number }>();
  for (const item of items) {
    const own = byTag.get(item.tag) ?? { items: [], at: 0 };
    own.items.push(item);
    byTag.set(item.tag, own);
  }
  // Each tag's are in order, so the one whose next is the oldest is found by its place among all.
  const places = new Map(items.map((item, i) => [item, i]));
  for (let i = 0; i < most; i++) {
    let chosen: { readonly items: Item[]; at: number } | null = null;
    for (const own of byTag.values()) {
      const left = own.items.length - own.at;
      if (left === 0) continue;
      const lead = chosen === null ? 1 : left - (chosen.items.length - chosen.at);
      const isOlder = () => places.get(own.items[own.at]!)! < places.get(chosen!.items[chosen!.at]!)!;
      if (lead > 0 || (lead === 0 && isOlder())) chosen = own;
    }
    if (chosen === null) return;
    yield chosen.items[chosen.at++]!;
  }
}

/** Raised by what is gone. Of more subjects than are kept the floors of those raised longest ago become everybody's. */
function floorsAfter({ evicted, floors }: Window, gone: Iterable<Item>): Pick<Window, "evicted" | "floors"> {
  const raised = new Map(floors);
  for (const { tag, entry } of gone) {
    const instance = instanceIn(entry);
    if (tag === NO_TAG) evicted = Math.max(evicted, instance);
    else {
      const floor = Math.max(raised.get(tag) ?? evicted, instance);
      // Taken out first, so that it comes to stand last.
      raised.delete(tag);
      raised.set(tag, floor);
    }
  }
  const subjects = [...raised].filter(([tag]) => tag !== REPEATABLE_TAG);
  for (const [tag, floor] of subjects.slice(0, Math.max(0, subjects.length - WINDOW_SUBJECTS))) {
    raised.delete(tag);
    evicted = Math.max(evicted, floor);
  }
  const kept: readonly Floor[] = [...raised];
  return { evicted, floors: kept };
}

/** With a tag of its own, though it may share one. */
function bytesOf({ tag, entry }: Item): number {
  return 1 + tag.length + 1 + entry.length;
}

function textOf(items: readonly Item[]): string {
  let text = "";
  let last = NO_TAG;
  for (const { tag, entry } of items) {
    text += tag === last ? `;${entry}` : `|${tag};${entry}`;
    last = tag;
  }
  return text;
}

function itemsOf(text: string): readonly Item[] {
  const items: Item[] = [];
  let tag = NO_TAG;
  // The first piece has no entry before its tag.
  for (const piece of text.split(";")) {
    const at = piece.indexOf("|");
    const entry = at < 0 ? piece : piece.slice(0, at);
    if (entry !== "") items.push({ tag, entry });
    if (at >= 0) tag = piece.slice(at + 1);
  }
  return items;
}
