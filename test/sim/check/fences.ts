/**
 * Checks the fences of one run, lock by lock, in O(n log n): they are distinct, and each exceeds every fence of that
 * lock that was returned before its own call began. Independent of the code it checks: it knows only times and numbers.
 */

/** One acquire that was answered with a grant. Times in ms of one clock. */
export type GrantEvent = {
  readonly lock: string;
  readonly calledMs: number;
  readonly returnedMs: number;
  readonly fence: bigint;
};

/** One line per violation. */
export function fenceFaults(events: readonly GrantEvent[]): string[] {
  const byLock = new Map<string, GrantEvent[]>();
  for (const event of events) byLock.set(event.lock, [...byLock.get(event.lock) ?? [], event]);
  return [...byLock].flatMap(([lock, grants]) => [...repeated(lock, grants), ...sunk(lock, grants)]);
}

function repeated(lock: string, grants: readonly GrantEvent[]): string[] {
  const seen = new Set<bigint>();
  return grants.flatMap(({ fence }) => {
    const again = seen.has(fence);
    seen.add(fence);
    return again ? [`${lock}: fence ${fence} was granted twice`] : [];
  });
}

/** Sweeps calls in order of time, with the highest fence returned so far. */
function sunk(lock: string, grants: readonly GrantEvent[]): string[] {
  const calls = [...grants].sort((a, b) => a.calledMs - b.calledMs);
  const returns = [...grants].sort((a, b) => a.returnedMs - b.returnedMs);
  const faults: string[] = [];
  let highest = -1n;
  let next = 0;
  for (const call of calls) {
    for (; next < returns.length && returns[next]!.returnedMs < call.calledMs; next++) {
      if (returns[next]!.fence > highest) highest = returns[next]!.fence;
    }
    if (call.fence <= highest) {
      faults.push(`${lock}: fence ${call.fence} was granted after ${highest} had been returned`);
    }
  }
  return faults;
}
