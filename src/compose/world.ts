/** The real clock and randomness, for composition roots only. */
import type { Clock, Randomness } from "../ports.ts";

export const realClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

export const realRandomness: Randomness = {
  next: () => Math.random(),
  /** 96 bits, base64url. */
  id() {
    const bytes = crypto.getRandomValues(new Uint8Array(12));
    return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
  },
};
