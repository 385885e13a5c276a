/**
 * The one rule for the time that a grant is safe, as its holder applies it: from when this very request was sent, and what
 * it waited, by the holder's own clock.
 */
import { DRIFT } from "../../src/limits.ts";
import { seededRandomness } from "./virtual_time.ts";

export type Bounds = { readonly guaranteedForMs: number; readonly waitedMs?: number };

/** The request that was answered: when it was sent by the true clock, and how fast its sender's clock is. */
export type Sent = { readonly sentMs: number; readonly rate: number };

/** By the true clock. */
export function guaranteedUntilMs({ sentMs, rate }: Sent, { guaranteedForMs, waitedMs = 0 }: Bounds): number {
  return sentMs + (waitedMs + guaranteedForMs) / rate;
}

/** Callers of one run differ in their clocks as far as is allowed, from a stream of randomness of their own. */
export function callerRate(seed: number, stream: number): number {
  return seededRandomness(seed, stream + CALLER_STREAMS).pick([1 - DRIFT, 1 - DRIFT, 1, 1 + DRIFT]);
}

const CALLER_STREAMS = 50_000;
