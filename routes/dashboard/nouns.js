/** What the lists and pages show of each noun: where it is under /v1, and one shape for all of them. */
import { bytes } from "./dom.js";

/**
 * @typedef {{name: string, state: string, who: string, number: string, more: string, waiters: number | null,
 *   lapsesInMs: number | null}} Row
 * `lapsesInMs`: of the hold that ends first; null where nothing ends by itself, or nobody knows.
 */

const granted = (more) => ({ name, state, holders, lastFence, waiterCount, ...rest }) => ({
  name,
  state,
  who: holders.map(({ holder }) => holder).join(", "),
  number: lastFence,
  more: more({ holders, ...rest }),
  waiters: waiterCount,
  lapsesInMs: holders.length === 0 ? null : Math.min(...holders.map(({ lapsesInMs }) => lapsesInMs)),
});

export const NOUNS = {
  locks: {
    noun: "lock",
    title: "Locks",
    isHeld: true,
    field: "name",
    states: ["held", "cooling", "free"],
    heads: { who: "Holder", number: "Fence", more: "Mode", waiters: "Waiting" },
    row: granted(({ holders }) => holders[0]?.mode ?? ""),
  },
  elections: {
    noun: "election",
    title: "Elections",
    isHeld: true,
    field: "name",
    states: ["led", "free"],
    heads: { who: "Leader", number: "Term", more: "Says", waiters: "Waiting" },
    row: ({ name, leader, lastTerm, waiterCount }) => ({
      name,
      state: leader === null ? "free" : "led",
      who: leader?.candidate ?? "",
      number: lastTerm,
      more: leader?.value ?? "",
      waiters: waiterCount,
      lapsesInMs: leader?.lapsesInMs ?? null,
    }),
  },
  semaphores: {
    noun: "semaphore",
    title: "Semaphores",
    isHeld: true,
    field: "name",
    states: ["held", "cooling", "free"],
    heads: { who: "Holders", number: "Fence", more: "Free permits", waiters: "Waiting" },
    row: granted(({ available, limit }) => limit === null ? "" : `${available} of ${limit}`),
  },
  kv: {
    noun: "kv",
    title: "Registers",
    field: "key",
    states: ["kept", "ephemeral"],
    heads: { who: "Content type", number: "Revision", more: "Size" },
    /** Events bring the value, pages its size. */
    row: ({ key, revision, contentType, sizeBytes, value, ttlMs, session, lapsesInMs }) => ({
      name: key,
      state: ttlMs === undefined && session === undefined ? "kept" : "ephemeral",
      who: contentType,
      number: revision,
      more: bytes(sizeBytes ?? sizeOfBase64(value)),
      waiters: null,
      lapsesInMs: lapsesInMs ?? null,
    }),
  },
  sessions: {
    noun: "session",
    title: "Sessions",
    field: "id",
    states: ["open"],
    heads: { who: "Holder", number: "Revision", more: "Bound names" },
    row: ({ id, holder, revision, bound, lapsesInMs }) => ({
      name: id,
      state: "open",
      who: holder,
      number: revision,
      more: String(bound.length),
      waiters: null,
      lapsesInMs,
    }),
  },
};

/** The path of one, with `/more` of it. In the query, where every name there can be is written alike. */
export function pathOf(path, name, more = "") {
  if (path === "sessions") return `/v1/sessions/${encodeURIComponent(name)}${more}`;
  return `/v1/${path}/-${more}?${NOUNS[path].field}=${encodeURIComponent(name)}`;
}

/** Behind the #, which no request carries. */
export function linkTo(path, name) {
  return `#/${path}/${encodeURIComponent(name)}`;
}

/** In the order of lists: that of UTF-8, which UTF-16's own is not above U+D7FF. */
export function isAfter(name, other) {
  const left = [...name];
  const right = [...other];
  const at = left.findIndex((char, i) => char !== right[i]);
  if (at < 0) return false;
  return at >= right.length || left[at].codePointAt(0) > right[at].codePointAt(0);
}

function sizeOfBase64(text = "") {
  return text.length / 4 * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0);
}
