/**
 * The times of a grant that a second node answered with. A caller counts them from its own send.
 *
 * Of a grant made at once a node says the whole ttl, whichever try it answers: the lease began no earlier than the
 * caller's first send, so that holds as it is. Of one out of the queue it counts from when *it* was asked, its wait
 * included (PROTOCOL.md §7): seen from the caller that is too little by as much as went by before this node was asked, and
 * after a long wait at a first node the grant would look over when it comes. So much is added there, never elsewhere.
 */
import { DRIFT } from "../limits.ts";

type Times = { waitedMs: number; guaranteedForMs: number; lapsesInMs: number };

/** The body of a 200 as the caller may read it; null: as it is. `lateMs`: from the caller's send to that of this try. */
export function laterGrant(body: Uint8Array, lateMs: number): string | null {
  const said = parsed(body);
  const grants = [said, ...listIn(said)].filter(isWaitedFor);
  if (grants.length === 0) return null;
  for (const grant of grants) {
    grant.waitedMs += Math.round(lateMs);
    // This clock and the caller's may differ in rate, as in what the node counted.
    grant.guaranteedForMs += Math.floor(lateMs * (1 - DRIFT));
    grant.lapsesInMs += Math.ceil(lateMs * (1 + DRIFT));
  }
  return JSON.stringify(said);
}

function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return null;
  }
}

function listIn(said: unknown): readonly unknown[] {
  const grants = (said as { grants?: unknown } | null)?.grants;
  return Array.isArray(grants) ? grants : [];
}

/** Waited for at the node that answers, for however short a time, or it would say 0. */
function isWaitedFor(value: unknown): value is Times {
  if (typeof value !== "object" || value === null) return false;
  const { waitedMs, guaranteedForMs, lapsesInMs } = value as Partial<Times>;
  return typeof waitedMs === "number" && waitedMs > 0 && typeof guaranteedForMs === "number" &&
    typeof lapsesInMs === "number";
}
