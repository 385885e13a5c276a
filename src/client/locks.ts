/** Locks, in the shape of `navigator.locks` (the Web Locks API) and as values to hold on to. */
import type { LockState, Page } from "../api.ts";
import { type Calls, checkedTarget } from "./calls.ts";
import { QuorateError } from "./error.ts";
import { type Held, HeldGrant, surelyHeld, whileHeld } from "./held.ts";
import { leaseOf, type Session } from "./sessions.ts";
import { take } from "./take.ts";

/** What any grant may be asked for with. */
export interface TakeOptions {
  /** Gives up: the promise rejects with its reason, and the place in the queue is left at once. */
  readonly signal?: AbortSignal;
  /** How long the grant outlives its last renewal, in ms: 1,000 to 3,600,000. Default: 30,000. Not with `session`. */
  readonly ttl?: number;
  /** How long to wait in the queue, in ms. Default: for ever. */
  readonly wait?: number;
  /** A label for people. Default: made up. The same holder never gets a lock twice at a time. */
  readonly holder?: string;
  /** More for people, up to 256 bytes. */
  readonly metadata?: string;
  /**
   * It lives as long as this session, has no ttl of its own, and is not renewed by itself; so that an admin ended it alone is
   * heard of only by `renew`.
   */
  readonly session?: Session;
  /** Called with the position in the queue, from 1, whenever that changes. Not for several locks. */
  readonly onPosition?: (position: number) => void;
}

/** What a lock may be asked for with. */
export interface LockOptions extends TakeOptions {
  /** `shared`: any number of shared holders, or one exclusive. Default: `exclusive`. */
  readonly mode?: "exclusive" | "shared";
}

/** As `LockOptions`, of a request with a callback. */
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
   * Waits for the lock, or for all of several, calls back while it is held, and gives it back. Resolves with what the callback
   * makes of it. Rejects with the callback's error, with the signal's reason if it aborts first, with `held` once `wait` is
   * over, and with `lock-lost` if the lock was lost before the callback had ended.
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
  /** Waits for the lock, or for all of several. Rejects with `held` once `wait` is over, and with the signal's reason. */
  acquire(name: string | readonly string[], options?: LockOptions): Promise<Lock>;
  /** The lock, or null if somebody else holds it or is before it. */
  tryAcquire(name: string | readonly string[], options?: Omit<LockOptions, "wait">): Promise<Lock | null>;
  /** What is held and who waits, of all locks whose names begin with `prefix`: each read by itself, so it is no snapshot. */
  query(options?: { readonly prefix?: string; readonly signal?: AbortSignal }): Promise<LockSnapshot>;
}

class HeldLock extends HeldGrant implements Lock {
  readonly mode: "exclusive" | "shared";

  constructor(parts: ConstructorParameters<typeof HeldGrant>[0], mode: "exclusive" | "shared") {
    super(parts);
    this.mode = mode;
  }
}

/** The options that every noun's request has, as nodes name them. */
export function bodyOf({ ttl, metadata, session }: TakeOptions): object {
  return {
    ...(ttl !== undefined && { ttlMs: ttl }),
    ...(metadata !== undefined && { metadata }),
    ...(session !== undefined && { session: session.id }),
  };
}

export function createLocks(calls: Calls): Locks {
  async function taken(given: string | readonly string[], options: LockOptions, waitMs: number) {
    const { mode = "exclusive", holder, signal, onPosition } = options;
    const session = leaseOf(options.session);
    const names = typeof given === "string" ? null : [...new Set(given)];
    const targets = (names ?? [given as string]).map((name) => checkedTarget("locks", name));
    const end = await take(calls, {
      target: names === null ? targets[0]! : "/v1/locks",
      targets,
      names,
      body: { ...bodyOf(options), mode, ...(holder !== undefined && { holder }) },
      waitMs,
      signal,
      onPosition,
    });
    if (end instanceof QuorateError) return end;
    return await surelyHeld(new HeldLock({ calls, taken: end, noun: "lock", session }, mode));
  }

  const acquire = async (name: string | readonly string[], options: LockOptions = {}) => {
    const end = await taken(name, options, options.wait ?? Infinity);
    if (end instanceof QuorateError) throw heldError(end);
    return end;
  };

  const tryAcquire = async (name: string | readonly string[], options: LockOptions = {}) => {
    const end = await taken(name, options, 0);
    return end instanceof QuorateError ? null : end;
  };

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

/** One code for the end of a wait, whatever was in the way. */
export function heldError({ message, problem }: QuorateError): QuorateError {
  return new QuorateError("held", message, { retryable: true, outcome: "none", problem });
}

async function query(
  calls: Calls,
  { prefix = "", signal }: { readonly prefix?: string; readonly signal?: AbortSignal } = {},
): Promise<LockSnapshot> {
  const held: LockInfo[] = [];
  const pending: LockInfo[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const after: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const target = `/v1/locks?prefix=${encodeURIComponent(prefix)}${after}`;
    const page: Page<LockState> = (await calls.json<Page<LockState>>({ method: "GET", target }, { signal })).body;
    for (const { name, holders, waiters, state } of page.items) {
      for (const { holder, mode, fence } of state === "held" ? holders : []) {
        held.push({ name, mode, holder, fence: BigInt(fence) });
      }
      for (const { holder, mode, position } of waiters) pending.push({ name, mode, holder, position });
    }
    cursor = page.cursor;
  }
  return { held, pending };
}
