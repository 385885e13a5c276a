/** One request, one node after another, until one has said what becomes of it. */
import { isLateStream, lateCode } from "../http/late_stream.ts";
import type { Clock, Nearest } from "./nearest.ts";
import { bornAnew, instanceIn, instanceOf } from "./instances.ts";
import { laterEvents, laterGrant } from "./late_grant.ts";
import { wasNeverSent } from "./never_sent.ts";
import { type Outgoing, passedOn } from "./outgoing.ts";

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export type FailoverParts = { readonly nearest: Nearest; readonly fetch: Fetch; readonly clock: Clock };

/** What a request begins with. */
export type Start = {
  /** Nearest first. */
  readonly nodes: readonly string[];
  /** The instance last seen of the name, for a request that lacks its own. */
  readonly known: number | undefined;
  /** When the caller's request came. */
  readonly startedMs: number;
  /** For a caller that cannot wait as long as others: the next node is asked after so long, or two round trips. */
  readonly silenceMs?: number | undefined;
  /** A second node is asked after so long, and the first is not taken for gone because of that. */
  readonly hedgeMs?: number | undefined;
};

/** What came of it. `response` null: no node gave any answer that can be passed on. */
export type Outcome = {
  readonly response: Response | null;
  /** Which node answered with it, where that says what becomes of the request. */
  readonly node?: string;
  /** A node may have it, or have had it, that has not said what became of it. */
  readonly isUnknown: boolean;
  /** A write that may be applied is applied at most once if it is sent again with this `Quorate-Born`. */
  readonly born: number | undefined;
  /** Nobody waits for it any more, and no node has said what came of it. */
  readonly isGone: boolean;
  /** `response` says that it expired, and every try that was sent is known to have done nothing. */
  readonly isUndone?: true;
};

/** A node that says nothing for so long, or for four of its round trips, may be gone: the next is asked besides. */
const SILENCE_MS = 1_000;
const SILENCE_ROUND_TRIPS = 4;
/** As little as this for whoever cannot wait so long: an answer takes one. */
const SILENCE_MIN_ROUND_TRIPS = 2;
/** Beyond the caller's timeout, for the way of an answer that took all of it. */
const GRACE_MS = 300;
/** A proxy reaches no node, or a node cannot do it now: told on only if no other can. */
const CANNOT: ReadonlySet<number> = new Set([502, 503, 504]);
/** The node did nothing, and says so. */
const NOTHING_DONE: ReadonlySet<unknown> = new Set(["not-ready", "no-quorum", "too-many-streams", "overloaded"]);
/** Refused at the door, as at every node's: it says nothing of what an earlier try came to. */
const AT_THE_DOOR: ReadonlySet<number> = new Set([401, 403, 429]);

type End =
  /** `isFinal`: decided, or read and nothing to decide. What a read refused another try may still be granted. */
  | { readonly type: "answered"; readonly response: Response; readonly isFinal: boolean }
  /** This try did nothing, as it was born before what the node still knows of. `instance`: of the name, if it is told. */
  | { readonly type: "expired"; readonly response: Response; readonly instance: number | undefined }
  /** `isUnknown`: this node, or what stands before it, may have done it all the same. `isForAll`: no other is to be asked. */
  | {
    readonly type: "declined";
    readonly response: Response;
    readonly isUnknown: boolean;
    readonly isForAll: boolean;
    /** What the node says of when it took the command for born. */
    readonly born?: number | undefined;
  }
  | { readonly type: "silent"; readonly isUnknown: boolean };

type Try = { readonly node: string; readonly abort: AbortController; readonly end: Promise<Turn> };
/** What happens next: a try ends, the newest has been silent for long, or nobody waits any more. */
type Turn =
  | { readonly type: "end"; readonly node: string; readonly end: End }
  | { readonly type: "next"; readonly node: string; readonly isHedge: boolean }
  | { readonly type: "over" };

/**
 * A try that is silent goes on while the next node is asked: who answers first answers the caller, and it is the same
 * answer, as they bear one Idempotency-Key. The others are cancelled.
 *
 * @param gone aborts when the caller is
 */
