/**
 * A member that is new in an epoch gets the names that it has no record of: while it was away others may have begun them and used
 * them so often that nothing is kept of their first commands, and it would take them for fresh (PROTOCOL.md §9). Until it has
 * all, it asks before it proposes; by then whoever decides a new name tells it. That it has all is noted in its store: from then on
 * it is a member like any other.
 */
import { KEYS_PER_REPLY, SWEEP_EPOCH_RETRY_MS, TIMEOUT_DEFAULT_MS } from "../limits.ts";
import type { Clock } from "../ports.ts";
import type { KeyRange, KeysPage } from "../replica/names.ts";
import type { View } from "../replica/own_record.ts";
import { lookAtAll } from "../replica/poller.ts";
import type { Lack } from "../replica/presence.ts";
import { PREFIXES } from "./reserved_keys.ts";

export type ArrivalParts = {
  readonly clock: Clock;
  /** As a quorum of members lists keys; rejects with `no-quorum`. */
  readonly page: (range: KeyRange, timeoutMs: number) => Promise<KeysPage>;
  readonly shown: (key: string) => Promise<View>;
  /** Whether the own record of it is known to be wrong: it says nothing until it is repaired. */
  readonly isStopped: (key: string) => boolean;
  /** Takes over the newest state that members have; false: no read quorum answered. */
  readonly refresh: (key: string) => Promise<boolean>;
  /** Whether this node knows that the epoch before is retired. Before that it takes no name for fresh. */
  readonly isRetired: () => boolean;
  /** Notes durably that this node has all; rejects with StoreError. */
  readonly arrived: () => Promise<void>;
};

export class Arrival implements Lack {
  readonly #parts: ArrivalParts;
  #cancel: () => void = () => {};
  #isClosed = false;
  #hasAll = false;

  constructor(parts: ArrivalParts) {
    this.#parts = parts;
  }

  /** Whether a name without a record here may be one that others have. */
  get isLeft(): boolean {
    return !this.#hasAll && this.#parts.isRetired();
  }

  /** Until it has all, or `close`. */
  start(): void {
    this.#after(SWEEP_EPOCH_RETRY_MS);
  }

  #after(ms: number): void {
    if (this.#isClosed) return;
    this.#cancel = this.#parts.clock.after(ms, async () => {
      const sinceMs = this.#parts.clock.now();
      this.#hasAll = this.#parts.isRetired() && await this.#getAll().catch(() => false);
      // Every record is durable by now. If its disk fails, the next start looks again.
      if (this.#hasAll) await this.#parts.arrived().catch(() => {});
      // Whoever is slow has enough to do.
      else this.#after(Math.max(SWEEP_EPOCH_RETRY_MS, this.#parts.clock.now() - sinceMs));
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  /** False: of some name no quorum answered, or nothing can be said here for now. Rejects as `page` does. */
  async #getAll(): Promise<boolean> {
    let hasAll = true;
    const { shown, isStopped, refresh } = this.#parts;
    const get = async (key: string) => {
      if (this.#isClosed) return;
      const own = await shown(key).catch(() => null);
      // One that is wrong takes no part in anything until it is repaired; a store that fails says nothing of any.
      const isGot = own === null ? isStopped(key) : own.isImported || await refresh(key);
      if (!isGot) hasAll = false;
    };
    for (const prefix of PREFIXES) {
      for (let after = ""; !this.#isClosed;) {
        const range = { prefix, after, limit: KEYS_PER_REPLY, which: "all" } as const;
        const { keys, more } = await this.#parts.page(range, TIMEOUT_DEFAULT_MS);
        await lookAtAll(keys, get);
        const last = keys.at(-1);
        if (!more || last === undefined) break;
        after = last;
      }
    }
    return hasAll && !this.#isClosed;
  }
}
