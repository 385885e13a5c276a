/** The shapes of api.ts for semaphores, from a decided state. */
import type { SemaphoreGrant, SemaphoreHeld, SemaphoreHolder, SemaphoreState } from "../../api.ts";
import { assert } from "../../assert.ts";
import { LIST_DEFAULT_ITEMS } from "../../limits.ts";
import { type GrantsView, type HoldView, viewGrants } from "../../machine/view.ts";
import type { State } from "../../paxos/message.ts";
import type { LeaseClock } from "../../replica/lease_clock.ts";
import type { Granted } from "../grant_parts.ts";
import { boundsOf, LeaseViews } from "./lease.ts";

export class SemaphoreViews {
  readonly #leases: LeaseViews;

  constructor(leases: LeaseClock) {
    this.#leases = new LeaseViews(leases);
  }

  semaphore(name: string, key: string, all: State): SemaphoreState {
    const view = viewGrants(all);
    const { state, lastFence, revision } = view;
    const waiters = this.#leases.waiting(key, view);
    return {
      name,
      state,
      ...capacity(view),
      holders: view.holders.map((hold) => this.#holder(key, hold)),
      waiters: waiters.slice(0, LIST_DEFAULT_ITEMS)
        .map(({ holder, permits }, i) => ({ holder, position: i + 1, permits: known(permits) })),
      waiterCount: waiters.length,
      lastFence,
      revision,
    };
  }

  held(key: string, state: State): SemaphoreHeld {
    const view = viewGrants(state);
    return {
      ...capacity(view),
      holders: view.holders.map((hold) => this.#holder(key, hold)),
      queue: this.#leases.waiting(key, view).length,
      retryAfterMs: this.#leases.retryAfterMs(key, view),
    };
  }

  #holder(key: string, hold: HoldView): SemaphoreHolder {
    const { holder, fence, permits, metadata } = hold;
    return {
      holder,
      fence,
      permits: known(permits),
      lapsesInMs: this.#leases.remainingMs(key, hold),
      ...(metadata === undefined ? {} : { metadata }),
    };
  }
}

export function semaphoreGrant(name: string, { hold, state, waitedMs, leaseMs, isReplayed }: Granted): SemaphoreGrant {
  const { holder, fence, permits, metadata, session } = hold;
  const { limit, revision } = viewGrants(state);
  return {
    name,
    holder,
    fence,
    permits: known(permits),
    limit: known(limit),
    ...boundsOf(hold, waitedMs, leaseMs),
    ...(isReplayed === true ? { replayed: true } : {}),
    ...(metadata === undefined ? {} : { metadata }),
    ...(session === undefined ? {} : { session }),
    revision,
  };
}

function capacity({ limit, available }: GrantsView) {
  return { limit, available: limit === null ? null : available };
}

function known(count: number | null | undefined): number {
  assert(typeof count === "number", "what a semaphore granted has permits and a limit");
  return count;
}
