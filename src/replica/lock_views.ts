/** The shapes of api.ts from a decided state: what the state cannot say, the lease clock of this node estimates. */
import type { Grant, Held, HistoryItem, LockState } from "../api.ts";
import { DRIFT } from "../limits.ts";
import type { Ended, Hold } from "../machine/op.ts";
import { type HoldView, viewGrants } from "../machine/view.ts";
import type { LeaseTerm, State } from "../paxos/message.ts";
import type { LeaseClock } from "./lease_clock.ts";

/** Who polls a held lock need not come back sooner. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;

export class LockViews {
  readonly #leases: LeaseClock;

  constructor(leases: LeaseClock) {
    this.#leases = leases;
  }

  /** @param countedMs how long after the caller's send the ttl began to count */
  grant(name: string, hold: Hold, state: State, waitedMs: number, countedMs: number): Grant {
    const { holder, fence, mode, ttlMs, metadata } = hold;
    return {
      name,
      holder,
      fence,
      mode,
      ttlMs,
      // Rounded down: both ends of the drift are the caller's to be safe from.
      notBeforeMs: Math.floor(countedMs) + Math.floor(ttlMs * (1 - DRIFT)),
      notAfterMs: Math.ceil(countedMs) + Math.ceil(ttlMs * (1 + DRIFT)),
      waitedMs: Math.round(waitedMs),
      ...(metadata === undefined ? {} : { metadata }),
      revision: viewGrants(state).revision,
    };
  }

  held(key: string, state: State): Held {
    const { holders, waiterCount, cooling } = viewGrants(state);
    const remaining = [...holders.map(({ lease }) => lease), ...(cooling === null ? [] : [cooling])]
      .map((lease) => this.#remainingMs(key, lease));
    const soonest = Math.min(RETRY_MAX_MS, ...remaining);
    return {
      holders: holders.map((hold) => this.#holder(key, hold)),
      queue: waiterCount,
      retryAfterMs: Math.max(RETRY_MIN_MS, soonest),
    };
  }

  lock(name: string, key: string, state: State): LockState {
    const { holders, waiters, waiterCount, lastFence, revision, state: kind } = viewGrants(state);
    return {
      name,
      state: kind,
      holders: holders.map((hold) => this.#holder(key, hold)),
      waiters: waiters.map((waiter) => ({ ...waiter })),
      waiterCount,
      lastFence,
      revision,
    };
  }

  ended({ fence, holder, subject, fromMs, toMs, end, reason }: Ended): HistoryItem {
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

  #holder(key: string, { holder, fence, mode, metadata, lease }: HoldView) {
    return {
      holder,
      fence,
      mode,
      notAfterMs: this.#remainingMs(key, lease),
      ...(metadata === undefined ? {} : { metadata }),
    };
  }

  #remainingMs(key: string, lease: LeaseTerm): number {
    return Math.ceil(this.#leases.remainingMs(key, lease));
  }
}
