/**
 * What the window keeps after an instance (PROTOCOL.md §6): all commands of the last WINDOW_INSTANCES instances and
 * DEDUP_WINDOW of before, in at most WINDOW_MAX_BYTES. The subject that has most loses first, so that nobody's commands
 * push out a neighbour's.
 */
import { assert } from "../assert.ts";
import { COMMANDS_PER_VALUE, DEDUP_WINDOW, WINDOW_INSTANCES, WINDOW_MAX_BYTES, WINDOW_SUBJECTS } from "../limits.ts";
import {
  ENTRY_FRAME_BYTES,
  ENTRY_MAX_BYTES,
  floorOf,
  instanceIn,
  NO_TAG,
  REPEATABLE_TAG,
  tagOf,
  type Window,
} from "./dedup.ts";

assert(COMMANDS_PER_VALUE * ENTRY_MAX_BYTES <= WINDOW_MAX_BYTES, "the entries of one instance fit the window");

export function trimWindow(window: Window, instance: number, version: number): Window {
  const { items } = window;
  // A value that only repeats what was decided leaves the state as it was.
  if (window.added === 0) return window;
  const older = countBefore(items, instance - WINDOW_INSTANCES + 1);
  // Nearly always one.
  const gone: number[] = [];
  for (let i = 0; i < older; i++) if (items[i]!.endsWith(REPEATABLE_TAG)) gone.push(i);
  const most = older - gone.length - DEDUP_WINDOW;
  if (most > 0) gone.push(...firstToGo(items, placesBefore(older, gone), most));
  if ((items.length - gone.length) * ENTRY_MAX_BYTES > WINDOW_MAX_BYTES) dropToBytes(items, instance, version, gone);
  if (gone.length === 0) return window;
  const { evicted, floors } = floorsAfter(window, gone);
  return { items: without(items, gone), evicted, floors, added: window.added };
}

function without(items: readonly string[], gone: readonly number[]): readonly string[] {
  if (gone.length === 1) return items.toSpliced(gone[0]!, 1);
  const places = new Set(gone);
  return items.filter((_, i) => !places.has(i));
}

function placesBefore(end: number, gone: readonly number[]): readonly number[] {
  const left: number[] = [];
  for (let i = 0; i < end; i++) if (!gone.includes(i)) left.push(i);
  return left;
}

/** Adds to what is gone until the rest has room. */
function dropToBytes(items: readonly string[], instance: number, version: number, gone: number[]): void {
  const places = new Set(gone);
  let bytes = 0;
  for (const [i, item] of items.entries()) if (!places.has(i)) bytes += bytesOf(item, version);
  if (bytes <= WINDOW_MAX_BYTES) return;
  // The results of this instance's commands are read from the window, so its entries stay; they always have room.
  const left = placesBefore(countBefore(items, instance), gone);
  for (const i of firstToGo(items, left, left.length)) {
    gone.push(i);
    bytes -= bytesOf(items[i]!, version);
    if (bytes <= WINDOW_MAX_BYTES) return;
  }
}

/** How many were applied before this instance: the oldest stand first. */
function countBefore(items: readonly string[], instance: number): number {
  let [count, end] = [0, items.length];
  while (count < end) {
    const middle = (count + end) >> 1;
    if (instanceIn(items[middle]!) < instance) count = middle + 1;
    else end = middle;
  }
  return count;
}

/**
 * At most so many of these places, one after another: the oldest of the tag that has most left; of equal tags the oldest.
 * @param places rising
 */
function firstToGo(items: readonly string[], places: readonly number[], most: number): readonly number[] {
  if (most <= 0) return [];
  const mark = `|${tagOf(items[places[0]!]!)}`;
  // One subject has the name to itself, as nearly always.
  if (places.every((place) => items[place]!.endsWith(mark))) return places.slice(0, most);
  const byTag = new Map<string, { readonly places: number[]; at: number }>();
  for (const place of places) {
    const tag = tagOf(items[place]!);
    const own = byTag.get(tag);
    if (own === undefined) byTag.set(tag, { places: [place], at: 0 });
    else own.places.push(place);
  }
  const order: number[] = [];
  while (order.length < most) {
    let chosen: { readonly places: number[]; at: number } | null = null;
    for (const own of byTag.values()) {
      const left = own.places.length - own.at;
      if (left === 0) continue;
      const lead = chosen === null ? 1 : left - (chosen.places.length - chosen.at);
      const isOlder = () => own.places[own.at]! < chosen!.places[chosen!.at]!;
      if (lead > 0 || (lead === 0 && isOlder())) chosen = own;
    }
    if (chosen === null) break;
    order.push(chosen.places[chosen.at++]!);
  }
  return order;
}

/** Raised by what is gone. Of more subjects than are kept the floors of those raised longest ago become everybody's. */
function floorsAfter({ items, evicted, floors }: Window, gone: Iterable<number>): Pick<Window, "evicted" | "floors"> {
  let raised = floors;
  for (const place of gone) {
    const item = items[place]!;
    const tag = tagOf(item);
    const instance = instanceIn(item);
    if (tag === NO_TAG) evicted = Math.max(evicted, instance);
    else {
      const floor = Math.max(floorOf({ evicted, floors: raised }, tag), instance);
      // It comes to stand last.
      raised = raised.filter(([other]) => other !== tag).concat([[tag, floor]]);
    }
  }
  if (raised.length > WINDOW_SUBJECTS) {
    const subjects = raised.filter(([tag]) => tag !== REPEATABLE_TAG);
    const dropped = new Set(subjects.slice(0, Math.max(0, subjects.length - WINDOW_SUBJECTS)));
    for (const [, floor] of dropped) evicted = Math.max(evicted, floor);
    raised = raised.filter((floor) => !dropped.has(floor));
  }
  return { evicted, floors: raised };
}

function bytesOf(item: string, version: number): number {
  if (version > 2) return item.length + ENTRY_FRAME_BYTES;
  // In a text, with a tag of its own, though it may share one.
  return item.length + (tagOf(item) === NO_TAG ? 2 : 1);
}
