/** How long a peer takes to answer what it has to write before it does. */
import type { WireMessage } from "../ports.ts";

/** Recent round trips to one peer. */
const SAMPLES = 15;

/** A Learn is answered before it is written (PROTOCOL.md §5): of the patience that a vote needs it tells nothing. */
export function isTelling({ type }: WireMessage): boolean {
  return type !== "learn";
}

export class RoundTrips {
  readonly #recent: number[] = [];
  /** ms; 0 while none is known. A median: one connection being set up or one slow write does not move it. */
  median = 0;

  note(ms: number): void {
    this.#recent.push(ms);
    if (this.#recent.length > SAMPLES) this.#recent.shift();
    const sorted = [...this.#recent].sort((a, b) => a - b);
    this.median = sorted[sorted.length >> 1] ?? 0;
  }
}
