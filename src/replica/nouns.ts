/** The nouns that can be watched: the prefix of their keys, what names one, and what a state shows. A further noun is a row. */
import { viewSession } from "../machine/view.ts";
import type { State } from "../paxos/message.ts";
import { ElectionViews } from "./election_views.ts";
import type { LeaseClock } from "./lease_clock.ts";
import { LockViews } from "./lock_views.ts";
import { RegisterViews } from "./register_views.ts";
import { SemaphoreViews } from "./semaphore_views.ts";
import { SessionViews } from "./session_views.ts";

export const KEY_PREFIXES = {
  lock: "lock/",
  election: "election/",
  semaphore: "semaphore/",
  kv: "kv/",
  session: "session/",
} as const;
export type WatchedNoun = keyof typeof KEY_PREFIXES;

/** What requests and answers call the name of one. */
export const NAME_FIELDS = {
  lock: "name",
  election: "name",
  semaphore: "name",
  kv: "key",
  session: "id",
} as const;

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

/** What is told of a thing that is deleted. */
export function goneBody(noun: WatchedNoun, name: string, revision: string): object {
  return { [NAME_FIELDS[noun]]: name, revision };
}

/** Whether this subject may know of it, as far as no scope says: a session is there for its own subject only. */
export function isVisibleTo(noun: WatchedNoun, subject: string | null, state: State): boolean {
  return noun !== "session" || (subject !== null && viewSession(state)?.subject === subject);
}

/** Whose key this is; null: none that can be watched. */
export function nounOfKey(key: string): { readonly noun: WatchedNoun; readonly name: string } | null {
  for (const noun of Object.keys(KEY_PREFIXES) as WatchedNoun[]) {
    const prefix = KEY_PREFIXES[noun];
    if (key.startsWith(prefix)) return { noun, name: key.slice(prefix.length) };
  }
  return null;
}
