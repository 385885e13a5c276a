/** A value as it was read, and a change of one. */

/** A value that was read. */
export interface KvEntry {
  /** What names it. */
  readonly key: string;
  /** Grows with every change of this key, for ever. */
  readonly revision: bigint;
  /** The media type it was put with. */
  readonly contentType: string;
  /** Its bytes. */
  readonly value: Uint8Array<ArrayBuffer>;
  /** The bytes as UTF-8. */
  text(): string;
  /** The bytes as JSON. Throws a `SyntaxError` if they are none. */
  json(): unknown;
}

/** A change of a value. */
export interface KvChange {
  /** What changed. */
  readonly key: string;
  /** The value as it is now; null: it was deleted, or it ended. */
  readonly entry: KvEntry | null;
}

/** @param value base64 */
export function entryIn(key: string, revision: string, contentType: string, value: string): KvEntry {
  return entryOf(key, revision, contentType, Uint8Array.from(atob(value), (char) => char.charCodeAt(0)));
}

export function entryOf(key: string, revision: string, contentType: string, value: Uint8Array<ArrayBuffer>): KvEntry {
  const text = () => new TextDecoder().decode(value);
  return { key, revision: BigInt(revision), contentType, value, text, json: () => JSON.parse(text()) };
}
