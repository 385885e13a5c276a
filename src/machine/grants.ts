/**
 * Grants of a key, whatever its noun: who gets one, who waits, how a hold ends. Capacity and permits are the general case:
 * a lock has one permit for each who may share it, and an exclusive holder takes all of them.
 */
import { assert } from "../assert.ts";
import { HOLDERS_PER_KEY, WAITERS_PER_KEY } from "../limits.ts";
import { compareDecimals, numberOf, wasPossible } from "./fence.ts";
import type { Ended, Force, Hold, KeepPlaces, Leave, Place, Release, Renew, Result } from "./op.ts";
import { indexOfPlace, packPlace, unpackPlace } from "./place.ts";
import { takeRoom } from "./size.ts";
import { change, type Draft, isOfEndedSession, type Kind } from "./state.ts";

/** Who asks, at once or from a place. */
export type Asker =
  & Pick<Place, "holder" | "subject" | "mode" | "permits" | "ttlMs" | "lockDelayMs" | "metadata" | "session">
  & {
    /** The key of the command, see `commandKey`. */
    readonly command: string;
    readonly ask?: string;
    /** Nobody is told of it before all of a set are granted. */
    readonly isOfSet?: boolean;
  };

/** What an op says of waiting: at which node, or not at all. */
type Wait = { readonly node: string } | undefined;

export function ask(draft: Draft, kind: Kind, asker: Asker, wait: Wait): Granting {
  if (isOfEndedSession(draft, asker.session)) return { outcome: "session-ended" };
  // Waiters come first, also before one who takes less and would fit: else readers starve a writer.
  if (draft.queue.length === 0 && fits(draft, asker)) return grantAtOnce(draft, kind, asker);
  if (wait === undefined) return { outcome: draft.holders.length === 0 ? "cooling" : "held" };
  return enqueue(draft, asker, wait.node);
}

export type Granting = Extract<
  Result,
  { readonly outcome: "granted" | "queued" | "held" | "cooling" | "queue-full" | "too-large" | "session-ended" }
>;

function grantAtOnce(draft: Draft, kind: Kind, asker: Asker): Granting {
  const hold = makeHold(draft, asker, draft.version > 1 && asker.isOfSet === true);
  if (!takeRoom(draft, hold)) return { outcome: "too-large" };
  draft.kind = kind;
  grant(draft, hold);
  change(draft);
  return { outcome: "granted", fence: hold.fence, ttlMs: hold.ttlMs };
}

function enqueue(draft: Draft, asker: Asker, node: string): Granting {
  if (draft.queue.length >= WAITERS_PER_KEY) return { outcome: "queue-full" };
  const { command, ask: _which, isOfSet: _set, ...place } = asker;
  const row = packPlace({ ...place, id: command, node, by: draft.by });
  if (!takeRoom(draft, row)) return { outcome: "too-large" };
  draft.queue.push(row);
  change(draft);
  return { outcome: "queued", place: command, position: draft.queue.length };
}

/** What a hold or a place has or asks of the capacity. */
export function permitsOf({ mode, permits }: Pick<Place, "mode" | "permits">): number {
  return permits ?? (mode === "exclusive" ? HOLDERS_PER_KEY : 1);
}

export function capacityOf(limit: number | null): number {
  return limit ?? HOLDERS_PER_KEY;
}

function fits(draft: Draft, asker: Pick<Asker, "mode" | "permits" | "subject" | "holder">): boolean {
  if (draft.cooling !== null || draft.holders.length >= HOLDERS_PER_KEY) return false;
  const used = draft.holders.reduce((sum, hold) => sum + permitsOf(hold), 0);
  if (used + permitsOf(asker) > capacityOf(draft.limit)) return false;
  // Not reentrant, whatever it takes: who holds it under this name waits for itself.
  return !draft.holders.some((hold) => hold.subject === asker.subject && hold.holder === asker.holder);
}

function makeHold(draft: Draft, asker: Asker, unconfirmed: boolean): Hold {
  return {
    fence: numberOf(draft.instance, draft.grants + 1),
    command: asker.command,
    holder: asker.holder,
    subject: asker.subject,
    mode: asker.mode,
    ...(asker.permits === undefined ? {} : { permits: asker.permits }),
    ttlMs: asker.ttlMs,
    lockDelayMs: asker.lockDelayMs,
    ...(asker.metadata === undefined ? {} : { metadata: asker.metadata }),
    ...(asker.session === undefined ? {} : { session: asker.session }),
    ...(asker.ask === undefined ? {} : { ask: asker.ask }),
    by: draft.by,
    unconfirmed,
    fromMs: draft.atMs,
  };
}

function grant(draft: Draft, hold: Hold): void {
  assert(compareDecimals(hold.fence, draft.lastFence) > 0, "fences grow for ever");
  draft.grants++;
  draft.lastFence = hold.fence;
  draft.holders.push(hold);
}

/**
 * Grants the head of the queue while it fits: nobody passes an earlier waiter, however little it asks for.
 * To be called after whatever frees permits or shortens the queue, so that nobody waits for what is free.
 */
export function handOver(draft: Draft): void {
  let taken = 0;
  for (const row of draft.queue) {
    const place = unpackPlace(row);
    if (!fits(draft, place)) break;
    grant(draft, makeHold(draft, { ...place, command: place.id }, true));
    taken++;
  }
  draft.queue.splice(0, taken);
}

