/** Clocks that pass at another speed than the wall's, for what takes seconds. */
import type { Clock } from "../../src/ports.ts";

/**
 * Most of what is waited for comes soon: it is looked for often at first, in ms. Each look may be a request to a process that
 * has more to do, so they get rarer by one at a time.
 */
const [SOONEST_MS, RAREST_MS] = [5, 50];
/** With a bug that is planted what is waited for does not come, and two minutes for each would be long: some seconds will do. */
const triesOf = () => Deno.env.get("QUORATE_PLANTED") === undefined ? 2_450 : 150;

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

/**
 * Resolves once it is so. It is bounded in tries and says nothing of how long it took: two minutes at least, as ten processes may
 * start at once on two slow cores.
 */
export async function until(
  what: string | (() => string),
  test: () => boolean | Promise<boolean>,
  tries = triesOf(),
): Promise<void> {
  for (let i = 0; i < tries; i++) {
    if (await test()) return;
    await new Promise((resolve) => setTimeout(resolve, Math.min(SOONEST_MS + i, RAREST_MS)));
  }
  throw new Error(`did not come true: ${typeof what === "string" ? what : what()}`);
}

export const SEED = Number(Deno.env.get("QUORATE_SEED") ?? 20261123);
