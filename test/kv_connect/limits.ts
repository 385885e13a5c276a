/** What a Deno KV refuses by its size, and what this stand-in refuses because nothing of Quorate asks for it. */
import { type AtomicWrite, DELETE, type ReadRange, SET } from "./messages.ts";

const KEY_MAX_BYTES = 2_048;
/** A range's end may be a longest key and one byte. */
const READ_KEY_MAX_BYTES = KEY_MAX_BYTES + 1;
const VALUE_MAX_BYTES = 65_536;
const READ_RANGES_MAX = 10;
const READ_ENTRIES_MAX = 1_000;
const MUTATIONS_MAX = 1_000;
const WRITE_MAX_BYTES = 819_200;
const VERSIONSTAMP_BYTES = 10;
const ENCODINGS = [1, 2, 3];

/** In one atomic write. Deno's own databases take 100; a `denokv` that one runs oneself takes 10. */
export const CHECKS_MAX = 100;

/** A request is answered 400 with the message, which the client throws and does not try again. */
export class Refused extends Error {}

/** Throws Refused. */
export function checkRead(ranges: readonly ReadRange[]): void {
  if (ranges.length > READ_RANGES_MAX) refuse("Too many read ranges requested in one read request.");
  let entries = 0;
  for (const { start, end, limit } of ranges) {
    if (limit <= 0) refuse("The read range limit of the snapshot read request is invalid.");
    if (Math.max(start.length, end.length) > READ_KEY_MAX_BYTES) refuse("A key exceeds the key size limit.");
    entries += limit;
  }
  if (entries > READ_ENTRIES_MAX) refuse("The total number of entries requested across read ranges is too large.");
}

/** Throws Refused. */
export function checkWrite({ checks, mutations, enqueues }: AtomicWrite, checksMax: number): void {
  if (enqueues > 0) refuse("Queues are not supported.");
  if (checks.length > checksMax) refuse("Too many checks included in atomic write.");
  if (mutations.length > MUTATIONS_MAX) refuse("Too many mutations / enqueues included in atomic write.");
  let bytes = 0;
  for (const { key, versionstamp } of checks) {
    if (key.length > READ_KEY_MAX_BYTES) refuse("A key exceeds the key size limit.");
    if (versionstamp.length !== 0 && versionstamp.length !== VERSIONSTAMP_BYTES) refuse("Invalid versionstamp.");
    bytes += key.length;
  }
  for (const { key, type, value, expireAtMs } of mutations) {
    if (type !== SET && type !== DELETE) refuse(`Mutations other than set and delete are not supported (${type}).`);
    if (type === SET && (value === null || !ENCODINGS.includes(value.encoding))) refuse("Invalid mutation value.");
    if (expireAtMs !== 0n && expireAtMs !== -1n) refuse("Expiry is not supported.");
    if (key.length > KEY_MAX_BYTES) refuse("A key exceeds the key size limit.");
    const valueBytes = value?.data.length ?? 0;
    if (valueBytes > VALUE_MAX_BYTES) refuse("A value exceeds the value size limit.");
    bytes += key.length + valueBytes;
  }
  if (bytes > WRITE_MAX_BYTES) refuse("The total size of the atomic write is too large.");
}

function refuse(message: string): never {
  throw new Refused(message);
}
