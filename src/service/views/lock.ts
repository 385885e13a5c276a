/** The shapes of api.ts for locks, from a decided state. */
import type { Grant, Held, LockState } from "../../api.ts";
import { LIST_DEFAULT_ITEMS } from "../../limits.ts";
import { type HoldView, viewGrants } from "../../machine/view.ts";
import type { State } from "../../paxos/message.ts";
import type { LeaseClock } from "../../replica/lease_clock.ts";
import type { Granted } from "../grant_parts.ts";
import { boundsOf, LeaseViews } from "./lease.ts";

export class LockViews {
  readonly #leases: LeaseViews;

  constructor(leases: LeaseClock) {
    this.#leases = new LeaseViews(leases);
  }

  grant(name: string, { hold, state, waitedMs, leaseMs, isReplayed }: Granted): Grant {
    const { holder, fence, mode, metadata, session } = hold;
    return {
      name,
      holder,
      fence,
      mode,
      ...boundsOf(hold, waitedMs, leaseMs),
      ...(isReplayed === true ? { replayed: true } : {}),
      ...(metadata === undefined ? {} : { metadata }),
      ...(session === undefined ? {} : { session }),
      revision: viewGrants(state).revision,
    };
  }

  held(key: string, state: State): Held {
    const view = viewGrants(state);
    return {
      holders: view.holders.map((hold) => this.#holder(key, hold)),
      queue: this.#leases.waiting(key, view).length,
      retryAfterMs: this.#leases.retryAfterMs(key, view),
    };
  }

  lock(name: string, key: string, state: State): LockState {
    const view = viewGrants(state);
    const { holders, lastFence, revision, state: kind } = view;
    const waiters = this.#leases.waiting(key, view);
    return {
      name,
      state: kind,
      holders: holders.map((hold) => this.#holder(key, hold)),
      waiters: waiters.slice(0, LIST_DEFAULT_ITEMS).map(({ holder, mode }, i) => ({ holder, position: i + 1, mode })),
      waiterCount: waiters.length,
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
