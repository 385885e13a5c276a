/** The nouns that can be watched: the prefix of their keys, and what a state shows of each. A further noun is a row. */
import type { State } from "../paxos/message.ts";
import { LockViews } from "./lock_views.ts";
import type { LeaseClock } from "./lease_clock.ts";

export const KEY_PREFIXES = { lock: "lock/" } as const;
export type WatchedNoun = keyof typeof KEY_PREFIXES;

/** The body of a GET, or null where the thing is deleted. */
export type NounView = (name: string, key: string, state: State) => object | null;
export type NounViews = Readonly<Record<WatchedNoun, NounView>>;

export function nounViews(leases: LeaseClock): NounViews {
  const locks = new LockViews(leases);
  return { lock: (name, key, state) => locks.lock(name, key, state) };
}

/** Whose key this is; null: none that can be watched. */
export function nounOfKey(key: string): { readonly noun: WatchedNoun; readonly name: string } | null {
  for (const noun of Object.keys(KEY_PREFIXES) as WatchedNoun[]) {
    const prefix = KEY_PREFIXES[noun];
    if (key.startsWith(prefix)) return { noun, name: key.slice(prefix.length) };
  }
  return null;
}
