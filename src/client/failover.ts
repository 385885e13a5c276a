/** One request, one node after another, until one has said what becomes of it. */
import type { Clock, Nearest } from "./nearest.ts";
import { laterGrant } from "./late_grant.ts";
import { wasNeverSent } from "./never_sent.ts";
import { type Outgoing, passedOn } from "./outgoing.ts";

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export type FailoverParts = { readonly nearest: Nearest; readonly fetch: Fetch; readonly clock: Clock };

/** What came of it. `response` null: no node gave any answer that can be passed on. */
export type Outcome = {
  readonly response: Response | null;
  /** A node may have it, or have had it, that has not said what became of it. */
  readonly isUnknown: boolean;
};

/** A node that says nothing for so long, or for four of its round trips, may be gone: the next is asked besides. */
const SILENCE_MIN_MS = 1_000;
const SILENCE_ROUND_TRIPS = 4;
/** Beyond the caller's timeout, for the way of an answer that took all of it. */
const GRACE_MS = 300;
/** Of a proxy that reaches no node, and of a node that cannot do it now: told on only if no other can. */
const CANNOT: ReadonlySet<number> = new Set([502, 503, 504]);
/** Of a node that did nothing, and says so. */
const NOTHING_DONE: ReadonlySet<unknown> = new Set(["not-ready", "no-quorum", "too-many-streams"]);
/** Refused at the door, as at every node's: it says nothing of what an earlier try came to. */
const AT_THE_DOOR: ReadonlySet<number> = new Set([401, 403, 429]);

type End =
  /** `isFinal`: decided, or read and nothing to decide. What a read refused another try may still be granted. */
  | { readonly type: "answered"; readonly response: Response; readonly isFinal: boolean }
  /** `isUnknown`: this node, or what stands before it, may have done it all the same. `isForAll`: no other is to be asked. */
  | { readonly type: "declined"; readonly response: Response; readonly isUnknown: boolean; readonly isForAll: boolean }
  | { readonly type: "silent"; readonly isUnknown: boolean };

type Try = { readonly node: string; readonly abort: AbortController; readonly end: Promise<Turn> };
/** What happens next: a try ends, the newest has been silent for long, or nobody waits any more. */
type Turn =
  | { readonly type: "end"; readonly node: string; readonly end: End }
  | { readonly type: "next"; readonly node: string }
  | { readonly type: "over" };

/**
 * A try that is silent goes on while the next node is asked: who answers first answers the caller, and it is the same
 * answer, as they bear one Idempotency-Key. The others are cancelled.
 *
 * @param startedMs when the caller's request came
 * @param gone aborts when the caller is
 */
export async function askInTurn(
  parts: FailoverParts,
  outgoing: Outgoing,
  startedMs: number,
  gone: AbortSignal,
): Promise<Outcome> {
  const { nearest, clock } = parts;
  const { timeoutMs, waitMs, mayRepeat } = outgoing;
  let isOver = () => {};
  const over = new Promise<Turn>((resolve) => isOver = () => resolve({ type: "over" }));
  const cancelOver = clock.after(timeoutMs + waitMs + GRACE_MS, isOver);
  gone.addEventListener("abort", isOver, { once: true });
  if (gone.aborted) isOver();
  const left = [...await nearest.order()];
  const underWay = new Map<string, Try>();
  let silence: Promise<Turn> = never();
  let cancelSilence = () => {};
  let isFirst = true;
  let refused: Response | null = null;
  let declined: Response | null = null;
  let isUnknown = false;

  const askNext = () => {
    cancelSilence();
    silence = never();
    // What may have been done must not be done again.
    const node = isUnknown && !mayRepeat ? undefined : left.shift();
    if (node === undefined) return;
    underWay.set(node, startTry(parts, node, outgoing, isFirst ? 0 : clock.now() - startedMs));
    isFirst = false;
    // Who waits may rightly hear nothing for as long as that.
    if (waitMs > 0 || !mayRepeat) return;
    const silenceMs = Math.max(SILENCE_MIN_MS, SILENCE_ROUND_TRIPS * nearest.rttMs(node));
    silence = new Promise((resolve) => cancelSilence = clock.after(silenceMs, () => resolve({ type: "next", node })));
  };

  try {
    askNext();
    while (underWay.size > 0) {
      const turn = await Promise.race([...[...underWay.values()].map(({ end }) => end), silence, over]);
      if (turn.type === "over") break;
      if (turn.type === "end") {
        const { node, end } = turn;
        underWay.delete(node);
        if (end.type === "answered") {
          // The client must not hold what it was told it has not: a try that is still under way may yet be granted it.
          if (end.isFinal || underWay.size === 0) return { response: end.response, isUnknown: false };
          refused = end.response;
          left.length = 0;
        } else {
          isUnknown ||= end.isUnknown;
          if (end.type === "declined") declined = end.response;
          if (end.type === "declined" && end.isForAll) left.length = 0;
          else nearest.noteFailed(node);
        }
      } else nearest.noteFailed(turn.node);
      askNext();
    }
    return { response: refused ?? declined, isUnknown: refused === null && (isUnknown || underWay.size > 0) };
  } finally {
    cancelOver();
    cancelSilence();
    gone.removeEventListener("abort", isOver);
    for (const { abort } of underWay.values()) abort.abort();
  }
}

