/** Requests to the node that this page came from, with the tab's token; streams of events that go on after a break. */

const TOKEN = "quorate-token";
const AGAIN_MS = 1_000;
const AGAIN_MAX_MS = 15_000;

/** What a node refuses a request with. */
export class Problem extends Error {
  constructor(status, { code = "", detail = "" }) {
    super(detail === "" ? `the node answers ${status}` : detail);
    this.status = status;
    this.code = code;
  }
}

/** Called when the node asks for a token, or for another. */
let onUnauthenticated = () => {};
export function askForToken(run) {
  onUnauthenticated = run;
}

export function hasToken() {
  return sessionStorage.getItem(TOKEN) !== null;
}

/** Null forgets it. It is kept for this tab alone, and goes nowhere but into the Authorization header. */
export function keepToken(token) {
  if (token === null) sessionStorage.removeItem(TOKEN);
  else sessionStorage.setItem(TOKEN, token);
}

/** The Response of a request that was not refused. Rejects with Problem, or as fetch does. */
export async function ask(path, { method = "GET", headers = {}, body, signal } = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const all = { ...headers, ...(token === null ? {} : { authorization: `Bearer ${token}` }) };
  const init = { method, headers: all, body, signal, cache: "no-store", credentials: "omit", redirect: "error" };
  const response = await fetch(path, init);
  if (response.ok || response.status === 304) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401) onUnauthenticated();
  throw new Problem(response.status, problem);
}

export async function askJson(path, options) {
  return await (await ask(path, options)).json();
}

/** A write, under a key of its own. */
export async function write(method, path, { headers = {}, body, signal } = {}) {
  const key = { "idempotency-key": crypto.randomUUID() };
  return await ask(path, { method, headers: { ...headers, ...key }, body, signal });
}

/**
 * Tells every batch of events of a stream until `signal` aborts. After a break it goes on behind the last event; a hidden tab
 * lets go of its connection, of which a browser has few to one node.
 * @param {(events: {event: string, data: any}[]) => void} onEvents
 * @param {(state: "live" | "connecting" | "refused", error?: Error) => void} onState
 */
export async function watch(path, signal, onEvents, onState) {
  let last = null;
  let waitMs = AGAIN_MS;
  while (!signal.aborted) {
    await untilVisible(signal);
    if (signal.aborted) return;
    const cut = new AbortController();
    const hide = () => document.hidden && cut.abort();
    document.addEventListener("visibilitychange", hide);
    try {
      const headers = { accept: "text/event-stream", ...(last === null ? {} : { "last-event-id": last }) };
      const response = await ask(path, { headers, signal: AbortSignal.any([signal, cut.signal]) });
      onState("live");
      for await (const events of eventsOf(response.body)) {
        if (events.length === 0) continue;
        last = events.at(-1).id ?? last;
        waitMs = AGAIN_MS;
        onEvents(events);
      }
      if (!signal.aborted) onState("connecting");
    } catch (error) {
      if (signal.aborted) return;
      // Nothing that waiting mends.
      if (error instanceof Problem && error.status < 500 && error.status !== 429) return onState("refused", error);
      if (!cut.signal.aborted) onState("connecting", error);
    } finally {
      document.removeEventListener("visibilitychange", hide);
    }
    if (cut.signal.aborted) continue;
    await pause(waitMs, signal);
    waitMs = Math.min(AGAIN_MAX_MS, waitMs * 2);
  }
}

/** Events of each chunk together. A comment is none. */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      yield blocks.map(eventIn).filter((event) => event !== null);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function eventIn(block) {
  const fields = new Map(
    block.split("\n").map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
    }),
  );
  if (!fields.has("data")) return null;
  return { event: fields.get("event"), id: fields.get("id") ?? null, data: JSON.parse(fields.get("data")) };
}

export function pause(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}

export function untilVisible(signal) {
  return new Promise((resolve) => {
    const done = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    document.addEventListener("visibilitychange", done);
    signal.addEventListener("abort", done);
    done();
  });
}
