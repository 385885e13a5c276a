/**
 * Who saw which lease since when, on this process's own monotonic clock (PROTOCOL.md §7). Nothing here is durable:
 * a process that restarts starts every lease anew, which can only make it last longer.
 */
import { DRIFT } from "../limits.ts";
import { leaseKey, type LeaseName, type Machine, type State } from "../paxos/message.ts";
import type { Clock } from "./ports.ts";

export class LeaseClock {
  readonly #clock: Clock;
  readonly #machine: Machine;
  readonly #keys = new Map<string, { state: State | null; since: Map<string, number>; voted: Map<string, number> }>();

  constructor(clock: Clock, machine: Machine) {
    this.#clock = clock;
    this.#machine = machine;
  }

  /** This process reads or writes a record with this state. */
  see(key: string, state: State): void {
    const known = this.#keys.get(key);
    if (known?.state === state) return;
    const leases = this.#machine.leases(state);
    if (leases.length === 0) {
      // A vote may still be for a value that grants one.
      if (known !== undefined && known.voted.size === 0) this.#keys.delete(key);
      else if (known !== undefined) known.since.clear();
      return;
    }
    const now = this.#clock.now();
    const since = new Map<string, number>();
    for (const lease of leases) {
      const name = leaseKey(lease);
      since.set(name, known?.since.get(name) ?? known?.voted.get(lease.by) ?? now);
    }
    this.#keys.set(key, { state, since, voted: new Map() });
  }

  /** This process votes for the value: what it will grant or renew counts from now. */
  voted(key: string, valueId: string): void {
    const known = this.#keys.get(key) ?? { state: null, since: new Map(), voted: new Map() };
    if (!known.voted.has(valueId)) known.voted.set(valueId, this.#clock.now());
    this.#keys.set(key, known);
  }

  seenMs(key: string, lease: LeaseName): number {
    const since = this.#keys.get(key)?.since.get(leaseKey(lease));
    return since === undefined ? 0 : this.#clock.now() - since;
  }

  /** How long until this process may call the lease lapsed; 0 if now. */
  remainingMs(key: string, lease: LeaseName & { readonly ttlMs: number }): number {
    return Math.max(0, lease.ttlMs * (1 + DRIFT) - this.seenMs(key, lease));
  }
}
