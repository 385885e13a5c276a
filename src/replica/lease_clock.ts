/**
 * Who saw which lease since when, on this process's own monotonic clock (PROTOCOL.md §7). Nothing here is durable:
 * a process that restarts starts every lease anew, which can only make it last longer. Where processes come and go too
 * quickly for any lease to end so, those that serve a shared store keep beside each record when one of them first saw
 * its leases, by the platform's wall clock.
 */
import { DRIFT, WALL_MARGIN_MS } from "../limits.ts";
import { leaseKey, type LeaseName, type Machine, type State } from "../paxos/message.ts";
import type { Clock, StoredRecord } from "./ports.ts";

type FirstSeen = NonNullable<StoredRecord["firstSeen"]>;

/** One key: leases of S(instance − 1), and the values this process voted for at `instance`. */
type Seen = {
  readonly instance: number;
  readonly state: State;
  readonly since: Map<string, number>;
  readonly voted: Map<string, number>;
};

export class LeaseClock {
  readonly #clock: Clock;
  readonly #machine: Machine;
  readonly #keys = new Map<string, Seen>();

  constructor(clock: Clock, machine: Machine) {
    this.#clock = clock;
    this.#machine = machine;
  }

  /**
   * This process reads or writes a record at `instance` with this state.
   * @param firstSeen what those who serve the same store have noted of its leases
   */
  see(key: string, instance: number, state: State, firstSeen: FirstSeen = {}): void {
    const known = this.#keys.get(key);
    if (known?.state === state) return;
    const now = this.#clock.now();
    const leases = this.#machine.leases(state);
    if (known !== undefined && known.instance > instance) {
      // The record stands below what a step showed whose commit then failed. The leases that step would have ended are there
      // all the same, and begin anew: taken for ended they would be timed by nobody, and never run out.
      for (const lease of leases) {
        const name = leaseKey(lease);
        if (!known.since.has(name)) known.since.set(name, now - this.#notedMs(firstSeen[name]));
      }
      return;
    }
    // Votes of an instance that is over say when its leases began; after that they are only weight.
    const voted = known?.instance === instance ? known.voted : new Map<string, number>();
    if (leases.length === 0 && voted.size === 0) {
      this.#keys.delete(key);
      return;
    }
    const since = new Map<string, number>();
    for (const lease of leases) {
      const name = leaseKey(lease);
      const own = known?.since.get(name) ?? known?.voted.get(lease.by) ?? now;
      since.set(name, Math.min(own, now - this.#notedMs(firstSeen[name])));
    }
    this.#keys.set(key, { instance, state, since, voted });
  }

  /** This process votes for the value at `instance`, which `state` opens: what it will grant or renew counts from now. */
  voted(key: string, instance: number, state: State, valueId: string): void {
    const known = this.#keys.get(key);
    // Known at another instance where a step ran for a commit that failed: no lease begins anew because of that.
    const since = known?.since ?? new Map();
    const seen = known?.instance === instance ? known : { instance, state, since, voted: new Map() };
    if (!seen.voted.has(valueId)) seen.voted.set(valueId, this.#clock.now());
    this.#keys.set(key, seen);
  }

  /** What to note beside a record with this state: of leases that it had before, what was noted then. */
  firstSeen(state: State, before: FirstSeen = {}): FirstSeen {
    const wall = this.#clock.wall();
    return Object.fromEntries(
      this.#machine.leases(state).map((lease) => [leaseKey(lease), before[leaseKey(lease)] ?? wall]),
    );
  }

  /** How long ago that is for sure, whoever noted it: wall clocks of one platform are trusted so far and no further. */
  #notedMs(wallMs: number | undefined): number {
    return wallMs === undefined ? 0 : Math.max(0, this.#clock.wall() - wallMs - WALL_MARGIN_MS);
  }

  seenMs(key: string, lease: LeaseName): number {
    const since = this.#keys.get(key)?.since.get(leaseKey(lease));
    return since === undefined ? 0 : this.#clock.now() - since;
  }

  /** How long until the last lease of the key may be called lapsed; null if this process sees none. */
  remainingOfKeyMs(key: string): number | null {
    const seen = this.#keys.get(key);
    const leases = seen === undefined ? [] : this.#machine.leases(seen.state);
    return leases.length === 0 ? null : Math.max(...leases.map((lease) => this.remainingMs(key, lease)));
  }

  /** How long until this process may call the lease lapsed; 0 if now. */
  remainingMs(key: string, lease: LeaseName & { readonly ttlMs: number }): number {
    return Math.max(0, lease.ttlMs * (1 + DRIFT) - this.seenMs(key, lease));
  }
}
