/** What locks, terms and permits have alike for whoever holds them. */
import { below } from "../http/named.ts";
import { type Calls, errorOf } from "./calls.ts";
import type { QuorateError } from "./error.ts";
import { Hold } from "./hold.ts";
import { type Bound, boundOf, endWhatIsOver, firstToEnd, Lease } from "./lease.ts";
import { fenceIn, type Part, type Taken, type Told } from "./take.ts";

/** Something that is held for a time, and renews itself until it is given back or lost. */
export interface Held extends AsyncDisposable {
  /** What it is the hold of; of several locks the first of their names. */
  readonly name: string;
  /**
   * The fencing token: it grows with every grant of this name, for ever. Send it with each write to what this guards, and let
   * that refuse a fence below the highest it saw. Of several locks that of the first name; see `fences`.
   */
  readonly fence: bigint;
  /** The fences by name: one, or those of several locks. */
  readonly fences: ReadonlyMap<string, bigint>;
  /**
   * Aborts before the guarantee ends, or once it is known to be lost. Its `reason` is a `QuorateError` with the code
   * `lock-lost` and with `how`. Read it anew each time: reading looks at the clock.
   */
  readonly signal: AbortSignal;
  /** Whether it is surely held now, by this process's own clocks. */
  readonly held: boolean;
  /** For how many ms nobody else gets it, by this process's own clocks; 0 once it is over. */
  remainingMs(): number;
  /** Renews it now, which it does by itself too. Rejects with `lock-lost` once it is over. */
  renew(): Promise<void>;
  /**
   * Gives it back; `signal` aborts at once, with `how: "disposed"`. The same promise each time. Rejects with a `QuorateError`
   * if no node confirmed it within 3 s; it lapses by itself then.
   */
  release(): Promise<void>;
  /** As `release`, but never rejects. */
  [Symbol.asyncDispose](): Promise<void>;
}

const RENEW_TRY_MAX_MS = 5_000;
/** A node that says nothing for this share of what is left may be gone: the next is asked besides. */
const PATIENCE_SHARE = 1 / 6;
const PATIENCE_MIN_MS = 50;
const PATIENCE_MAX_MS = 1_000;

export type HeldParts = {
  readonly calls: Calls;
  readonly taken: Taken;
  /** As in `lock`, for the text of errors. */
  readonly noun: string;
  /** What it lives by, if it is bound to a session of this process. */
  readonly session: Lease | null;
};

export class HeldGrant implements Held {
  readonly name: string;
  readonly fences: ReadonlyMap<string, bigint>;
  protected readonly hold: Hold;

  constructor({ calls, taken, noun, session }: HeldParts) {
    const { parts, bound } = taken;
    this.name = parts[0]!.told.name;
    this.fences = new Map(parts.map(({ told }) => [told.name, BigInt(fenceIn(told))]));
    // To bind something is a sign of life of the session.
    session?.extend(bound);
    const lease = new Lease(calls.clock, `${noun} ${[...this.fences.keys()].join(", ")}`, session ?? bound);
    const renewAll = async (signal: AbortSignal) =>
      firstToEnd(await Promise.all(parts.map((part) => renewed(calls, part, lease, signal))), calls.clock);
    this.hold = new Hold({
      clock: calls.clock,
      lease,
      keepsItself: session === null,
      renew: renewAll,
      giveBack: async (signal) => void await Promise.all(parts.map((part) => givenBack(calls, part, signal))),
    });
  }

  get fence(): bigint {
    return this.fences.get(this.name)!;
  }

  get signal(): AbortSignal {
    return this.hold.lease.signal;
  }

  get held(): boolean {
    return this.hold.lease.isHeld;
  }

  /** Null while it is held. */
  get reason(): QuorateError | null {
    return this.hold.lease.reason;
  }

  remainingMs(): number {
    return this.hold.lease.remainingMs();
  }

  renew(): Promise<void> {
    return this.hold.renew();
  }

  release(): Promise<void> {
    return this.hold.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hold.dispose();
  }
}

/** As it is, if it is held: a session that it is bound to may have ended meanwhile. Rejects with `lock-lost`. */
export async function surelyHeld<H extends HeldGrant>(held: H): Promise<H> {
  const { reason } = held;
  if (reason === null) return held;
  await held[Symbol.asyncDispose]();
  throw reason;
}

/** Calls back while it is held. What the callback makes of it counts only if it was held to its end. */
export async function whileHeld<H extends HeldGrant, T>(held: H, run: (held: H) => T | Promise<T>): Promise<T> {
  try {
    endWhatIsOver();
    const result = await run(held);
    const { reason } = held;
    if (reason !== null && reason.how !== "disposed") throw reason;
    return result;
  } finally {
    await held[Symbol.asyncDispose]();
  }
}

async function renewed(calls: Calls, { target, told }: Part, lease: Lease, signal: AbortSignal): Promise<Bound> {
  const call = {
    method: "PUT",
    target: below(target, `/${fenceIn(told)}`),
    body: {},
    command: calls.command(),
  } as const;
  const leftMs = lease.remainingMs();
  const reply = await calls.ask(call, {
    silenceMs: Math.min(PATIENCE_MAX_MS, Math.max(PATIENCE_MIN_MS, leftMs * PATIENCE_SHARE)),
    untilMs: calls.clock.now() + Math.min(RENEW_TRY_MAX_MS, leftMs),
    isOnce: true,
    signal,
  });
  if (reply.status !== 200) throw errorOf(call, reply);
  return boundOf(reply.sent, JSON.parse(new TextDecoder().decode(reply.bytes)) as Told);
}

async function givenBack(calls: Calls, { target, told }: Part, signal: AbortSignal): Promise<void> {
  const call = { method: "DELETE", target: below(target, `/${fenceIn(told)}`), command: calls.command() } as const;
  await calls.json(call, { signal });
}
