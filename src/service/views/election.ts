/** The shapes of api.ts for elections, from a decided state. */
import type { ElectionState, Leadership, LeaderView, Led, Term } from "../../api.ts";
import { LIST_DEFAULT_ITEMS } from "../../limits.ts";
import type { Ended } from "../../machine/op.ts";
import { viewGrants } from "../../machine/view.ts";
import type { State } from "../../paxos/message.ts";
import type { LeaseClock } from "../../replica/lease_clock.ts";
import type { Granted } from "../grant_parts.ts";
import { boundsOf, historyItem, LeaseViews } from "./lease.ts";

export class ElectionViews {
  readonly #leases: LeaseViews;

  constructor(leases: LeaseClock) {
    this.#leases = new LeaseViews(leases);
  }

  election(name: string, key: string, state: State): ElectionState {
    const view = viewGrants(state);
    const { lastFence, revision } = view;
    const waiters = this.#leases.waiting(key, view);
    return {
      name,
      leader: this.#leader(key, state),
      waiters: waiters.slice(0, LIST_DEFAULT_ITEMS).map(({ holder }, i) => ({ candidate: holder, position: i + 1 })),
      waiterCount: waiters.length,
      lastTerm: lastFence,
      revision,
    };
  }

  led(key: string, state: State): Led {
    const view = viewGrants(state);
    return {
      leader: this.#leader(key, state),
      queue: this.#leases.waiting(key, view).length,
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

export function leadership(name: string, { hold, state, waitedMs, leaseMs, isReplayed }: Granted): Leadership {
  const { holder, fence, metadata, session } = hold;
  return {
    name,
    candidate: holder,
    term: fence,
    ...boundsOf(hold, waitedMs, leaseMs),
    ...(isReplayed === true ? { replayed: true } : {}),
    ...(metadata === undefined ? {} : { value: metadata }),
    ...(session === undefined ? {} : { session }),
    revision: viewGrants(state).revision,
  };
}

export function termOf(ended: Ended): Term {
  const { fence, holder, ...rest } = historyItem(ended);
  return { term: fence, candidate: holder, ...rest };
}
