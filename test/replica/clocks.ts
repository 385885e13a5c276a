/** Clocks that pass at another speed than the wall's, for what takes seconds. */
import type { Clock } from "../../src/ports.ts";

export { seeded } from "../../src/testing/seeded.ts";

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

export const SEED = Number(Deno.env.get("QUORATE_SEED") ?? 20261123);
