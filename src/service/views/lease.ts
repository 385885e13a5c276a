/** What the state cannot say of a hold and this node's lease clock estimates: how long it is safe, and how long it lasts. */
import type { HistoryItem } from "../../api.ts";
import { DRIFT } from "../../limits.ts";
import type { Ended, Hold } from "../../machine/op.ts";
import type { GrantsView, HoldView, WaiterView } from "../../machine/view.ts";
import type { LeaseClock } from "../../replica/lease_clock.ts";
import { sessionKey } from "../../leases/session_ends.ts";

/** Who polls a held name need not come back sooner. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;

export class LeaseViews {
  readonly #leases: LeaseClock;

  constructor(leases: LeaseClock) {
    this.#leases = leases;
  }

  /** The holder's lease; for what is bound to a session it is the session's. */
  remainingMs(key: string, { lease, session }: Pick<HoldView, "lease" | "session">): number {
    const ofSession = session === undefined ? null : this.#leases.remainingOfKeyMs(sessionKey(session));
    return Math.ceil(ofSession ?? this.#leases.remainingMs(key, lease));
  }

  /** Those who wait still, as this node's clock has it: a place that nobody renewed is nobody's. */
  waiting(key: string, { waiters }: Pick<GrantsView, "waiters">): readonly WaiterView[] {
    return waiters.filter(({ lease }) => this.#leases.remainingMs(key, lease) > 0);
  }

  /** When to ask again: as the first of what is in the way may end, but neither at once nor in an hour. */
  retryAfterMs(key: string, { holders, cooling }: GrantsView): number {
    const remaining = [...holders, ...(cooling === null ? [] : [{ lease: cooling }])]
      .map((one) => this.remainingMs(key, one));
    return Math.max(RETRY_MIN_MS, Math.min(RETRY_MAX_MS, ...remaining));
  }
}

/**
 * Both times count from `waitedMs` after the caller's send of this request (PROTOCOL.md §7).
 * @param countedMs how long after it came here the lease began, by this node's clock
 */
export function boundsOf({ ttlMs }: Pick<Hold, "ttlMs">, countedMs: number, leaseMs: number = ttlMs) {
  return {
    ttlMs,
    guaranteedForMs: Math.floor(leaseMs * (1 - DRIFT)),
    lapsesInMs: Math.ceil(leaseMs * (1 + DRIFT)),
    // Timed by this node's clock, counted on the caller's: this one may be fast and that one slow.
    waitedMs: Math.floor(countedMs * (1 - DRIFT) / (1 + DRIFT)),
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
