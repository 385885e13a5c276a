/** The shapes of api.ts for locks, from a decided state. */
import type { Grant, Held, LockState } from "../api.ts";
import type { Hold } from "../machine/op.ts";
import { type HoldView, viewGrants } from "../machine/view.ts";
import type { State } from "../paxos/message.ts";
import type { LeaseClock } from "./lease_clock.ts";
import { boundsOf, LeaseViews } from "./lease_views.ts";

export class LockViews {
  readonly #leases: LeaseViews;

  constructor(leases: LeaseClock) {
    this.#leases = new LeaseViews(leases);
  }

  /** @param countedMs how long after the caller's send the ttl began to count */
  grant(name: string, hold: Hold, state: State, waitedMs: number, countedMs: number): Grant {
    const { holder, fence, mode, metadata, session } = hold;
    return {
      name,
      holder,
      fence,
      mode,
      ...boundsOf(hold, waitedMs, countedMs),
      ...(metadata === undefined ? {} : { metadata }),
      ...(session === undefined ? {} : { session }),
      revision: viewGrants(state).revision,
    };
  }

  held(key: string, state: State): Held {
    const view = viewGrants(state);
    return {
      holders: view.holders.map((hold) => this.#holder(key, hold)),
      queue: view.waiterCount,
      retryAfterMs: this.#leases.retryAfterMs(key, view),
    };
  }

  lock(name: string, key: string, state: State): LockState {
    const { holders, waiters, waiterCount, lastFence, revision, state: kind } = viewGrants(state);
    return {
      name,
      state: kind,
      holders: holders.map((hold) => this.#holder(key, hold)),
      waiters: waiters.map(({ holder, position, mode }) => ({ holder, position, mode })),
      waiterCount,
      lastFence,
      revision,
    };
  }

  #holder(key: string, hold: HoldView) {
    const { holder, fence, mode, metadata } = hold;
    return {
      holder,
      fence,
      mode,
      lapsesInMs: this.#leases.remainingMs(key, hold),
      ...(metadata === undefined ? {} : { metadata }),
    };
  }
}
