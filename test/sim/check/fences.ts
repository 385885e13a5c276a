/**
 * Checks the fences of one run, lock by lock, in O(n log n): they are distinct, and each exceeds every fence of that
 * lock that was returned before its own call began; no read says less than what was returned before it. Independent of the code it checks: it knows only times and numbers.
 */

/** One acquire that was answered with a grant. Times in ms of one clock. */
export type GrantEvent = {
  readonly lock: string;
  readonly calledMs: number;
  readonly returnedMs: number;
  readonly fence: bigint;
};

/** One linearizable read that was answered: `fence` is the highest granted by then. */
export type FenceRead = GrantEvent;

/** One line per violation. */
export function fenceFaults(grants: readonly GrantEvent[], reads: readonly FenceRead[] = []): string[] {
  const grantsOf = Map.groupBy(grants, ({ lock }) => lock);
  const readsOf = Map.groupBy(reads, ({ lock }) => lock);
  return [...new Set([...grantsOf.keys(), ...readsOf.keys()])].flatMap((lock) => {
    const granted = grantsOf.get(lock) ?? [];
    return [...repeated(lock, granted), ...sunk(lock, granted, readsOf.get(lock) ?? [])];
  });
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
function sunk(lock: string, grants: readonly GrantEvent[], reads: readonly FenceRead[]): string[] {
  const asked = [
    ...grants.map((event) => ({ event, isRead: false })),
    ...reads.map((event) => ({ event, isRead: true })),
  ];
  const calls = asked.toSorted((a, b) => a.event.calledMs - b.event.calledMs);
  const returns = [...grants, ...reads].sort((a, b) => a.returnedMs - b.returnedMs);
  const faults: string[] = [];
  let highest = -1n;
  let next = 0;
  for (const { event: { calledMs, fence }, isRead } of calls) {
    for (; next < returns.length && returns[next]!.returnedMs < calledMs; next++) {
      if (returns[next]!.fence > highest) highest = returns[next]!.fence;
    }
    if (!isRead && fence <= highest) {
      faults.push(`${lock}: fence ${fence} was granted after ${highest} had been returned`);
    }
    if (isRead && fence < highest) faults.push(`${lock}: fence ${fence} was read after ${highest} had been returned`);
  }
  return faults;
}
