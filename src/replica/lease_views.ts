/** What the state cannot say of a hold and this node's lease clock estimates: how long it is safe, and how long it lasts. */
import type { HistoryItem } from "../api.ts";
import { DRIFT } from "../limits.ts";
import type { Ended, Hold } from "../machine/op.ts";
import type { GrantsView, HoldView } from "../machine/view.ts";
import type { LeaseClock } from "./lease_clock.ts";
import { sessionKey } from "./session_ends.ts";

/** Who polls a held name need not come back sooner. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;

export class LeaseViews {
  readonly #leases: LeaseClock;

  constructor(leases: LeaseClock) {
    this.#leases = leases;
  }

  /** Of a holder; of what is bound to a session it is the session's. */
  remainingMs(key: string, { lease, session }: Pick<HoldView, "lease" | "session">): number {
    const ofSession = session === undefined ? null : this.#leases.remainingOfKeyMs(sessionKey(session));
    return Math.ceil(ofSession ?? this.#leases.remainingMs(key, lease));
  }

  /** When to ask again: as the first of what is in the way may end, but neither at once nor in an hour. */
  retryAfterMs(key: string, { holders, cooling }: GrantsView): number {
    const remaining = [...holders, ...(cooling === null ? [] : [{ lease: cooling }])]
      .map((one) => this.remainingMs(key, one));
    return Math.max(RETRY_MIN_MS, Math.min(RETRY_MAX_MS, ...remaining));
  }
}

/** @param countedMs how long after the caller's send the ttl began to count */
export function boundsOf({ ttlMs }: Pick<Hold, "ttlMs">, waitedMs: number, countedMs: number) {
  return {
    ttlMs,
    // Rounded down: both ends of the drift are the caller's to be safe from. The wait was timed by this node's clock, which
    // may be faster than the caller's: after a long one its share is more than that of a short ttl.
    guaranteedForMs: Math.floor(countedMs * (1 - DRIFT)) + Math.floor(ttlMs * (1 - DRIFT)),
    lapsesInMs: Math.ceil(countedMs * (1 + DRIFT)) + Math.ceil(ttlMs * (1 + DRIFT)),
    waitedMs: Math.round(waitedMs),
  };
}

export function historyItem({ fence, holder, subject, fromMs, toMs, end, reason }: Ended): HistoryItem {
  return {
    fence,
    holder,
    subject,
    from: new Date(fromMs).toISOString(),
    to: new Date(toMs).toISOString(),
    end,
    ...(reason === undefined ? {} : { reason }),
  };
}
