/** What a state shows, by noun, and to whom. */
import { viewSession } from "../../machine/view.ts";
import type { WatchedNoun } from "../../nouns.ts";
import type { State } from "../../paxos/message.ts";
import type { LeaseClock } from "../../replica/lease_clock.ts";
import { ElectionViews } from "./election.ts";
import { LockViews } from "./lock.ts";
import { RegisterViews } from "./register.ts";
import { SemaphoreViews } from "./semaphore.ts";
import { SessionViews } from "./session.ts";

/** The body of a GET, or null where the thing is deleted. */
export type NounView = (name: string, key: string, state: State) => object | null;
export type NounViews = Readonly<Record<WatchedNoun, NounView>>;

export function nounViews(leases: LeaseClock): NounViews {
  const locks = new LockViews(leases);
  const elections = new ElectionViews(leases);
  const semaphores = new SemaphoreViews(leases);
  const registers = new RegisterViews(leases);
  const sessions = new SessionViews(leases);
  return {
    lock: (name, key, state) => locks.lock(name, key, state),
    election: (name, key, state) => elections.election(name, key, state),
    semaphore: (name, key, state) => semaphores.semaphore(name, key, state),
    kv: (name, _key, state) => registers.value(name, state),
    session: (id, _key, state) => sessions.session(id, state),
  };
}

/** Whether this subject may know of it, as far as no scope says: a session is there for its own subject only. */
export function isVisibleTo(noun: WatchedNoun, subject: string | null, state: State): boolean {
  return noun !== "session" || (subject !== null && viewSession(state)?.subject === subject);
}
