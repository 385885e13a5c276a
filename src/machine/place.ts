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
  metadata?: string,
];

export function packPlace(place: Place): PlaceRow {
  const { id, holder, subject, ttlMs, lockDelayMs, node, by, metadata } = place;
  const share = place.permits ?? (place.mode === "shared" ? "s" : "x");
  return metadata === undefined
    ? [id, holder, subject, share, ttlMs, lockDelayMs, node, by]
    : [id, holder, subject, share, ttlMs, lockDelayMs, node, by, metadata];
}

export function unpackPlace(row: PlaceRow): Place {
  const [id, holder, subject, share, ttlMs, lockDelayMs, node, by, metadata] = row;
  return {
    id,
    holder,
    subject,
    mode: share === "x" ? "exclusive" : "shared",
    ...(typeof share === "number" ? { permits: share } : {}),
    ttlMs,
    lockDelayMs,
    ...(metadata === undefined ? {} : { metadata }),
    node,
    by,
  };
}

/** Index of the place with this id, or −1. */
export function indexOfPlace(queue: readonly PlaceRow[], id: string): number {
  return queue.findIndex((row) => row[0] === id);
}
