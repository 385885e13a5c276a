/** Results as the dedup window keeps them: a letter for the outcome, and at most two numbers. */
import { assert, unreachable } from "../assert.ts";
import type { Result } from "./op.ts";

/** Told again from the state itself, or changing nothing by being repeated. */
const NOT_KEPT = ["kept", "expired-command", "idempotency-mismatch", "unknown-op"] as const;

/** Outcomes that stay. */
export type Kept = Exclude<Result, { readonly outcome: typeof NOT_KEPT[number] }>;

export function isKept(result: Result): result is Kept {
  return !NOT_KEPT.some((outcome) => outcome === result.outcome);
}

/** One short text, as nodes tell each other what a command came to. */
export function writeResult(result: Kept): string {
  const [letter, ...numbers] = encodeResult(result);
  return letter + numbers.join(",");
}

/** Null: no result. @param place what `queued` is about */
export function readResult(text: string, place: string): Kept | null {
  const match = /^([a-zA-Z])((?:[0-9]{1,20})?)(?:,([0-9]{1,20}))?$/.exec(text);
  if (match === null) return null;
  const [, letter = "", a = "", b = ""] = match;
  try {
    const result = decodeResult(letter, place, a, b);
    // Only what would be written so: a number that is missing, or one too many, is no result.
    const numbers = encodeResult(result).slice(1);
    return writeResult(result) === text && numbers.every((number) => `${number}` !== "") ? result : null;
  } catch {
    return null;
  }
}

export function encodeResult(result: Kept): readonly [letter: string, ...numbers: (string | number)[]] {
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

export function decodeResult(letter: string, key: string, a: string, b: string): Kept {
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
