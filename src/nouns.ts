/** The nouns: the prefix of their keys, and what names one. A further noun is a row. */
export const KEY_PREFIXES = {
  lock: "lock/",
  election: "election/",
  semaphore: "semaphore/",
  kv: "kv/",
  session: "session/",
} as const;
/** What keys of the cluster's own registers begin with: no user can name one. */
export const RESERVED_PREFIX = "cluster/";
export type WatchedNoun = keyof typeof KEY_PREFIXES;

/** What requests and answers call the name of one. */
export const NAME_FIELDS = {
  lock: "name",
  election: "name",
  semaphore: "name",
  kv: "key",
  session: "id",
} as const;

/** What is told of a thing that is deleted. */
export function goneBody(noun: WatchedNoun, name: string, revision: string): object {
  return { [NAME_FIELDS[noun]]: name, revision };
}

const NOUNS = Object.keys(KEY_PREFIXES) as WatchedNoun[];

/** What the key is a name of; null: nothing that can be watched. */
export function nounOf(key: string): WatchedNoun | null {
  for (const noun of NOUNS) if (key.startsWith(KEY_PREFIXES[noun])) return noun;
  return null;
}

/** The same, with the name. */
export function nounOfKey(key: string): { readonly noun: WatchedNoun; readonly name: string } | null {
  const noun = nounOf(key);
  return noun === null ? null : { noun, name: key.slice(KEY_PREFIXES[noun].length) };
}
