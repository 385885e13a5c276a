/**
 * Checks what the users of locks were told, lock by lock, in O(n log n): fences as in fences.ts, and that of two grants
 * that exclude each other the later was not answered while the earlier was guaranteed and not given back.
 * Independent of the code it checks: it knows only times and numbers.
 */
import { fenceFaults, type FenceRead, type GrantEvent } from "./fences.ts";

/** Times in ms of one clock. */
export type HoldEvent = GrantEvent & {
  readonly mode: "exclusive" | "shared";
  /** Nobody else may have it before, says the answer, or that of the last renewal. */
  readonly guaranteedUntilMs: number;
  /** When its holder began to give it back; Infinity if it never did. */
  readonly releasedMs: number;
};

/** One line per violation. Without `leases` only fences count: clocks were outside the bound guarantees are given for. */
export function lockFaults(holds: readonly HoldEvent[], leases: boolean, reads: readonly FenceRead[] = []): string[] {
  return [...fenceFaults(holds, reads), ...(leases ? overlaps(holds) : [])];
}

/** Sweeps the fences of each lock upwards, with the guarantees below that last longest, of all modes and of exclusive. */
function overlaps(holds: readonly HoldEvent[]): string[] {
  const sorted = [...holds].sort((a, b) => a.lock < b.lock ? -1 : a.lock > b.lock ? 1 : a.fence < b.fence ? -1 : 1);
  const faults: string[] = [];
  let any: HoldEvent | null = null;
  let exclusive: HoldEvent | null = null;
  for (const later of sorted) {
    if (any !== null && any.lock !== later.lock) any = exclusive = null;
    const earlier: HoldEvent | null = later.mode === "exclusive" ? any : exclusive;
    if (earlier !== null && later.returnedMs < endOf(earlier)) {
      faults.push(
        `${later.lock}: fence ${later.fence} was answered at ${later.returnedMs.toFixed(0)}, while ${earlier.fence} ` +
          `was guaranteed until ${endOf(earlier).toFixed(0)}`,
      );
    }
    any = longer(any, later);
    if (later.mode === "exclusive") exclusive = longer(exclusive, later);
  }
  return faults;
}

function longer(known: HoldEvent | null, next: HoldEvent): HoldEvent {
  return known === null || endOf(next) > endOf(known) ? next : known;
}

function endOf(hold: HoldEvent): number {
  return Math.min(hold.guaranteedUntilMs, hold.releasedMs);
}