/** A new one each time: one for all would keep whatever raced it. */
function never(): Promise<never> {
  return new Promise(() => {});
}

function startTry(parts: FailoverParts, node: string, outgoing: Outgoing, lateMs: number): Try {
  const abort = new AbortController();
  const end = tryNode(parts.fetch, node, outgoing, lateMs, abort.signal);
  return { node, abort, end: end.then((end) => ({ type: "end", end, node })) };
}

async function tryNode(
  fetch: Fetch,
  node: string,
  { method, target, headers, body }: Outgoing,
  lateMs: number,
  signal: AbortSignal,
): Promise<End> {
  let response: Response;
  try {
    response = await fetch(`${node}${target}`, { method, headers, body, redirect: "manual", signal });
  } catch (error) {
    return { type: "silent", isUnknown: !wasNeverSent(error) };
  }
  const { status } = response;
  try {
    if (isStream(response)) return { type: "answered", response: answerOf(response, response.body), isFinal: true };
    // Taken whole before any of it is passed on: one that breaks off is no answer yet, and the next node has it.
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (CANNOT.has(status)) {
      const isUnknown = !NOTHING_DONE.has(codeOf(bytes));
      return { type: "declined", response: answerOf(response, bytes), isUnknown, isForAll: false };
    }
    if (AT_THE_DOOR.has(status)) {
      return { type: "declined", response: answerOf(response, bytes), isUnknown: false, isForAll: true };
    }
    const later = lateMs > 0 && status === 200 && method === "POST" ? laterGrant(bytes, lateMs) : null;
    const isFinal = status !== 409 || response.headers.get("consensus-path") !== "read";
    return { type: "answered", response: answerOf(response, later ?? bytes), isFinal };
  } catch {
    return { type: "silent", isUnknown: true };
  }
}

function isStream({ headers }: Response): boolean {
  return (headers.get("content-type") ?? "").startsWith("text/event-stream");
}

function answerOf({ status, headers: given }: Response, body: BodyInit | null): Response {
  const headers = passedOn(given);
  // Nobody was asked to pack it. If somebody did, fetch may have unpacked it, and then it is not so long any more.
  const isAsSent = body instanceof Uint8Array && headers.get("content-length") === `${body.length}`;
  if (headers.has("content-encoding") && !isAsSent) {
    headers.delete("content-encoding");
    headers.delete("content-length");
  }
  if (typeof body === "string") headers.delete("content-length");
  // Of a HEAD or a 304 there is none, whatever its headers say of one.
  const isEmpty = body instanceof Uint8Array && body.length === 0;
  const shown = Object.fromEntries([...headers].map(([name, value]) => [shownName(name), value]));
  return new Response(isEmpty ? null : body, { status, headers: shown });
}

/** As a node writes it, for people who look for it: fetch has made it small. */
function shownName(name: string): string {
  return NAMES.get(name) ?? name.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase());
}

const NAMES: ReadonlyMap<string, string> = new Map([["etag", "ETag"], ["www-authenticate", "WWW-Authenticate"]]);

function codeOf(bytes: Uint8Array): unknown {
  try {
    return (JSON.parse(new TextDecoder().decode(bytes)) as { code?: unknown } | null)?.code;
  } catch {
    return undefined;
  }
}
