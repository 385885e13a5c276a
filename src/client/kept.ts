/** What everything that is held for a time has alike, whatever it is. */
import type { Call, CallLimits, Calls } from "./calls.ts";
import { saidIn } from "./calls.ts";
import type { QuorateError } from "./error.ts";
import { Hold, type HoldParts } from "./hold.ts";
import { type Bound, boundOf, type Lease } from "./lease.ts";
import type { Told } from "./take.ts";

/** Something that is held for a time, and renews itself until it is given back or lost. */
export interface Kept extends AsyncDisposable {
  /**
   * Aborts before the guarantee ends, or once it is known to be lost. Its `reason` is a `QuorateError` with the code
   * `lock-lost` and with `how`. Read it anew each time: reading looks at the clock.
   */
  readonly signal: AbortSignal;
  /** Whether it is surely held now, by this process's own clocks. */
  readonly held: boolean;
  /** For how many ms from now nobody else gets it, by this process's own clocks; 0 once that is over. */
  remainingMs(): number;
  /** Renews it now; it renews itself anyway. Rejects with `lock-lost` once it is over. */
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
const SILENCE_SHARE = 1 / 6;
const SILENCE_MIN_MS = 50;
const SILENCE_MAX_MS = 1_000;

export class KeptByHold implements Kept {
  readonly #hold: Hold;

  constructor(parts: HoldParts) {
    this.#hold = new Hold(parts);
  }

  get lease(): Lease {
    return this.#hold.lease;
  }

  get signal(): AbortSignal {
    return this.lease.signal;
  }

  get held(): boolean {
    return this.lease.isHeld;
  }

  /** Null while it is held. */
  get reason(): QuorateError | null {
    return this.lease.reason;
  }

  remainingMs(): number {
    return this.lease.remainingMs();
  }

  renew(): Promise<void> {
    return this.#hold.renew();
  }

  release(): Promise<void> {
    return this.#hold.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#hold.dispose();
  }
}

/** One try to renew what this is the lease of goes over all nodes once. */
export function limitsOfRenewal({ clock }: Calls, lease: Lease, signal: AbortSignal): CallLimits {
  const leftMs = lease.remainingMs();
  return {
    silenceMs: Math.min(SILENCE_MAX_MS, Math.max(SILENCE_MIN_MS, leftMs * SILENCE_SHARE)),
    untilMs: clock.now() + Math.min(RENEW_TRY_MAX_MS, leftMs),
    isOnce: true,
    signal,
  };
}

/** Resolves with what the nodes guarantee from then on; rejects as they refuse it. */
export async function renewed(calls: Calls, call: Call, lease: Lease, signal: AbortSignal): Promise<Bound> {
  const reply = await calls.ask(call, limitsOfRenewal(calls, lease, signal));
  return boundOf(reply.sent, saidIn<Told>(call, reply));
}
