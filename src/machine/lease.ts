/** Leases of a key: how they are named, how long they last, and what ends when a value claims that one ran out (§7). */
import { HANDOVER_TTL_MS, PLACE_TTL_MS } from "../limits.ts";
import type { LeaseName, LeaseTerm } from "../paxos/message.ts";
import { dropHold, endHold, handOver, startCooling } from "./grants.ts";
import type { Hold } from "./op.ts";
import { indexOfPlace, type PlaceRow } from "./place.ts";
import { endValue, VALUE_LEASE_ID } from "./register.ts";
import { endLapsedSession, sessionLease } from "./session.ts";
import { change, type Draft, type KeyState } from "./state.ts";

export const COOLING_LEASE_ID = "cooling";

export function holdLease(hold: Hold): LeaseTerm {
  // Nobody has been told of an unconfirmed hand-over, so a dead waiter need not cost its whole ttl.
  const ttlMs = hold.unconfirmed ? Math.min(hold.ttlMs, HANDOVER_TTL_MS) : hold.ttlMs;
  return { id: `f:${hold.fence}`, by: hold.by, ttlMs };
}

export function placeLease(row: PlaceRow): LeaseTerm {
  return { id: `p:${row[0]}`, by: row[7], ttlMs: PLACE_TTL_MS };
}

/**
 * Holders, then places, then cooling; or the value of a register; or a session. What is bound to a session has none, but
 * for what its node must see to: a place in the queue, and a hand-over out of it until that is confirmed.
 */
export function leasesOf(state: KeyState): readonly LeaseTerm[] {
  const leases: LeaseTerm[] = state.holders.filter(hasLease).map(holdLease);
  for (const row of state.queue) leases.push(placeLease(row));
  if (state.cooling !== null) leases.push({ id: COOLING_LEASE_ID, ...state.cooling });
  const value = state.register?.value?.lease;
  if (value !== undefined) leases.push({ id: VALUE_LEASE_ID, ...value });
  const session = sessionLease(state);
  if (session !== null) leases.push(session);
  return leases;
}

function hasLease({ session, unconfirmed }: Hold): boolean {
  return session === undefined || unconfirmed;
}

/**
 * Ends what `claims` name, where the state before this value holds exactly that lease. All endings come before the one
 * hand-over, places first: a place that lapsed must not be granted the hold that lapsed with it.
 */
export function endLapsed(draft: Draft, claims: readonly LeaseName[]): void {
  const changes = draft.changes;
  for (const claim of claims) endPlace(draft, claim);
  for (const claim of claims) endCooling(draft, claim);
  for (const claim of claims) endLapsedHold(draft, claim);
  for (const claim of claims) endValue(draft, claim);
  for (const claim of claims) endLapsedSession(draft, claim);
  if (draft.changes > changes) handOver(draft);
}

function endPlace(draft: Draft, { id, by }: LeaseName): void {
  if (!id.startsWith("p:")) return;
  const index = indexOfPlace(draft.queue, id.slice(2));
  if (draft.queue[index]?.[7] !== by) return;
  draft.queue.splice(index, 1);
  change(draft);
}

function endCooling(draft: Draft, { id, by }: LeaseName): void {
  if (id !== COOLING_LEASE_ID || draft.cooling?.by !== by) return;
  draft.cooling = null;
  change(draft);
}

function endLapsedHold(draft: Draft, { id, by }: LeaseName): void {
  const hold = draft.holders.find((held) => `f:${held.fence}` === id && held.by === by);
  if (hold === undefined || !hasLease(hold)) return;
  if (draft.version > 1 && hold.unconfirmed) dropHold(draft, hold);
  else {
    endHold(draft, hold, "lapsed");
    startCooling(draft, hold.lockDelayMs);
  }
  change(draft);
}
