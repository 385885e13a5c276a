/**
 * Who saw which lease since when, on this process's own monotonic clock (PROTOCOL.md §7). Nothing here is durable:
 * a process that restarts starts every lease anew, which can only make it last longer. Where processes come and go too
 * quickly for any lease to end so, those that serve a shared store keep beside each record when one of them first saw
 * its leases, by the platform's wall clock.
 */
import { DRIFT, LEASES_MAX_KEYS, WALL_MARGIN_MS } from "../limits.ts";
import type { ImportVote } from "../members/message.ts";
import {
  type AcceptorRecord,
  leaseKey,
  type LeaseName,
  type LeaseTerm,
  type Machine,
  type Snapshot,
  type State,
} from "../paxos/message.ts";
import { Remembered } from "../remembered.ts";
import type { Clock, StoredRecord } from "../ports.ts";

type FirstSeen = NonNullable<StoredRecord["firstSeen"]>;
/** A state by its hash, and the instance it opens. */
type Opening = Pick<Snapshot, "instance" | "state" | "stateHash">;

/** One key: leases of S(instance − 1), and the values this process voted for at `instance`. Never the state: it is heavy. */
type Seen = {
  readonly instance: number;
  /** The hash of the state whose leases these are; null where a vote came before it. */
  readonly stateHash: string | null;
  readonly since: Map<string, { readonly sinceMs: number; readonly ttlMs: number }>;
  readonly voted: Map<string, number> | null;
};

export class LeaseClock {
  readonly #clock: Clock;
  readonly #machine: Machine;
  /** Forgotten, a lease begins anew when it is seen next: it can only last longer. */
  readonly #keys: Remembered<Seen>;

  constructor(clock: Clock, machine: Machine, maxKeys: number = LEASES_MAX_KEYS) {
    this.#clock = clock;
    this.#machine = machine;
    this.#keys = new Remembered(maxKeys);
  }

  /**
   * This process reads or writes a record that stands so.
   * @param firstSeen what those who serve the same store have noted of its leases
   */
  see(key: string, { instance, state, stateHash }: Opening, firstSeen?: FirstSeen): void {
    const known = this.#keys.get(key);
    if (known?.stateHash === stateHash && known.instance === instance && firstSeen === undefined) return;
    const leases = this.#machine.leases(state);
    if (known === undefined && leases.length === 0) return;
    const now = this.#clock.now();
    const isFrom = (lease: LeaseTerm, ownMs: number) => ({
      sinceMs: Math.min(ownMs, now - this.#notedMs(firstSeen?.[leaseKey(lease)])),
      ttlMs: lease.ttlMs,
    });
    if (known !== undefined && known.instance > instance) {
      // The record stands below what a step showed whose commit then failed. The leases that step would have ended are there
      // all the same, and begin anew: taken for ended they would be timed by nobody, and never run out.
      for (const lease of leases) {
        const name = leaseKey(lease);
        if (!known.since.has(name)) known.since.set(name, isFrom(lease, now));
      }
      return;
    }
    // Votes of the instance that made this state say when its leases began; others say nothing of them, as a value that lost
    // may be proposed again. After that they are only weight.
    const madeBy = known?.instance === instance - 1 ? known.voted : null;
    const voted = known?.instance === instance ? known.voted : null;
    if (leases.length === 0 && voted === null) return this.#keys.delete(key);
    const since: Seen["since"] = new Map();
    for (const lease of leases) {
      const name = leaseKey(lease);
      const ownMs = known?.since.get(name)?.sinceMs ?? madeBy?.get(lease.by) ?? now;
      since.set(name, isFrom(lease, ownMs));
    }
    this.#keys.set(key, { instance, stateHash, since, voted });
  }

  /**
   * To be called in a step that may still fail to be kept. What it returns is to be called once it is durable: before that no vote
   * of it dates a lease.
   */
  stepped(key: string, before: AcceptorRecord, after: AcceptorRecord): (() => void) | null {
    // First: a vote may come in the same write as the move to its instance, and leases carried over go on counting.
    if (after.instance !== before.instance) this.see(key, after);
    const { instance, vote } = after;
    const isSameInstance = instance === before.instance;
    // A hedged value that lost is voted for under the same id where it is proposed again.
    if (vote === null || (isSameInstance && vote.value.id === before.vote?.value.id)) return null;
    return () => this.voted(key, instance, vote.value.id);
  }

  /** The same for a vote in the import of a key. */
  imported(key: string, vote: ImportVote | null): (() => void) | null {
    return vote === null ? null : () => this.voted(key, vote.base.instance, vote.value.id);
  }

  /** A vote of this process for the value at `instance` is durable: what it will grant or renew counts from now. */
  voted(key: string, instance: number, valueId: string): void {
    const known = this.#keys.get(key);
    // The record has moved on since.
    if (known !== undefined && known.instance > instance) return;
    const isHere = known?.instance === instance;
    const voted = (isHere ? known.voted : null) ?? new Map<string, number>();
    if (!voted.has(valueId)) voted.set(valueId, this.#clock.now());
    // Known at another instance where a step ran for a commit that failed: no lease begins anew because of that.
    this.#keys.set(key, {
      instance,
      stateHash: isHere ? known.stateHash : null,
      since: known?.since ?? new Map(),
      voted,
    });
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
    const seen = this.#keys.get(key)?.since.get(leaseKey(lease));
    return seen === undefined ? 0 : this.#clock.now() - seen.sinceMs;
  }

  /** How long until the last lease of the key may be called lapsed; null if this process sees none. */
  remainingOfKeyMs(key: string): number | null {
    const since = [...this.#keys.get(key)?.since.values() ?? []];
    const now = this.#clock.now();
    return since.length === 0
      ? null
      : Math.max(...since.map(({ sinceMs, ttlMs }) => Math.max(0, ttlMs * (1 + DRIFT) - (now - sinceMs))));
  }

  /** How long until this process may call the lease lapsed; 0 if now. */
  remainingMs(key: string, lease: LeaseTerm): number {
    return Math.max(0, this.dueInMs(key, lease));
  }

  /** The same; below 0: since how long it may. */
  dueInMs(key: string, lease: LeaseTerm): number {
    return lease.ttlMs * (1 + DRIFT) - this.seenMs(key, lease);
  }
}
