/**
 * Whose lease this node ends next. Thousands may run out in one moment, as when their holders die together, and each end is a
 * value that is decided: begun all at once, they would take the node from those who ask it for something. So a few are under
 * way at a time, what somebody waits for comes first, and a place rests as long as its last end took: where the node, its disk
 * or its peers have much to do, ends become few by themselves.
 */
import { QuorateError } from "../errors.ts";
import { ENDS_AT_ONCE, ENDS_WANTED_AT_ONCE } from "../limits.ts";
import type { Clock } from "../ports.ts";

/**
 * `waited-for`: somebody waits for what it frees. `asked-for`: a request made it necessary. `first`: nobody waits, and this
 * node is the one for it. `other`: nobody waits, and it is there for where that one is gone.
 */
export type Urgency = "waited-for" | "asked-for" | "first" | "other";
/** After so many others the least urgent has its turn: urgent ones that never stop would keep it, and the slow round, for ever. */
const PASSED_MAX = 8;
const WANTED: readonly Urgency[] = ["waited-for", "asked-for"];
const IDLE: readonly Urgency[] = ["first", "other"];

/** Some kinds of ends that have places together. */
type Lane = {
  readonly room: number;
  readonly rests: boolean;
  /** The most urgent first; each in order of arrival. */
  readonly waiting: readonly Waiting[][];
  taken: number;
  /** How often one that is more urgent went before the least urgent that waits. */
  passed: number;
};
type Waiting = { readonly run: () => void; readonly refuse: (error: Error) => void };

export class Turns {
  readonly #clock: Clock;
  readonly #wanted = laneOf(WANTED, ENDS_WANTED_AT_ONCE, false);
  readonly #idle = laneOf(IDLE, ENDS_AT_ONCE, true);
  readonly #resting = new Set<() => void>();
  #isClosed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Does the work when it is its turn, and settles as it does; rejects with `not-ready` where the node closes before. */
  take<T>(urgency: Urgency, work: () => Promise<T>): Promise<T> {
    const [lane, level] = WANTED.includes(urgency)
      ? [this.#wanted, WANTED.indexOf(urgency)]
      : [this.#idle, IDLE.indexOf(urgency)];
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const run = () => {
      const sinceMs = this.#clock.now();
      const done = (async () => await work())().finally(() => this.#end(lane, this.#clock.now() - sinceMs));
      done.then(resolve, reject);
    };
    if (this.#isClosed) reject(closing());
    else lane.waiting[level]!.push({ run, refuse: reject });
    this.#next(lane);
    return promise;
  }

  /** What has begun goes on. */
  close(): void {
    this.#isClosed = true;
    for (const cancel of this.#resting) cancel();
    this.#resting.clear();
    for (const queue of [...this.#wanted.waiting, ...this.#idle.waiting]) {
      for (const { refuse } of queue.splice(0)) refuse(closing());
    }
  }

  #next(lane: Lane): void {
    while (lane.taken < lane.room) {
      const next = nextOf(lane);
      if (next === undefined) return;
      lane.taken++;
      next.run();
    }
  }

  #end(lane: Lane, tookMs: number): void {
    const free = () => {
      lane.taken--;
      this.#next(lane);
    };
    if (!lane.rests || tookMs <= 0 || this.#isClosed) return free();
    const cancel = this.#clock.after(tookMs, () => {
      this.#resting.delete(cancel);
      free();
    });
    this.#resting.add(cancel);
  }
}

function laneOf(kinds: readonly Urgency[], room: number, rests: boolean): Lane {
  return { room, rests, waiting: kinds.map(() => []), taken: 0, passed: 0 };
}

/** Takes it out of its line. */
function nextOf(lane: Lane): Waiting | undefined {
  const waiting = lane.waiting.filter(({ length }) => length > 0);
  const queue = lane.passed >= PASSED_MAX ? waiting.at(-1) : waiting[0];
  lane.passed = waiting.length < 2 || queue !== waiting[0] ? 0 : lane.passed + 1;
  return queue?.shift();
}

function closing(): QuorateError {
  return new QuorateError("not-ready", "this node is closing");
}
