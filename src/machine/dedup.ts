/**
 * The window that makes a command happen once (PROTOCOL.md §6): a list of entries, oldest first, each
 * key (16 hex) body (8 hex) outcome (1 letter) instance (base 36) and `,`-separated numbers of the result; `|` and a tag behind
 * it say whose it is. No clock in it, and no lookup by anything but the key.
 */
import { decodeResult, encodeResult, type Kept } from "./result_code.ts";
import type { Op } from "./op.ts";

/** Hex digest of a text; SHA-256, passed in. */
export type Digest = (text: string) => string;

const KEY_HEX = 16;
const BODY_HEX = 8;
const TAG_HEX = 6;
/** Where the instance begins, behind the letter. */
const NUMBERS_AT = KEY_HEX + BODY_HEX + 1;
/** Around an entry in a list: two quotes and a comma. */
export const ENTRY_FRAME_BYTES = 3;
/** Key, body, letter, an instance below 2^53 in base 36, two numbers of at most 20 digits with commas, `|` and a tag. */
export const ENTRY_MAX_BYTES = ENTRY_FRAME_BYTES + KEY_HEX + BODY_HEX + 1 + 11 + 2 * 21 + 1 + TAG_HEX;

/** Whose entries bear no tag: those that rules of version 1 made. */
export const NO_TAG = "";
/** Marks commands that may be repeated at any time: their entries stand for the newest instances only. */
export const REPEATABLE_TAG = "~";

/** The instance of the newest entry that left the window, for the entries with one tag. */
export type Floor = readonly [tag: string, instance: number];

export type Window = {
  items: readonly string[];
  /** The newest instance of an entry that left and whose tag has no floor of its own. */
  evicted: number;
  floors: readonly Floor[];
  /** Entries of the instance that is being applied. */
  added: number;
};

export type Entry = { readonly body: string; readonly instance: number; readonly result: Kept };

/** Names one command; also the id of the place it waits in and of the hold it leads to. */
export function commandKey(digest: Digest, subject: string, id: string): string {
  return digest(`${subject}\0${id}`).slice(0, KEY_HEX);
}

/** Whose a command is, for the window. */
export function subjectTag(digest: Digest, subject: string): string {
  return digest(`\0${subject}`).slice(0, TAG_HEX);
}

/**
 * A digest of what the command asks, without what a retry may say differently: its label, which node waits for it, and which
 * asking it is. `op` comes from `readOp`, which fixes the order of its fields.
 */
export function bodyOf(digest: Digest, op: Op): string {
  const { atMs: _label, wait: _node, ask: _which, ...asked } = op as Op & {
    readonly atMs?: number;
    readonly wait?: unknown;
    readonly ask?: string;
  };
  return digest(JSON.stringify(asked)).slice(0, BODY_HEX);
}

/** Whether a later repetition may be applied anew: it changes nothing, or only what its sender asks for again. */
export function isRepeatable(op: Op): boolean {
  switch (op.type) {
    case "renew":
      // The one that stands for an answer says so to whoever comes late.
      return op.answers === undefined;
    case "proclaim":
      // With a value it is a write: applied late it would undo a newer one.
      return op.value === undefined;
    case "release":
    case "leave":
    case "keep-places":
    case "keep":
    case "bind":
    case "unbind":
    case "end-session":
      return true;
    default:
      return false;
  }
}

/** A command with this tag that has no entry, and was born at this instance or before, may have been applied. */
export function floorOf({ evicted, floors }: Pick<Window, "evicted" | "floors">, tag: string): number {
  return floors.find(([other]) => other === tag)?.[1] ?? evicted;
}

export function openWindow(items: readonly string[], evicted: number, floors: readonly Floor[] = []): Window {
  return { items, evicted, floors, added: 0 };
}

export function findEntry(items: readonly string[], key: string): Entry | null {
  // What was refused and asked for anew has two: the newer counts.
  const first = key.charCodeAt(0);
  for (let i = items.length - 1; i >= 0; i--) {
    const item = items[i]!;
    // The whole key is looked at in one of sixteen.
    if (item.charCodeAt(0) === first && item.startsWith(key)) return readEntry(item);
  }
  return null;
}

export function addEntry(
  window: Window,
  tag: string,
  key: string,
  body: string,
  instance: number,
  result: Kept,
): void {
  const [letter, ...numbers] = encodeResult(result);
  const item = itemOf(`${key}${body}${letter}${[instance.toString(36), ...numbers].join(",")}`, tag);
  // A list that is spread has room for more, in every state that is kept.
  window.items = window.items.concat([item]);
  window.added++;
}

export function itemOf(entry: string, tag: string): string {
  return tag === NO_TAG ? entry : `${entry}|${tag}`;
}

export function tagOf(item: string): string {
  const at = item.lastIndexOf("|");
  return at < 0 ? NO_TAG : item.slice(at + 1);
}

/** Without its tag. */
export function entryOf(item: string): string {
  const at = item.lastIndexOf("|");
  return at < 0 ? item : item.slice(0, at);
}

function readEntry(item: string): Entry {
  const entry = entryOf(item);
  const [instance = "", a = "", b = ""] = entry.slice(NUMBERS_AT).split(",");
  return {
    body: entry.slice(KEY_HEX, KEY_HEX + BODY_HEX),
    instance: parseInt(instance, 36),
    result: decodeResult(entry.charAt(KEY_HEX + BODY_HEX), entry.slice(0, KEY_HEX), a, b),
  };
}

/** The instance alone: what ends it, a comma or a bar, is no digit. */
export function instanceIn(item: string): number {
  return parseInt(item.slice(NUMBERS_AT), 36);
}
