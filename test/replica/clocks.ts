/** Clocks that pass at another speed than the wall's, for what takes seconds. */
import type { Clock } from "../../src/ports.ts";

/** Real time, `times` as fast. */
export function fastClock(times: number): Clock {
  return {
    now: () => performance.now() * times,
    wall: () => Date.now(),
    after(ms, run) {
      const timer = setTimeout(run, ms / times);
      return () => clearTimeout(timer);
    },
  };
}

/** As `clock`, but what has passed on it is multiplied by `rate`: an acceptor whose clock is wrong. */
export function drifting(clock: Clock, rate: number): Clock {
  return { now: () => clock.now() * rate, wall: () => clock.wall(), after: (ms, run) => clock.after(ms / rate, run) };
}

/** Bounded in tries; says nothing of how long it took. */
export async function until(what: string, test: () => boolean | Promise<boolean>, tries = 1_000): Promise<void> {
  for (let i = 0; i < tries; i++) {
    if (await test()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`did not come true: ${what}`);
}

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

export const SEED = Number(Deno.env.get("QUORATE_SEED") ?? 20261123);
