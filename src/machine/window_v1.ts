/** What the window kept by the rules of version 1 (PROTOCOL.md §6): so many entries, whoever's they are. */
import { DEDUP_WINDOW } from "../limits.ts";
import { assert } from "../assert.ts";
import { instanceIn, type Window } from "./dedup.ts";

/**
 * What stays after an instance: all that it added, since its commands' results are read from there, and the last
 * DEDUP_WINDOW of before. It happens once, at the end: a command that lost instance I finds, when it is
 * applied at I+1, nothing of I evicted yet, and so is never called expired for having lost once.
 */
export function trimWindowV1(window: Window): Window {
  // A value that only repeats what was decided leaves the state as it was.
  if (window.added === 0) return window;
  const older = window.items.length - window.added;
  if (older <= DEDUP_WINDOW) return window;
  const last = window.items[older - DEDUP_WINDOW - 1];
  assert(last !== undefined, "there is an entry to evict");
  // Entries stand in the order of their instances, so the last to go is the highest.
  return { ...window, items: window.items.slice(older - DEDUP_WINDOW), evicted: instanceIn(last) };
}
