/** What one decided value changed for those who hold and lead: for counting, not for deciding. */
import type { Mode, State, Value } from "../paxos/message.ts";
import { isForgettable } from "./forget.ts";
import { COOLING_LEASE_ID, leasesOf } from "./lease.ts";
import { type KeyState, keyState } from "./state.ts";

export type Changes = {
  /** Holds, leaderships, permits and sessions that began. */
  readonly granted: number;
  /** Those, and values with a ttl, that ended as their leases ran out; places in a queue do not count. */
  readonly lapsed: number;
  readonly forced: number;
  /** Nobody had used the name for long, and what was known of its past is gone. */
  readonly isForgotten: boolean;
  /** How the standing ballot is used from now on, if that is another way. */
  readonly modeTo: Mode["kind"] | null;
};

export function changesOf(earlier: State, later: State, { commands, claims = [] }: Value): Changes {
  const before = keyState(earlier);
  const after = keyState(later);
  const isForget = commands.some(({ op }) => op.type === "keep-places" && "forget" in op);
  const isForce = commands.some(({ op }) => op.type === "force");
  return {
    granted: missing(after, before) + (before.session === undefined && after.session !== undefined ? 1 : 0),
    lapsed: claims.length === 0 ? 0 : lapsedOf(before, after, claims.map(({ id, by }) => `${id} ${by}`)),
    forced: isForce ? missing(before, after) : 0,
    isForgotten: isForget && isForgettable(before) && !isForgettable(after),
    modeTo: before.mode.kind === after.mode.kind ? null : after.mode.kind,
  };
}

/** Holds of the one that the other does not have. */
function missing({ holders }: KeyState, other: KeyState): number {
  if (holders === other.holders) return 0;
  return holders.filter(({ fence }) => !other.holders.some((hold) => hold.fence === fence)).length;
}

function lapsedOf(before: KeyState, after: KeyState, claims: readonly string[]): number {
  const left = new Set(leasesOf(after).map(({ id, by }) => `${id} ${by}`));
  return leasesOf(before).filter(({ id, by }) =>
    !id.startsWith("p:") && id !== COOLING_LEASE_ID && claims.includes(`${id} ${by}`) && !left.has(`${id} ${by}`)
  ).length;
}

/** Who holds and who waits, as far as a count needs it. The first of each came first. */
export type Occupied = {
  readonly held: number;
  readonly waiting: number;
  readonly firstHold: string | null;
  readonly firstWaiter: string | null;
  /** The key is that of a session, which lives. */
  readonly isSession: boolean;
};

/** Null: nobody does. */
export function occupiedOf(state: State): Occupied | null {
  const { holders, queue, session } = keyState(state);
  const isSession = session !== undefined && session.ended === null;
  if (holders.length === 0 && queue.length === 0 && !isSession) return null;
  return {
    held: holders.length,
    waiting: queue.length,
    firstHold: holders[0]?.fence ?? null,
    firstWaiter: queue[0]?.[0] ?? null,
    isSession,
  };
}
