/**
 * Checks what the users of semaphores were told, semaphore by semaphore, in O(n log n): fences as in fences.ts, and that
 * the permits of grants that were answered, are guaranteed and were not given back never exceed the limit.
 * Independent of the code it checks: it knows only times and numbers.
 */
import { fenceFaults, type FenceRead, type GrantEvent } from "./fences.ts";

/** Times in ms of one clock. `lock` is the semaphore's name. */
export type PermitEvent = GrantEvent & {
  readonly permits: number;
  /** How many permits there are together. */
  readonly limit: number;
  /** Nobody else may have them before, says the answer, or that of the last renewal. */
  readonly guaranteedUntilMs: number;
  /** When their holder began to give them back; Infinity if it never did. */
  readonly releasedMs: number;
};

/** One line per violation. Without `leases` only fences count: clocks were outside the bound guarantees are given for. */
export function permitFaults(
  grants: readonly PermitEvent[],
  leases: boolean,
  reads: readonly FenceRead[] = [],
): string[] {
  const overdrawn = [...Map.groupBy(grants, ({ lock }) => lock).values()].flatMap(exceeded);
  return [...fenceFaults(grants, reads), ...(leases ? overdrawn : [])];
}

/** Sweeps the ends and beginnings of guarantees in order of time, with the permits in use. */
function exceeded(grants: readonly PermitEvent[]): string[] {
  const marks = grants.flatMap((grant) => {
    const endMs = Math.min(grant.guaranteedUntilMs, grant.releasedMs);
    if (endMs <= grant.returnedMs) return [];
    return [{ grant, atMs: grant.returnedMs, change: grant.permits }, { grant, atMs: endMs, change: -grant.permits }];
  });
  // What ends at a time no longer counts at it.
  marks.sort((a, b) => a.atMs - b.atMs || a.change - b.change);
  const faults: string[] = [];
  let inUse = 0;
  for (const { grant: { lock, fence, limit }, atMs, change } of marks) {
    inUse += change;
    if (change > 0 && inUse > limit) {
      faults.push(
        `${lock}: with fence ${fence}, answered at ${atMs.toFixed(0)}, ${inUse} of ${limit} permits are in use`,
      );
    }
  }
  return faults;
}
