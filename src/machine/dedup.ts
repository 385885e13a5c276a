/**
 * The window that makes a command happen once (PROTOCOL.md §6): one text of entries, oldest first, each
 * `;` key (16 hex) body (8 hex) outcome (1 letter) instance (base 36) and `,`-separated numbers of the result.
 * No clock in it, and no lookup by anything but the key.
 */
import { DEDUP_WINDOW } from "../limits.ts";
import { assert, unreachable } from "../assert.ts";
import type { Op, Result } from "./op.ts";

/** Hex digest of a text; SHA-256, passed in. */
export type Digest = (text: string) => string;

const KEY_HEX = 16;
const BODY_HEX = 8;
/** `;`, key, body, letter, an instance below 2^53 in base 36, two numbers of at most 20 digits with their commas. */
export const ENTRY_MAX_BYTES = 1 + KEY_HEX + BODY_HEX + 1 + 11 + 2 * 21;

export type Window = {
  text: string;
  /** The highest instance of an entry that left. */
  evicted: number;
  /** Entries of the instance that is being applied. */
  added: number;
};

/** Outcomes that stay: the others are told again from the state itself, or change nothing by being repeated. */
export type Kept = Exclude<
  Result,
  { readonly outcome: "kept" | "expired-command" | "idempotency-mismatch" | "unknown-op" }
>;

export type Entry = { readonly body: string; readonly instance: number; readonly result: Kept };

/** Of one command; also the id of the place it waits in and of the hold it leads to. */
export function commandKey(digest: Digest, subject: string, id: string): string {
  return digest(`${subject}\0${id}`).slice(0, KEY_HEX);
}

/**
 * Of what the command asks, without what a retry may say differently: its label, and which node waits for it.
 * `op` comes from `readOp`, which fixes the order of its fields.
 */
export function bodyOf(digest: Digest, op: Op): string {
  const { atMs: _label, wait: _node, ...asked } = op as Op & { readonly atMs?: number; readonly wait?: unknown };
  return digest(JSON.stringify(asked)).slice(0, BODY_HEX);
}

export function openWindow(text: string, evicted: number): Window {
  return { text, evicted, added: 0 };
}

export function findEntry(text: string, key: string): Entry | null {
  // `;` stands nowhere but before a key, so a key is never found inside another entry.
  const start = text.indexOf(`;${key}`);
  if (start < 0) return null;
  const end = text.indexOf(";", start + 1);
  return readEntry(text.slice(start + 1, end < 0 ? undefined : end));
}

export function addEntry(window: Window, key: string, body: string, instance: number, result: Kept): void {
  const [letter, ...numbers] = encode(result);
  window.text += `;${key}${body}${letter}${[instance.toString(36), ...numbers].join(",")}`;
  window.added++;
}

/**
 * What stays after an instance: all that it added, since its commands' results are read from there, and the last
 * DEDUP_WINDOW of before. It happens once, at the end: a command that lost instance I finds, when it is
 * applied at I+1, nothing of I evicted yet, and so is never called expired for having lost once.
 */
export function trimWindow(window: Window): { readonly text: string; readonly evicted: number } {
  // A value that only repeats what was decided leaves the state as it was.
  if (window.added === 0) return window;
  const older = countEntries(window.text) - window.added;
  if (older <= DEDUP_WINDOW) return window;
  const entries = window.text.split(";").slice(1);
  const last = entries[older - DEDUP_WINDOW - 1];
  assert(last !== undefined, "there is an entry to evict");
  const stay = entries.slice(older - DEDUP_WINDOW);
  // Entries stand in the order of their instances, so the last to go is the highest.
  return { text: `;${stay.join(";")}`, evicted: readEntry(last).instance };
}

function countEntries(text: string): number {
  let count = 0;
  for (let at = text.indexOf(";"); at >= 0; at = text.indexOf(";", at + 1)) count++;
  return count;
}

