/** A place in the queue as the state keeps it: a row without field names, so that a full queue fits its record. */
import type { Place } from "./op.ts";

export type PlaceRow = readonly [
  id: string,
  holder: string,
  subject: string,
  /** Exclusive, shared, or so many permits. */
  share: "x" | "s" | number,
  ttlMs: number,
  lockDelayMs: number,
  node: string,
  by: string,
  metadata?: string | null,
  session?: string,
];

export function packPlace(place: Place): PlaceRow {
  const { id, holder, subject, ttlMs, lockDelayMs, node, by, metadata, session } = place;
  const share = place.permits ?? (place.mode === "shared" ? "s" : "x");
  const row = [id, holder, subject, share, ttlMs, lockDelayMs, node, by] as const;
  if (session !== undefined) return [...row, metadata ?? null, session];
  return metadata === undefined ? row : [...row, metadata];
}

export function unpackPlace(row: PlaceRow): Place {
  const [id, holder, subject, share, ttlMs, lockDelayMs, node, by, metadata, session] = row;
  return {
    id,
    holder,
    subject,
    mode: share === "x" ? "exclusive" : "shared",
    ...(typeof share === "number" ? { permits: share } : {}),
    ttlMs,
    lockDelayMs,
    ...(metadata === undefined || metadata === null ? {} : { metadata }),
    ...(session === undefined ? {} : { session }),
    node,
    by,
  };
}

/** Index of the place with this id, or −1. */
export function indexOfPlace(queue: readonly PlaceRow[], id: string): number {
  return queue.findIndex((row) => row[0] === id);
}

/** By queue, where each place stands: whoever answers many waiters looks for each of them in the same queue. */
const standing = new WeakMap<readonly PlaceRow[], ReadonlyMap<string, number>>();

/** As `indexOfPlace`, of a queue that does not change any more. */
export function indexInState(queue: readonly PlaceRow[], id: string): number {
  let places = standing.get(queue);
  if (places === undefined) {
    places = new Map(queue.map(([place], index) => [place, index]));
    standing.set(queue, places);
  }
  return places.get(id) ?? -1;
}
