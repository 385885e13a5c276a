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

const ID_BYTES = 12;
/** Random bytes for the next ids: to ask for 12 alone costs more than all else of an id. */
const pool = new Uint8Array(ID_BYTES * 64);
let used = pool.length;

export const realRandomness: Randomness = {
  next: () => Math.random(),
  /** 96 bits, base64url. */
  id() {
    if (used === pool.length) {
      crypto.getRandomValues(pool);
      used = 0;
    }
    return pool.subarray(used, used += ID_BYTES).toBase64({ alphabet: "base64url" });
  },
};
