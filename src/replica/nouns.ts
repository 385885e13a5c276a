/** The nouns that can be watched: the prefix of their keys, and what a state shows of each. A further noun is a row. */
import type { State } from "../paxos/message.ts";
import { ElectionViews } from "./election_views.ts";
import type { LeaseClock } from "./lease_clock.ts";
import { LockViews } from "./lock_views.ts";
import { RegisterViews } from "./register_views.ts";
import { SemaphoreViews } from "./semaphore_views.ts";

export const KEY_PREFIXES = { lock: "lock/", election: "election/", semaphore: "semaphore/", kv: "kv/" } as const;
export type WatchedNoun = keyof typeof KEY_PREFIXES;

/** The body of a GET, or null where the thing is deleted. */
export type NounView = (name: string, key: string, state: State) => object | null;
export type NounViews = Readonly<Record<WatchedNoun, NounView>>;

export function nounViews(leases: LeaseClock): NounViews {
  const locks = new LockViews(leases);
  const elections = new ElectionViews(leases);
  const semaphores = new SemaphoreViews(leases);
  const registers = new RegisterViews(leases);
  return {
    lock: (name, key, state) => locks.lock(name, key, state),
    election: (name, key, state) => elections.election(name, key, state),
    semaphore: (name, key, state) => semaphores.semaphore(name, key, state),
    kv: (name, _key, state) => registers.value(name, state),
  };
}

/** Whose key this is; null: none that can be watched. */
export function nounOfKey(key: string): { readonly noun: WatchedNoun; readonly name: string } | null {
  for (const noun of Object.keys(KEY_PREFIXES) as WatchedNoun[]) {
    const prefix = KEY_PREFIXES[noun];
    if (key.startsWith(prefix)) return { noun, name: key.slice(prefix.length) };
  }
  return null;
}