function readEntry(entry: string): Entry {
  const head = KEY_HEX + BODY_HEX;
  const [instance = "", a = "", b = ""] = entry.slice(head + 1).split(",");
  return {
    body: entry.slice(KEY_HEX, head),
    instance: parseInt(instance, 36),
    result: decode(entry.charAt(head), entry.slice(0, KEY_HEX), a, b),
  };
}

function encode(result: Kept): readonly [letter: string, ...numbers: (string | number)[]] {
  switch (result.outcome) {
    case "granted":
      return ["g", result.fence, result.ttlMs];
    case "renewed":
      return ["r", result.fence, result.ttlMs];
    case "queued":
      return ["q", result.position];
    case "forced-all":
      return ["F", result.count];
    case "lost":
      return ["l", result.fence];
    case "released":
      return ["d", result.fence];
    case "already-released":
      return ["a", result.fence];
    case "taken-over":
      return ["t", result.fence];
    case "forced":
      return ["f", result.fence];
    case "ended":
      return ["e", result.fence];
    case "never-granted":
      return ["n", result.fence];
    case "held":
      return ["h"];
    case "cooling":
      return ["c"];
    case "queue-full":
      return ["Q"];
    case "left":
      return ["v"];
    case "too-large":
      return ["L"];
    case "limit-mismatch":
      return ["m", result.limit];
    case "opened":
      return ["s", result.ttlMs];
    case "session-kept":
      return ["k", result.ttlMs];
    case "bound":
      return ["B", result.ttlMs];
    case "unbound":
      return ["u"];
    case "closed":
      return ["C"];
    case "no-session":
      return ["N"];
    case "session-ended":
      return ["E"];
    case "freed":
      return ["R", result.count];
    case "is-bound":
      return ["i", result.fence];
    case "written":
      return ["w", result.revision];
    case "deleted":
      return ["x", result.revision];
    case "absent":
      return ["o", result.revision];
    case "precondition-failed":
      return ["p", result.revision];
    case "fence-too-low":
      return ["b", result.fence];
    default:
      return unreachable(result);
  }
}

function decode(letter: string, key: string, a: string, b: string): Kept {
  switch (letter) {
    case "g":
      return { outcome: "granted", fence: a, ttlMs: Number(b) };
    case "r":
      return { outcome: "renewed", fence: a, ttlMs: Number(b) };
    case "q":
      return { outcome: "queued", place: key, position: Number(a) };
    case "F":
      return { outcome: "forced-all", count: Number(a) };
    case "l":
      return { outcome: "lost", fence: a };
    case "d":
      return { outcome: "released", fence: a };
    case "a":
      return { outcome: "already-released", fence: a };
    case "t":
      return { outcome: "taken-over", fence: a };
    case "f":
      return { outcome: "forced", fence: a };
    case "e":
      return { outcome: "ended", fence: a };
    case "n":
      return { outcome: "never-granted", fence: a };
    case "h":
      return { outcome: "held" };
    case "c":
      return { outcome: "cooling" };
    case "Q":
      return { outcome: "queue-full" };
    case "v":
      return { outcome: "left" };
    case "L":
      return { outcome: "too-large" };
    case "m":
      return { outcome: "limit-mismatch", limit: Number(a) };
    case "s":
      return { outcome: "opened", ttlMs: Number(a) };
    case "k":
      return { outcome: "session-kept", ttlMs: Number(a) };
    case "B":
      return { outcome: "bound", ttlMs: Number(a) };
    case "u":
      return { outcome: "unbound" };
    case "C":
      return { outcome: "closed" };
    case "N":
      return { outcome: "no-session" };
    case "E":
      return { outcome: "session-ended" };
    case "R":
      return { outcome: "freed", count: Number(a) };
    case "i":
      return { outcome: "is-bound", fence: a };
    case "w":
      return { outcome: "written", revision: a };
    case "x":
      return { outcome: "deleted", revision: a };
    case "o":
      return { outcome: "absent", revision: a };
    case "p":
      return { outcome: "precondition-failed", revision: a };
    case "b":
      return { outcome: "fence-too-low", fence: a };
  }
  assert(false, `the dedup window has an outcome "${letter}"`);
}
