/**
 * A caller that went away while it waited, and was never told the key of its place: nobody can come back for that, so it is
 * given up at once, and whoever waits behind it goes on.
 */
import { below, targetFor, targetOf } from "../http/named.ts";
import { LOCKS_TOGETHER_MAX } from "../limits.ts";
import type { FailoverParts } from "../client/failover.ts";
import { callerOf, type Outgoing } from "../client/outgoing.ts";

/** Nobody waits for it; what it does not reach lapses by itself. */
const EACH_MS = 1_000;
const NODES_MAX = 2;

/** What would give up the places of a request, as DELETE has it; empty: it has none, or somebody may come back for it. */
export function placesOf(
  request: Request,
  { named, idempotencyKey, waitMs, method, target, said }: Outgoing,
): readonly string[] {
  // With a key of the caller's the place is kept for it until it lapses.
  if (method !== "POST" || idempotencyKey === undefined || request.headers.has("idempotency-key")) return [];
  const queue = `/queue/${encodeURIComponent(idempotencyKey)}`;
  if (named !== null) {
    const isStream = (request.headers.get("accept") ?? "").includes("text/event-stream");
    return named.isWhole && named.noun !== "kv" && (waitMs > 0 || isStream) ? [targetFor(named, queue)] : [];
  }
  if (!/^\/v1\/locks(\?|$)/.test(target)) return [];
  return namesIn(said).map((name) => below(targetOf("locks", name), queue));
}

/** Those that a node may have taken: with others it refuses all. */
function namesIn(said: unknown): readonly string[] {
  const names = (said as { names?: unknown } | null | undefined)?.names;
  if (!Array.isArray(names) || names.length > LOCKS_TOGETHER_MAX) return [];
  const isName = (name: unknown) => typeof name === "string" && name.isWellFormed() && !/^\.{0,2}$/.test(name);
  return names.every(isName) ? names : [];
}

/** Asks the nearest node, and the next if that one fails. Whatever comes of it is nobody's news. */
export async function leave(parts: FailoverParts, places: readonly string[], outgoing: Outgoing): Promise<void> {
  const nodes = (await parts.nearest.order()).slice(0, NODES_MAX);
  await Promise.all(places.map(async (place) => {
    for (const node of nodes) {
      if (await hasLeft(parts, `${node}${place}`, outgoing)) return;
    }
  }));
}

async function hasLeft({ fetch, clock }: FailoverParts, url: string, { headers: given }: Outgoing): Promise<boolean> {
  const headers = callerOf(given);
  const late = new AbortController();
  const cancel = clock.after(EACH_MS, () => late.abort());
  try {
    const response = await fetch(url, { method: "DELETE", headers, redirect: "manual", signal: late.signal });
    await response.body?.cancel();
    // A busy node has not looked at it.
    return response.status < 500 && response.status !== 429;
  } catch {
    return false;
  } finally {
    cancel();
  }
}

/** The stream as it is; `left` is called if its reader goes away before it ends. */
export function untilLeft(body: ReadableStream<Uint8Array>, left: () => Promise<void>): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>({
    pull: async (stream) => {
      const { done, value } = await reader.read();
      if (done) stream.close();
      else stream.enqueue(value);
    },
    cancel: async (reason) => {
      await Promise.allSettled([reader.cancel(reason), left()]);
    },
  }, { highWaterMark: 0 });
}
