/** Keeps a key's state within its row (PROTOCOL.md §3): what would not fit is refused before it is there. */
import {
  COMMANDS_PER_VALUE,
  DEDUP_WINDOW,
  ENDED_SESSIONS_PER_KEY,
  HOLDERS_PER_KEY,
  ROW_MAX_BYTES,
  WINDOW_MAX_BYTES,
  WINDOW_SUBJECTS,
} from "../limits.ts";
import type { Floor } from "./dedup.ts";
import type { Ended, Hold } from "./op.ts";
import type { PlaceRow } from "./place.ts";
import type { Draft, MachineVersion, RegisterValue, Session } from "./state.ts";

/** An entry by the rules of version 1, which bears no tag. */
const ENTRY_V1_MAX_BYTES = 79;
/** A tag, an instance, and what JSON puts around them. */
const FLOOR_MAX_BYTES = 6 + 16 + 6;
const ENDED_SESSION_BYTES = 16 + 3;
const FIXED_V2_BYTES = WINDOW_MAX_BYTES + (WINDOW_SUBJECTS + 1) * FLOOR_MAX_BYTES +
  ENDED_SESSIONS_PER_KEY * ENDED_SESSION_BYTES + 2_048;
/**
 * The full window, mode, numbers, hashes, ended sessions and field names; kept free so that any command's result can be
 * recorded.
 */
const FIXED_BYTES: Readonly<Record<MachineVersion, number>> = {
  1: (DEDUP_WINDOW + COMMANDS_PER_VALUE) * ENTRY_V1_MAX_BYTES + 2_048,
  2: FIXED_V2_BYTES,
  3: FIXED_V2_BYTES,
  4: FIXED_V2_BYTES,
};
/** A renewal may name a lease by a longer value id than the one before. */
const RENEWAL_BYTES = 40;
/** A hold is longer than the place it comes from. */
const HANDOVER_BYTES = 220;
/** JSON escapes a code unit with at most six bytes. */
const UNIT_MAX_BYTES = 6;
/** Field names, numbers and ids of one hold, place or history item, its texts aside. */
const ITEM_MAX_BYTES = 400;

/** True, and the room is taken, if a hold or place can be added and the state still fits after all that may follow. */
export function takeRoom(draft: Draft, item: Hold | PlaceRow): boolean {
  const need = itemBytes(item) + 1 + RENEWAL_BYTES + ("fence" in item ? 0 : HANDOVER_BYTES);
  // Only additions are counted as they come; what was freed meanwhile is found here, exactly only where that decides.
  if (draft.room < need) draft.room = leastFreeBytes(draft);
  if (draft.room < need) draft.room = freeBytes(draft);
  if (draft.room < need) return false;
  draft.room -= need;
  return true;
}

/** Whether the row of a register or session has room for this beside all results that may follow. */
export function fitsRow({ version }: Pick<Draft, "version">, value: RegisterValue | Session): boolean {
  return jsonBytes(value) + FIXED_BYTES[version] <= ROW_MAX_BYTES;
}

function freeBytes(draft: Draft): number {
  const { version, holders, queue } = draft;
  const shared = queue.reduce((count, row) => row[3] === "x" ? count : count + 1, 0);
  // One exclusive waiter at a time becomes a holder, all others maybe at once.
  const handovers = Math.min(shared + 1, HOLDERS_PER_KEY) * HANDOVER_BYTES;
  const renewals = (holders.length + queue.length) * RENEWAL_BYTES;
  return ROW_MAX_BYTES - FIXED_BYTES[version] - handovers - renewals - listBytes(holders) - listBytes(queue);
}

/** Cheap, and no more than `freeBytes`. */
function leastFreeBytes({ version, holders, queue }: Draft): number {
  const items = (holders.length + queue.length) * (HANDOVER_BYTES + RENEWAL_BYTES);
  return ROW_MAX_BYTES - upperBound({ version, holders, queue, history: [], window: "" }) - HANDOVER_BYTES - items;
}

/** As much of the latest history as the row has room for beside the rest of the draft. */
export function trimToRow(
  draft: Pick<Draft, "version" | "holders" | "queue" | "cooling" | "mode" | "endedSessions">,
  history: readonly Ended[],
  window: string | readonly string[],
  floors: readonly Floor[],
): readonly Ended[] {
  const { version, holders, queue, cooling, mode, endedSessions } = draft;
  if (upperBound({ version, holders, queue, history, window }) <= ROW_MAX_BYTES) return history;
  const rest = { mode, holders: [], queue: [], cooling, history: [], endedSessions, window };
  const lists = [holders, queue, history].reduce((sum, list) => sum + listBytes(list) - listBytes([]), 0);
  let excess = jsonBytes(version === 1 ? rest : { ...rest, floors }) + lists + ITEM_MAX_BYTES - ROW_MAX_BYTES;
  let drop = 0;
  for (; excess > 0 && drop < history.length; drop++) excess -= itemBytes(history[drop]!) + 1;
  return history.slice(drop);
}

/** Cheap, and far too high for a long queue: only then are items measured. */
function upperBound(
  { version, holders, queue, history, window }: Pick<Draft, "version" | "holders" | "queue"> & {
    readonly history: readonly Ended[];
    readonly window: string | readonly string[];
  },
): number {
  let units = 0;
  for (const { holder, subject, metadata, by } of holders) units += lengthOf(holder, subject, metadata, by);
  for (const [, holder, subject, , , , node, by, metadata] of queue) {
    units += lengthOf(holder, subject, metadata ?? undefined, by) + node.length;
  }
  for (const { holder, subject, reason } of history) units += lengthOf(holder, subject, reason, "");
  const items = holders.length + queue.length + history.length;
  // A list has its room among what is fixed.
  const windowChars = typeof window === "string" ? window.length : 0;
  return FIXED_BYTES[version] + windowChars + items * ITEM_MAX_BYTES + units * UNIT_MAX_BYTES;
}

function lengthOf(a: string, b: string, c: string | undefined, d: string): number {
  return a.length + b.length + (c?.length ?? 0) + d.length;
}

/** UTF-8 length of the JSON text. */
export function jsonBytes(value: unknown): number {
  const text = JSON.stringify(value);
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    // Each half of a pair of surrogates has two of its four bytes, and JSON has no half alone.
    bytes += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2;
  }
  return bytes;
}

/** The same of a list, by its items. */
export function listBytes(items: readonly object[]): number {
  return items.reduce((sum, item) => sum + itemBytes(item), 2 + Math.max(0, items.length - 1));
}

/** By item: none ever changes, and most of a state's were in the state before. */
const measured = new WeakMap<object, number>();

function itemBytes(item: object): number {
  const known = measured.get(item);
  if (known !== undefined) return known;
  const bytes = jsonBytes(item);
  measured.set(item, bytes);
  return bytes;
}
