/** Whether a hand-over out of the queue may be answered before its confirmation is decided (PROTOCOL.md §7). */
import { DRIFT, EARLY_LEFT_MS, HANDOVER_TTL_MS } from "../limits.ts";
import { instanceOfFence } from "../machine/fence.ts";
import type { Hold } from "../machine/op.ts";
import type { DecidedSend } from "./own_sends.ts";

export type HandOver = {
  readonly hold: Pick<Hold, "fence" | "ttlMs" | "lockDelayMs" | "session" | "unconfirmed">;
  /** The caller said that it renews what it is granted. */
  readonly renews: boolean;
  readonly isOfSet: boolean;
  /** When the request came, by this process's clock, and what time it is now. */
  readonly cameMs: number;
  readonly nowMs: number;
  readonly decided: readonly DecidedSend[];
};

/** What may be told: a lease of `leaseMs` that began at `sinceMs` or later. */
export type Early = { readonly sinceMs: number; readonly leaseMs: number };

/**
 * Null: its confirmation has to be decided first. No acceptor votes at the instance J of the hand-over before J−1 is decided,
 * nor for its value before that is made. So none times the lease from before a command was sent that was decided up to J.
 */
export function earlyAnswer({ hold, renews, isOfSet, cameMs, nowMs, decided }: HandOver): Early | null {
  if (!renews || isOfSet || hold.session !== undefined || !hold.unconfirmed) return null;
  // Not confirmed in time it lapses as if nobody had been told: then nothing would keep its last writes apart.
  if (hold.lockDelayMs > 0) return null;
  const grantedAt = instanceOfFence(hold.fence);
  const sends = decided.filter(({ instance, sentMs }) => instance <= grantedAt && sentMs >= cameMs);
  if (sends.length === 0) return null;
  const sinceMs = Math.max(...sends.map(({ sentMs }) => sentMs));
  const leaseMs = Math.min(hold.ttlMs, HANDOVER_TTL_MS);
  const leftMs = Math.floor(leaseMs * (1 - DRIFT)) - (nowMs - sinceMs);
  return leftMs >= EARLY_LEFT_MS ? { sinceMs, leaseMs } : null;
}
