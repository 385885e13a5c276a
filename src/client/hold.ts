/** What is held and keeps itself: renewed at a third of its guarantee, given back once. */
import { QuorateError } from "./error.ts";
import type { Bound, Lease } from "./lease.ts";
import { type ClientClock, paused } from "./world.ts";

export type HoldParts = {
  readonly clock: ClientClock;
  readonly lease: Lease;
  /** Renews itself; else what it lives by does. */
  readonly keepsItself: boolean;
  /** One renewal. Rejects with `lost` once it is over for the nodes. */
  readonly renew: (signal: AbortSignal) => Promise<Bound>;
  /** Tells the nodes, for as long as that may take. */
  readonly giveBack: (signal: AbortSignal) => Promise<void>;
};

/** Renewed when so much of it is left. */
const RENEW_AT_SHARE = 2 / 3;
/** Between two tries: a share of what is left, within these. */
const AGAIN_SHARE = 1 / 8;
const AGAIN_MIN_MS = 20;
const AGAIN_MAX_MS = 1_000;
/** Who gives back waits no longer: it lapses by itself. */
const GIVE_BACK_MS = 3_000;

export class Hold {
  readonly lease: Lease;
  readonly #parts: HoldParts;
  #cancelRenewal = () => {};
  #renewing: Promise<void> | null = null;
  #released: Promise<void> | null = null;

  constructor(parts: HoldParts) {
    this.#parts = parts;
    this.lease = parts.lease;
    this.lease.onEnd(() => this.#cancelRenewal());
    this.#schedule();
  }

  /** Resolves once it is renewed, now. Rejects with `lock-lost`. */
  renew(): Promise<void> {
    this.#cancelRenewal();
    this.#renewing ??= this.#renewNow().finally(() => {
      this.#renewing = null;
      this.#schedule();
    });
    return this.#renewing;
  }

  /** Ends the hold here at once, then tells the nodes. Rejects if none said in time that it knows. */
  release(): Promise<void> {
    if (this.#released !== null) return this.#released;
    this.lease.end("disposed");
    // Also where it was lost: what only this clock ended, or the rest of a set, is still held by the nodes.
    this.#released = this.#giveBack();
    return this.#released;
  }

  /** As `release`, whatever comes of it. */
  async dispose(): Promise<void> {
    await this.release().catch(() => {});
  }

  #schedule(): void {
    const { clock, lease, keepsItself } = this.#parts;
    if (!keepsItself || !lease.isHeld) return;
    this.#cancelRenewal();
    const inMs = lease.remainingMs() * (1 - RENEW_AT_SHARE);
    this.#cancelRenewal = clock.after(inMs, () => void this.renew().catch(() => {}));
  }

  /** One failed renewal ends nothing: it is tried for as long as it is held. */
  async #renewNow(): Promise<void> {
    const { clock, lease, renew } = this.#parts;
    for (;;) {
      if (lease.reason !== null) throw lease.reason;
      try {
        const bound = await renew(lease.signal);
        lease.extend(bound);
        if (lease.reason === null) return;
      } catch (error) {
        endIfLost(lease, error);
      }
      if (lease.reason !== null) throw lease.reason;
      const againMs = Math.min(AGAIN_MAX_MS, Math.max(AGAIN_MIN_MS, lease.remainingMs() * AGAIN_SHARE));
      await paused(clock, againMs, lease.signal);
    }
  }

  #giveBack(): Promise<void> {
    const { clock, giveBack } = this.#parts;
    const late = new AbortController();
    return new Promise((resolve, reject) => {
      const cancel = clock.after(GIVE_BACK_MS, () => {
        late.abort();
        reject(tooLate());
      });
      giveBack(late.signal).then(resolve, reject).finally(cancel);
    });
  }
}

/** Ends it if this is a node's answer that it is not held any more. */
export function endIfLost(lease: Lease, error: unknown): void {
  if (!(error instanceof QuorateError) || (error.code !== "lost" && error.code !== "not-found")) return;
  lease.end(error.problem?.["end"] === "forced" ? "forced" : "lost");
}

function tooLate(): QuorateError {
  const facts = { retryable: true, outcome: "unknown" } as const;
  return new QuorateError("outcome-unknown", "no node said in time that it was given back; it lapses by itself", facts);
}
