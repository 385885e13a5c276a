/** What readers see of a state: projections without clock or name, which the replica adds. */
import { HOLDERS_PER_KEY } from "../limits.ts";
import type { State } from "../paxos/message.ts";
import { capacityOf, permitsOf } from "./grants.ts";
import { COOLING_LEASE_ID, holdLease, placeLease } from "./lease.ts";
import type { Ended, Hold, LeaseTerm, Place } from "./op.ts";
import { unpackPlace } from "./place.ts";
import { keyState, type RegisterValue, type Session } from "./state.ts";

/** Who holds and who waits, whatever the noun; each holder with the lease that its `lapsesInMs` comes from. */
export type GrantsView = {
  readonly state: "free" | "held" | "cooling";
  readonly holders: readonly HoldView[];
  /** In the order of the queue; of those whose lease ran out a reader is not told. */
  readonly waiters: readonly WaiterView[];
  readonly lastFence: string;
  readonly revision: string;
  /** The lease that ends the cooling period, or null. */
  readonly cooling: LeaseTerm | null;
  /** The limit of a semaphore that was ever used, else null. */
  readonly limit: number | null;
  /** Permits that nobody has. */
  readonly available: number;
};
export type HoldView = Pick<Hold, "holder" | "fence" | "mode" | "permits" | "metadata" | "session" | "fromMs"> & {
  readonly lease: LeaseTerm;
};
export type WaiterView = Pick<Place, "holder" | "mode" | "permits"> & { readonly lease: LeaseTerm };

export function viewGrants(state: State): GrantsView {
  const { holders, queue, cooling, lastFence, revision, limit = null } = keyState(state);
  return {
    state: holders.length > 0 ? "held" : cooling !== null ? "cooling" : "free",
    holders: holders.map((hold) => ({
      holder: hold.holder,
      fence: hold.fence,
      mode: hold.mode,
      ...(hold.permits === undefined ? {} : { permits: hold.permits }),
      ...(hold.metadata === undefined ? {} : { metadata: hold.metadata }),
      ...(hold.session === undefined ? {} : { session: hold.session }),
      fromMs: hold.fromMs,
      lease: holdLease(hold),
    })),
    waiters: queue.map((row) => {
      const { holder, mode, permits } = unpackPlace(row);
      return { holder, mode, ...(permits === undefined ? {} : { permits }), lease: placeLease(row) };
    }),
    lastFence,
    revision,
    cooling: cooling === null ? null : { id: COOLING_LEASE_ID, ...cooling },
    limit,
    available: capacityOf(limit) - usedOf(holders),
  };
}

function usedOf(holders: readonly Hold[]): number {
  return holders.reduce((sum, hold) => sum + permitsOf(hold), 0);
}

/** What somebody asks for, as far as it says what is in the way. */
export type Wanted = Pick<Place, "mode" | "permits"> & { readonly limit?: number };

/** Whether nothing would be in the way of this once the leases with the ids in `gone` have ended. */
export function isFree(state: State, wanted: Wanted, gone: ReadonlySet<string>): boolean {
  const all = keyState(state);
  const holders = all.holders.filter((hold) => !gone.has(holdLease(hold).id));
  const isCooling = all.cooling !== null && !gone.has(COOLING_LEASE_ID);
  // Places and a cooling period let nobody pass.
  if (isCooling || all.queue.some(([place]) => !gone.has(`p:${place}`))) return false;
  if (holders.length === 0) return true;
  const { limit = all.limit ?? null } = wanted;
  if (holders.length >= HOLDERS_PER_KEY || limit !== (all.limit ?? null)) return false;
  return usedOf(holders) + permitsOf(wanted) <= capacityOf(limit);
}

/** Whether a semaphore is in use with another limit. */
export function isOtherLimit(state: State, { limit }: Wanted): boolean {
  const all = keyState(state);
  const isInUse = all.holders.length > 0 || all.queue.length > 0 || all.cooling !== null;
  return limit !== undefined && all.limit !== undefined && limit !== all.limit && isInUse;
}

/** Oldest first. `fromMs` and `toMs` are labels from proposers' wall clocks, 0 where nobody gave one. */
export function viewHistory(state: State): { readonly items: readonly Ended[]; readonly revision: string } {
  const { history, revision } = keyState(state);
  return { items: history, revision };
}

/** A register's value, null if there is none; `revision` is its entity tag. */
export function viewRegister(state: State): { readonly value: RegisterValue | null; readonly revision: string } {
  const { register, revision } = keyState(state);
  return { value: register?.value ?? null, revision };
}

/**
 * Whether a list shows it. A name that was only asked about is not shown, nor one whose value is deleted, nor a session that
 * has ended.
 */
export function isListed(state: State): boolean {
  const { kind, register, session } = keyState(state);
  switch (kind) {
    case "unused":
      return false;
    case "register":
      return (register?.value ?? null) !== null;
    case "session":
      return session?.ended === null;
    default:
      return true;
  }
}

/** Number of the last change. */
export function viewRevision(state: State): string {
  return keyState(state).revision;
}

export function viewSession(state: State): Session | null {
  return keyState(state).session ?? null;
}

/** Sessions that something of this key is bound to, each once. */
export function sessionsIn(state: State): readonly string[] {
  const { holders, queue, register } = keyState(state);
  const named = [
    ...holders.map(({ session }) => session),
    ...queue.map((row) => row[9]),
    register?.value?.session,
  ];
  return [...new Set(named.filter((session) => session !== undefined))];
}

/**
 * Those of them that hold, or keep the value: what a place is bound to its own node watches, and where that one died the
 * place lapses.
 */
export function holdingSessions(state: State): readonly string[] {
  const { holders, register } = keyState(state);
  const named = [...holders.map(({ session }) => session), register?.value?.session];
  return [...new Set(named.filter((session) => session !== undefined))];
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
