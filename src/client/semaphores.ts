/** Semaphores: up to so many permits of a name at a time. */
import { type Calls, checkedTarget } from "./calls.ts";
import { type Held, HeldGrant, surelyHeld, whileHeld } from "./held.ts";
import { leaseOf } from "./sessions.ts";
import { bodyOf, take, type TakeOptions } from "./take.ts";

/** What permits are asked for with. */
export interface SemaphoreOptions extends TakeOptions {
  /**
   * How many permits there are in all. All who use the semaphore at the same time have to name the same number; a call
   * that names another rejects with `limit-mismatch`.
   */
  readonly limit: number;
  /** How many of them to take. Default: 1. */
  readonly permits?: number;
}

/** Permits that are held. Their fence guards no single resource: a later holder's would shut out an earlier one's. */
export interface Permits extends Held {
  /** How many permits are held. */
  readonly permits: number;
}

/** Semaphores of a cluster. */
export interface Semaphores {
  /**
   * Waits for permits, calls back while they are held, and gives them back. Resolves and rejects as `Locks.request`
   * does, and rejects with `limit-mismatch` while others use the semaphore with another limit.
   */
  request<T>(name: string, options: SemaphoreOptions, callback: (permits: Permits) => T | Promise<T>): Promise<T>;
}

class HeldPermits extends HeldGrant implements Permits {
  readonly permits: number;

  constructor(parts: ConstructorParameters<typeof HeldGrant>[0], permits: number) {
    super(parts);
    this.permits = permits;
  }
}

export function createSemaphores(calls: Calls): Semaphores {
  return {
    async request(name, options, callback) {
      const { limit, permits = 1, holder, wait = Infinity, signal, onPosition } = options;
      const session = leaseOf(options.session);
      const target = checkedTarget("semaphores", name);
      const body = { ...bodyOf(options), limit, permits, ...(holder !== undefined && { holder }) };
      const taken = await take(calls, { target, body, waitMs: wait, signal, onPosition });
      const parts = { calls, taken, noun: "semaphore", session };
      return await whileHeld(await surelyHeld(new HeldPermits(parts, permits)), callback);
    },
  };
}