/** Moves a hold to the history; the caller then hands over. */
export function endHold(draft: Draft, hold: Hold, end: Ended["end"], reason?: string): void {
  // Without a label, the earliest that it can have lapsed; for people only.
  if (draft.atMs === 0) draft.atMs = hold.fromMs + hold.ttlMs;
  draft.holders.splice(draft.holders.indexOf(hold), 1);
  draft.history = draft.history.concat([{
    fence: hold.fence,
    holder: hold.holder,
    subject: hold.subject,
    fromMs: hold.fromMs,
    toMs: Math.max(hold.fromMs, draft.atMs),
    end,
    ...(reason === undefined ? {} : { reason }),
    ...(end === "lapsed" || end === "session" ? { lastFence: draft.lastFence } : {}),
  }]);
}

/** Ends a grant that nobody took up: it is as if it had never been made, but for its fence. */
export function dropHold(draft: Draft, hold: Hold): void {
  draft.holders.splice(draft.holders.indexOf(hold), 1);
}

/** A cooling period that runs already starts anew with the longer of the two, so neither is cut short. */
export function startCooling(draft: Draft, delayMs: number): void {
  if (delayMs > 0) draft.cooling = { by: draft.by, ttlMs: Math.max(delayMs, draft.cooling?.ttlMs ?? 0) };
}

/** A fence belongs to the subject it was granted to: under any other it is not found, whoever holds it. */
export function holdOf(draft: Draft, subject: string, fence: string): Hold | undefined {
  return draft.holders.find((hold) => hold.fence === fence && hold.subject === subject);
}

export function renew(draft: Draft, subject: string, op: Pick<Renew, "fence" | "ttlMs" | "keeps">) {
  const { fence } = op;
  const hold = holdOf(draft, subject, fence);
  if (hold === undefined) {
    return { outcome: wasPossible(fence, draft.lastFence) ? "lost" : "never-granted", fence } as const;
  }
  if (hold.session !== undefined && op.ttlMs !== undefined) return { outcome: "is-bound", fence } as const;
  const ttlMs = op.ttlMs ?? hold.ttlMs;
  // From now on its lease is no longer that of the first asking.
  const { ask: _which, ...rest } = hold;
  const unconfirmed = hold.unconfirmed && op.keeps === true;
  draft.holders[draft.holders.indexOf(hold)] = { ...rest, ttlMs, by: draft.by, unconfirmed };
  // Renewals as such would wake every watcher for nothing.
  if (ttlMs !== hold.ttlMs) change(draft);
  return { outcome: "renewed", fence, ttlMs } as const;
}

export function release(draft: Draft, subject: string, op: Release) {
  const { fence } = op;
  const hold = holdOf(draft, subject, fence);
  if (hold === undefined) return { outcome: fateOf(draft, subject, fence), fence } as const;
  // Somebody who holds it by the same command has taken it up since.
  if (op.by !== undefined && op.by !== hold.by) return { outcome: "renewed", fence, ttlMs: hold.ttlMs } as const;
  endHold(draft, hold, "released");
  handOver(draft);
  change(draft);
  return { outcome: "released", fence } as const;
}

/** What became of a fence that this subject does not hold. */
function fateOf(draft: Draft, subject: string, fence: string) {
  if (!wasPossible(fence, draft.lastFence)) return "never-granted";
  const other = (item: { fence: string; subject: string }) => item.fence === fence && item.subject !== subject;
  // That the fence is somebody else's is not this subject's to learn.
  if (draft.holders.some(other) || draft.history.some(other)) return "never-granted";
  const ended = draft.history.find((item) => item.fence === fence);
  switch (ended?.end) {
    case "released":
      return "already-released";
    case "forced":
      return "forced";
    case "lapsed":
    case "session":
      return ended.lastFence === draft.lastFence ? "ended" : "taken-over";
    case undefined:
      // Older than the history.
      return "ended";
  }
}

/** Ends every hold and the cooling period: who forces a name wants it free. The caller's authority was checked. */
export function force(draft: Draft, op: Force) {
  const holders = [...draft.holders];
  const cooled = draft.cooling !== null;
  draft.cooling = null;
  for (const hold of holders) endHold(draft, hold, "forced", op.reason);
  handOver(draft);
  if (cooled || holders.length > 0) change(draft);
  return { outcome: "forced-all", count: holders.length } as const;
}

/** `node` is the command's subject. A place is nothing a reader sees renewed, so the revision stays. */
export function keepPlaces(draft: Draft, node: string, op: KeepPlaces) {
  const named = new Set(op.places);
  draft.queue = draft.queue.map((row) => {
    if (!named.has(row[0]) || (row[6] !== node && op.adopt !== true)) return row;
    return packPlace({ ...unpackPlace(row), node, by: draft.by });
  });
  return { outcome: "kept" } as const;
}

export function leave(draft: Draft, subject: string, op: Leave) {
  const hold = draft.holders.find(({ command, subject: owner }) => command === op.place && owner === subject);
  // The grant came first: the caller has it and decides what to do with it.
  if (hold !== undefined) return { outcome: "granted", fence: hold.fence, ttlMs: hold.ttlMs } as const;
  const index = indexOfPlace(draft.queue, op.place);
  const row = draft.queue[index];
  if (row !== undefined && row[2] === subject) {
    if (op.by !== undefined && op.by !== row[7]) {
      return { outcome: "queued", place: op.place, position: index + 1 } as const;
    }
    draft.queue.splice(index, 1);
    // An exclusive waiter at the head may have kept back shared ones.
    handOver(draft);
    change(draft);
  }
  return { outcome: "left" } as const;
}
