/** The nouns: the prefix of their keys, and what names one. A further noun is a row. */
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

/** What is told of a thing that is deleted. */
export function goneBody(noun: WatchedNoun, name: string, revision: string): object {
  return { [NAME_FIELDS[noun]]: name, revision };
}

/** Whose key this is; null: none that can be watched. */
export function nounOfKey(key: string): { readonly noun: WatchedNoun; readonly name: string } | null {
  for (const noun of Object.keys(KEY_PREFIXES) as WatchedNoun[]) {
    const prefix = KEY_PREFIXES[noun];
    if (key.startsWith(prefix)) return { noun, name: key.slice(prefix.length) };
  }
  return null;
}