export async function askInTurn(
  parts: FailoverParts,
  outgoing: Outgoing,
  { nodes, known, startedMs, silenceMs, hedgeMs = Infinity }: Start,
  gone: AbortSignal,
): Promise<Outcome> {
  const { nearest, clock } = parts;
  const { timeoutMs, waitMs, mayRepeat, lacksBorn } = outgoing;
  // The same for all tries, so that none is applied after another was forgotten.
  let born = lacksBorn ? known : outgoing.born;
  let expiries = 0;
  let isOver = () => {};
  const over = new Promise<Turn>((resolve) => isOver = () => resolve({ type: "over" }));
  const cancelOver = clock.after(timeoutMs + waitMs + GRACE_MS, isOver);
  gone.addEventListener("abort", isOver, { once: true });
  if (gone.aborted) isOver();
  const left = [...nodes];
  const underWay = new Map<string, Try>();
  let silence: Promise<Turn> = never();
  let cancelSilence = () => {};
  let asked = 0;
  let isGone = false;
  let refused: Response | null = null;
  let declined: Response | null = null;
  let expired: Response | null = null;
  let isUnknown = false;

  const ask = (node: string | undefined) => {
    cancelSilence();
    silence = never();
    if (node === undefined) return;
    asked++;
    underWay.set(node, startTry(parts, node, lacksBorn ? bornAt(outgoing, born) : outgoing, clock.now() - startedMs));
    // Who waits may rightly hear nothing for as long as that.
    if (waitMs > 0 || !mayRepeat) return;
    const rttMs = nearest.rttMs(node);
    const patienceMs = silenceMs === undefined
      ? Math.max(SILENCE_MS, SILENCE_ROUND_TRIPS * rttMs)
      : Math.max(silenceMs, SILENCE_MIN_ROUND_TRIPS * rttMs);
    const isHedge = asked === 1 && hedgeMs < patienceMs;
    silence = new Promise((resolve) =>
      cancelSilence = clock.after(
        isHedge ? hedgeMs : patienceMs,
        () => resolve({ type: "next", node, isHedge }),
      )
    );
  };

  // What may have been done must not be done again.
  const askNext = () => ask(isUnknown && !mayRepeat ? undefined : left.shift());

  try {
    if (!gone.aborted) askNext();
    while (underWay.size > 0) {
      const turn = await Promise.race([...[...underWay.values()].map(({ end }) => end), silence, over]);
      if (turn.type === "over") {
        isGone = gone.aborted;
        break;
      }
      if (turn.type === "end") {
        const { node, end } = turn;
        underWay.delete(node);
        if (end.type === "answered") {
          // The client must not hold what it was told it has not: a try that nothing is known of may yet be granted it.
          if (end.isFinal || (underWay.size === 0 && !isUnknown)) {
            return { response: end.response, node, isUnknown: false, born, isGone: false };
          }
          refused = end.response;
          left.length = 0;
        } else if (end.type === "expired") {
          const isAlone = underWay.size === 0 && !isUnknown && refused === null && expired === null;
          if (lacksBorn && born !== undefined && isAlone) {
            // Nothing was done by any try, so this one may be born anew.
            born = bornAnew(born, end.instance, ++expiries);
            ask(node);
            continue;
          }
          // What another try may still be told is worth more. Who said nothing of a first try is not told that it expired.
          if (lacksBorn) isUnknown = true;
          else expired ??= end.response;
          left.length = 0;
        } else {
          // As the only node that may have it knows best; the others are told the same.
          if (lacksBorn && end.type === "declined" && underWay.size === 0 && !isUnknown) born ??= end.born;
          isUnknown ||= end.isUnknown;
          // Whoever watches bears nothing but a stream: what a proxy says of another node is worth less.
          const isLate = declined !== null && isLateStream(declined);
          if (end.type === "declined" && (!isLate || isLateStream(end.response))) declined = end.response;
          if (end.type === "declined" && end.isForAll) left.length = 0;
          else nearest.noteFailed(node);
        }
      } else if (!turn.isHedge) nearest.noteFailed(turn.node);
      askNext();
    }
    if (expired !== null) {
      const isUndone = !isUnknown && underWay.size === 0 && refused === null;
      // It says itself that the outcome is unknown.
      return { response: expired, isUnknown: false, born, isGone, ...(isUndone ? { isUndone } : {}) };
    }
    return { response: refused ?? declined, isUnknown: isUnknown || underWay.size > 0, born, isGone };
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

function bornAt(outgoing: Outgoing, instance: number | undefined): Outgoing {
  if (instance === undefined) return outgoing;
  const headers = new Headers(outgoing.headers);
  headers.set("quorate-born", `${instance}`);
  return { ...outgoing, headers };
}

function startTry(parts: FailoverParts, node: string, outgoing: Outgoing, lateMs: number): Try {
  const abort = new AbortController();
  const end = tryNode(parts.fetch, node, outgoing, lateMs, abort.signal);
  return { node, abort, end: end.then((end) => ({ type: "end", end, node })) };
}

/**
 * A node says the times of a grant from when it was asked, and its caller asked earlier. Copies of a hedged request count
 * from the first of them, which may have been sent elsewhere: there is nothing to add.
 */
function isTimed({ method, headers }: Outgoing): boolean {
  return (method === "POST" || method === "PUT") && !headers.has("quorate-hedge");
}

async function tryNode(
  fetch: Fetch,
  node: string,
  outgoing: Outgoing,
  lateMs: number,
  signal: AbortSignal,
): Promise<End> {
  const { method, target, headers, body } = outgoing;
  let response: Response;
  try {
    response = await fetch(`${node}${target}`, { method, headers, body, redirect: "manual", signal });
  } catch (error) {
    return { type: "silent", isUnknown: !wasNeverSent(error) };
  }
  const { status } = response;
  try {
    if (isLateStream(response)) {
      const text = await response.text();
      const isForAll = lateCode(text) === "rate-limited";
      return { type: "declined", response: answerOf(response, text), isUnknown: false, isForAll };
    }
    if (isStream(response)) {
      const events = isTimed(outgoing) && response.body !== null ? laterEvents(response.body, lateMs) : response.body;
      return { type: "answered", response: answerOf(response, events), isFinal: true };
    }
    // Taken whole before any of it is passed on: one that breaks off is no answer yet, and the next node has it.
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (CANNOT.has(status)) {
      const { code, born } = problemIn(bytes);
      const isUnknown = !NOTHING_DONE.has(code);
      const told = code === "outcome-unknown" ? instanceOf(`${born}`) : undefined;
      return { type: "declined", response: answerOf(response, bytes), isUnknown, isForAll: false, born: told };
    }
    if (AT_THE_DOOR.has(status)) {
      return { type: "declined", response: answerOf(response, bytes), isUnknown: false, isForAll: true };
    }
    if (status === 409 && problemIn(bytes).code === "expired-command") {
      return { type: "expired", response: answerOf(response, bytes), instance: instanceIn(response.headers) };
    }
    const later = status === 200 && isTimed(outgoing) ? laterGrant(bytes, lateMs) : null;
    const isFinal = status !== 409 || response.headers.get("consensus-path") !== "read";
    return { type: "answered", response: answerOf(response, later ?? bytes), isFinal };
  } catch {
    return { type: "silent", isUnknown: true };
  }
}

export function isStream({ headers }: Response): boolean {
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
  // A HEAD and a 304 have none, whatever their headers say of one.
  const isEmpty = body instanceof Uint8Array && body.length === 0;
  const shown = Object.fromEntries([...headers].map(([name, value]) => [shownName(name), value]));
  return new Response(isEmpty ? null : body, { status, headers: shown });
}

/** As a node writes it, for people who look for it: fetch has made it small. */
function shownName(name: string): string {
  return NAMES.get(name) ?? name.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase());
}

const NAMES: ReadonlyMap<string, string> = new Map([["etag", "ETag"], ["www-authenticate", "WWW-Authenticate"]]);

function problemIn(bytes: Uint8Array): { readonly code?: unknown; readonly born?: unknown } {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) ?? {};
  } catch {
    return {};
  }
}
