/** The real clock, randomness and console, for composition roots only. */
import { createLog, type Log, type LogSettings } from "../observe/log.ts";
import type { Clock, Randomness } from "../ports.ts";
import { Timers } from "./timers.ts";

const now = () => performance.now();
const timers = new Timers({
  now,
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
});

export const realClock: Clock = {
  now,
  wall: () => Date.now(),
  after: (ms, run) => timers.after(ms, run),
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

/** @param who before each line of text, as in `node a`; `facts` are in each of JSON */
export function consoleLog(settings: LogSettings, who: string, facts: Readonly<Record<string, string>>): Log {
  return createLog({
    ...settings,
    who,
    facts,
    wall: () => realClock.wall(),
    out: (line) => console.log(line),
    err: (line) => console.error(line),
  });
}
