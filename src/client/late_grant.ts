/**
 * The times of a grant, as a caller counts them from its own send.
 *
 * A node counts from when *it* was asked, and says in `waitedMs` how much later than that its two bounds begin (PROTOCOL.md
 * §7). What went by between the caller's request and the try that is answered comes before: it is added to `waitedMs` and
 * to nothing else. Without it the bounds would begin, and end, too early, which is safe; after a long wait at a first node
 * the grant would look over when it comes.
 */
import { asciiJson } from "../http/ascii_json.ts";
import { DRIFT } from "../limits.ts";

/** An event that is larger goes through as it is: one about a grant never is. */
const EVENT_MAX_CHARS = 64 * 1024;

/** The body of a 200 as the caller may read it; null: as it is. `lateMs`: from the caller's request to this try. */
export function laterGrant(body: Uint8Array, lateMs: number): string | null {
  const addMs = countedMs(lateMs);
  const later = addMs === 0 ? null : laterSaid(new TextDecoder().decode(body), addMs);
  return later === null ? null : JSON.stringify(later);
}

/** The same of a stream: what its `granted` says. Other events, and whatever is no event, come through as they are. */
export function laterEvents(body: ReadableStream<Uint8Array>, lateMs: number): ReadableStream<Uint8Array> {
  const addMs = countedMs(lateMs);
  if (addMs === 0) return body;
  let begun = "";
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const encoder = new TextEncoder();
  return body.pipeThrough(
    new TransformStream({
      transform: (chunk, stream) => {
        begun += decoder.decode(chunk, { stream: true });
        const end = begun.length > EVENT_MAX_CHARS ? begun.length : begun.lastIndexOf("\n\n") + 2;
        if (end < 2) return;
        stream.enqueue(
          encoder.encode(begun.slice(0, end).split("\n\n").map((event) => laterEvent(event, addMs)).join("\n\n")),
        );
        begun = begun.slice(end);
      },
      flush: (stream) => {
        const rest = begun + decoder.decode();
        if (rest !== "") stream.enqueue(encoder.encode(rest));
      },
    }),
  );
}

/** Rounded down: this clock and the caller's may differ in rate, and a grant must never seem to begin before it does. */
function countedMs(lateMs: number): number {
  return Math.floor(lateMs * (1 - DRIFT) / (1 + DRIFT));
}

function laterEvent(event: string, addMs: number): string {
  const [, before, data] = /^(event: granted\n(?:id: [^\n]*\n)?data: )([^\n]*)$/.exec(event) ?? [];
  const later = data === undefined ? null : laterSaid(data, addMs);
  return later === null ? event : before + asciiJson(later);
}

/** null: it is about no grant. */
function laterSaid(text: string, addMs: number): unknown {
  const said = parsed(text);
  const grants = [said, ...listIn(said)].filter(isGrant);
  if (grants.length === 0) return null;
  for (const grant of grants) grant.waitedMs = (typeof grant.waitedMs === "number" ? grant.waitedMs : 0) + addMs;
  return said;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function listIn(said: unknown): readonly unknown[] {
  const grants = (said as { grants?: unknown } | null)?.grants;
  return Array.isArray(grants) ? grants : [];
}

/** A session's too, which nobody waits for. */
function isGrant(value: unknown): value is { waitedMs?: unknown } {
  return typeof value === "object" && value !== null &&
    typeof (value as { guaranteedForMs?: unknown }).guaranteedForMs === "number";
}
