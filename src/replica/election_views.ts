/** The shapes of api.ts for elections, from a decided state. */
import type { ElectionState, Leadership, LeaderView, Led, Term } from "../api.ts";
import type { Ended, Hold } from "../machine/op.ts";
import { viewGrants } from "../machine/view.ts";
import type { State } from "../paxos/message.ts";
import type { LeaseClock } from "./lease_clock.ts";
import { boundsOf, historyItem, LeaseViews } from "./lease_views.ts";

export class ElectionViews {
  readonly #leases: LeaseViews;

  constructor(leases: LeaseClock) {
    this.#leases = new LeaseViews(leases);
  }

  election(name: string, key: string, state: State): ElectionState {
    const { waiters, waiterCount, lastFence, revision } = viewGrants(state);
    return {
      name,
      leader: this.#leader(key, state),
      waiters: waiters.map(({ holder, position }) => ({ candidate: holder, position })),
      waiterCount,
      lastTerm: lastFence,
      revision,
    };
  }

  led(key: string, state: State): Led {
    const view = viewGrants(state);
    return {
      leader: this.#leader(key, state),
      queue: view.waiterCount,
      retryAfterMs: this.#leases.retryAfterMs(key, view),
    };
  }

  #leader(key: string, state: State): LeaderView | null {
    const [leader] = viewGrants(state).holders;
    if (leader === undefined) return null;
    const { holder, fence, metadata } = leader;
    return {
      candidate: holder,
      term: fence,
      lapsesInMs: this.#leases.remainingMs(key, leader),
      ...(metadata === undefined ? {} : { value: metadata }),
    };
  }
}

/** @param waitedMs how long after the caller's send the ttl began to count */
export function leadership(name: string, hold: Hold, state: State, waitedMs: number): Leadership {
  const { holder, fence, metadata, session } = hold;
  return {
    name,
    candidate: holder,
    term: fence,
    ...boundsOf(hold, waitedMs, waitedMs),
    ...(metadata === undefined ? {} : { value: metadata }),
    ...(session === undefined ? {} : { session }),
    revision: viewGrants(state).revision,
  };
}

export function termOf(ended: Ended): Term {
  const { fence, holder, ...rest } = historyItem(ended);
  return { term: fence, candidate: holder, ...rest };
}
