/** What readers see of a state: projections without clock or name, which the replica adds. */
import { LIST_DEFAULT_ITEMS } from "../limits.ts";
import type { State } from "../paxos/message.ts";
import { COOLING_LEASE_ID, holdLease } from "./lease.ts";
import type { Ended, Hold, LeaseTerm, Place } from "./op.ts";
import { unpackPlace } from "./place.ts";
import { keyState } from "./state.ts";

/** `LockState` of api.ts, but each holder with the lease that its `notAfterMs` comes from. */
export type LockView = {
  readonly state: "free" | "held" | "cooling";
  readonly holders: readonly HoldView[];
  /** The first LIST_DEFAULT_ITEMS; positions count from 1. */
  readonly waiters: readonly {
    readonly holder: string;
    readonly position: number;
    readonly mode: "exclusive" | "shared";
  }[];
  readonly waiterCount: number;
  readonly lastFence: string;
  readonly revision: string;
  /** The lease that ends the cooling period, or null. */
  readonly cooling: LeaseTerm | null;
};
export type HoldView = Pick<Hold, "holder" | "fence" | "mode" | "metadata"> & { readonly lease: LeaseTerm };

export function viewLock(state: State): LockView {
  const { holders, queue, cooling, lastFence, revision } = keyState(state);
  return {
    state: holders.length > 0 ? "held" : cooling !== null ? "cooling" : "free",
    holders: holders.map((hold) => ({
      holder: hold.holder,
      fence: hold.fence,
      mode: hold.mode,
      ...(hold.metadata === undefined ? {} : { metadata: hold.metadata }),
      lease: holdLease(hold),
    })),
    waiters: queue.slice(0, LIST_DEFAULT_ITEMS).map((row, index) => {
      const { holder, mode } = unpackPlace(row);
      return { holder, position: index + 1, mode };
    }),
    waiterCount: queue.length,
    lastFence,
    revision,
    cooling: cooling === null ? null : { id: COOLING_LEASE_ID, ...cooling },
  };
}

/** Oldest first. `fromMs` and `toMs` are labels from proposers' wall clocks, 0 where nobody gave one. */
export function viewHistory(state: State): { readonly items: readonly Ended[]; readonly revision: string } {
  const { history, revision } = keyState(state);
  return { items: history, revision };
}

export function holdOfFence(state: State, fence: string): Hold | null {
  return keyState(state).holders.find((hold) => hold.fence === fence) ?? null;
}

/** The hold that the same subject and holder has (`yours` of a 409), or null. */
export function holdOfHolder(state: State, subject: string, holder: string): Hold | null {
  return keyState(state).holders.find((hold) => hold.subject === subject && hold.holder === holder) ?? null;
}

/** The places that `node` answers and must keep alive, in the order of the queue. */
export function placesOfNode(state: State, node: string): readonly Place[] {
  return keyState(state).queue.filter((row) => row[6] === node).map(unpackPlace);
}

/** The nodes that answer somebody who waits, each once. */
export function waitingNodes(state: State): readonly string[] {
  return [...new Set(keyState(state).queue.map((row) => row[6]))];
}
