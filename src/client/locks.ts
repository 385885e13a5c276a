/** Locks, in the shape of `navigator.locks` (the Web Locks API) and as values to hold on to. */
import type { LockState } from "../api.ts";
import { type Calls, checkedTarget } from "./calls.ts";
import { type Held, HeldGrant, surelyHeld, whileHeld } from "./held.ts";
import { itemsOf } from "./pages.ts";
import { leaseOf } from "./sessions.ts";
import { type Asked, bodyOf, take, type Taken, type TakeOptions, tryTake } from "./take.ts";

/** What a lock may be asked for with. */
export interface LockOptions extends TakeOptions {
  /** `shared`: any number of shared holders, or one exclusive. Default: `exclusive`. */
  readonly mode?: "exclusive" | "shared";
}

/** `LockOptions`, and what only a request with a callback has. */
export interface LockRequestOptions extends LockOptions {
  /** Do not wait: call back with null if somebody holds it. */
  readonly ifAvailable?: boolean;
}

/** A lock that is held, or several that were taken together. */
export interface Lock extends Held {
  /** How it is held. */
  readonly mode: "exclusive" | "shared";
}

/** A lock in a snapshot. */
export interface LockInfo {
  /** What names the lock. */
  readonly name: string;
  /** How it is held or asked for. */
  readonly mode: "exclusive" | "shared";
  /** Who holds it or waits, as they call themselves. */
  readonly holder: string;
  /** The fence of one who holds it. */
  readonly fence?: bigint;
  /** The place in the queue of one who waits, from 1. */
  readonly position?: number;
}

/** What is held and who waits. */
export interface LockSnapshot {
  /** Holders, by name of the lock. */
  readonly held: readonly LockInfo[];
  /** Those who wait, by name of the lock; at most 100 a lock. */
  readonly pending: readonly LockInfo[];
}

/** Locks of a cluster. */
export interface Locks {
  /**
   * Waits for the lock, or for all of several, calls back while it is held, and gives it back. Resolves with what the
   * callback returns. Rejects with the callback's error, with the signal's reason if that aborts first, with `held`
   * once `wait` is over, and with `lock-lost` if the lock was lost before the callback had ended.
   */
  request<T>(name: string | readonly string[], callback: (lock: Lock) => T | Promise<T>): Promise<T>;
  /** As above, with options; with `ifAvailable` the callback gets null where somebody else holds it. */
  request<T>(
    name: string | readonly string[],
    options: LockRequestOptions & { readonly ifAvailable: true },
    callback: (lock: Lock | null) => T | Promise<T>,
  ): Promise<T>;
  /** As above, with options. */
  request<T>(
    name: string | readonly string[],
    options: LockRequestOptions & { readonly ifAvailable?: false },
    callback: (lock: Lock) => T | Promise<T>,
  ): Promise<T>;
  /**
   * Waits for the lock, or for all of several, and resolves with it. Rejects with `held` once `wait` is over, and with
   * the signal's reason if that aborts first.
   */
  acquire(name: string | readonly string[], options?: LockOptions): Promise<Lock>;
  /**
   * Takes the lock without waiting. Resolves with it, or with null if somebody else holds it or waits for it already.
   */
  tryAcquire(name: string | readonly string[], options?: Omit<LockOptions, "wait">): Promise<Lock | null>;
  /**
   * Resolves with the holders and the waiters of all locks whose names begin with `prefix`. Each lock is read by
   * itself, so this is no snapshot of one moment.
   */
  query(options?: { readonly prefix?: string; readonly signal?: AbortSignal }): Promise<LockSnapshot>;
}

class HeldLock extends HeldGrant implements Lock {
  readonly mode: "exclusive" | "shared";

  constructor(parts: ConstructorParameters<typeof HeldGrant>[0], mode: "exclusive" | "shared") {
    super(parts);
    this.mode = mode;
  }
}

export function createLocks(calls: Calls): Locks {
  /** Asks as `how` does, and holds what it got. */
  async function held<T extends Taken | null>(
    how: (calls: Calls, asked: Asked) => Promise<T>,
    given: string | readonly string[],
    options: LockOptions,
    waitMs: number,
  ): Promise<HeldLock | Exclude<T, Taken>> {
    const { mode = "exclusive", holder, signal, onPosition } = options;
    const session = leaseOf(options.session);
    const names = typeof given === "string" ? null : [...new Set(given)];
    const targets = (names ?? [given as string]).map((name) => checkedTarget("locks", name));
    const taken = await how(calls, {
      target: names === null ? targets[0]! : "/v1/locks",
      targets,
      names,
      body: { ...bodyOf(options), mode, ...(holder !== undefined && { holder }) },
      waitMs,
      signal,
      onPosition,
    });
    if (taken === null) return taken as Exclude<T, Taken>;
    return await surelyHeld(new HeldLock({ calls, taken, noun: "lock", session }, mode));
  }

  type Name = string | readonly string[];
  const acquire = (name: Name, options: LockOptions = {}) => held(take, name, options, options.wait ?? Infinity);
  const tryAcquire = (name: Name, options: LockOptions = {}) => held(tryTake, name, options, 0);

  type Callback<T> = (lock: Lock | null) => T | Promise<T>;
  async function request<T>(
    name: string | readonly string[],
    ...rest: readonly [Callback<T>] | readonly [LockRequestOptions, Callback<T>]
  ): Promise<T> {
    const [options, callback] = rest.length === 1 ? [{}, rest[0]] : rest;
    if (options.ifAvailable !== true) return await whileHeld(await acquire(name, options), callback);
    const lock = await tryAcquire(name, options);
    return lock === null ? await callback(null) : await whileHeld(lock, callback);
  }

  return { request: request as Locks["request"], acquire, tryAcquire, query: (options) => query(calls, options) };
}

async function query(
  calls: Calls,
  { prefix = "", signal }: { readonly prefix?: string; readonly signal?: AbortSignal } = {},
): Promise<LockSnapshot> {
  const held: LockInfo[] = [];
  const pending: LockInfo[] = [];
  const target = `/v1/locks?prefix=${encodeURIComponent(prefix)}`;
  for await (const { name, holders, waiters, state } of itemsOf<LockState>(calls, target, signal)) {
    for (const { holder, mode, fence } of state === "held" ? holders : []) {
      held.push({ name, mode, holder, fence: BigInt(fence) });
    }
    for (const { holder, mode, position } of waiters) pending.push({ name, mode, holder, position });
  }
  return { held, pending };
}
