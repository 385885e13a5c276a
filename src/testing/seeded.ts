/** Randomness that is the same for the same seed. */
import type { Randomness } from "../ports.ts";

/** Mulberry32: small, and the same everywhere. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export type Seeded = Randomness & {
  /** Uniform integer in [0, below). */
  below(below: number): number;
  chance(share: number): boolean;
  pick<T>(items: readonly T[]): T;
};

/** @param stream independent sequences of one seed: what one of them is asked for does not change another */
export function seededRandomness(seed: number, stream = 0): Seeded {
  const next = seeded(seed + Math.imul(stream, 0x9e3779b1));
  let ids = 0;
  const below = (limit: number) => Math.floor(next() * limit);
  return {
    next,
    id: () => `r${(ids++).toString(36)}`,
    below,
    chance: (share) => next() < share,
    pick: (items) => items[below(items.length)]!,
  };
}
