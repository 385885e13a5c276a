/**
 * How many requests a node works on at once. A node that begins all of a flood ends few of them in time, and the rest was
 * work for nobody. So the others wait before anything is read of them, for a short while, and are refused after it.
 */
import { QuorateError } from "../errors.ts";
import {
  ADMISSION_STANDING_MS,
  ADMISSION_WAIT_MS,
  ADMISSION_WAITING_MAX,
  ADMISSION_WORK_MS,
  ADMITTED_AT_ONCE,
  ADMITTED_HOLDERS,
  ADMITTED_MAX,
  ADMITTED_MIN,
} from "../limits.ts";

/** How often it looks for those that have waited too long, while there are any. */
const LOOK_MS = 50;
/** How long it counts for what it ends in a second. */
const COUNTED_MS = 1_000;

/** To be called when the request is answered, or waits for something other than this node. Again it does nothing. */
export type Leave = () => void;

type Waiter = {
  readonly sinceMs: number;
  readonly isGone: () => boolean;
  readonly admit: (leave: Leave) => void;
  readonly refuse: (error: QuorateError) => void;
};

type Lane = {
  room: number;
  inside: number;
  /** How many have left so far. */
  left: number;
  /** In order of arrival. */
  waiting: Waiter[];
};

export class Admission {
  readonly #now: () => number;
  readonly #after: (ms: number, run: () => void) => () => void;
  /** What keeps or gives back a hold has room of its own: refused, it would take a lock away, or keep it from others. */
  readonly #holders = laneOf(ADMITTED_HOLDERS);
  readonly #others = laneOf(ADMITTED_AT_ONCE);
  readonly #lanes = [this.#holders, this.#others];
  /** How many of the others had left at the last looks. */
  #counts: { readonly atMs: number; readonly left: number }[] = [];
  /** Since when one of the others waits, without a break; null: none does. */
  #standsSinceMs: number | null = null;
  #isLooking = false;

  /** @param after calls back once after so many ms */
  constructor(now: () => number, after: (ms: number, run: () => void) => () => void) {
    this.#now = now;
    this.#after = after;
  }

  /**
   * Lets a request in at once, or when it is its turn.
   * @param isHolders whether it keeps or gives back what somebody holds
   * @param isGone whether its sender has gone, asked when its turn comes
   * @throws or rejects with `overloaded` (503): too many wait, or it has waited too long; nothing of it was begun
   */
  enter(isHolders: boolean, isGone: () => boolean): Leave | Promise<Leave> {
    const lane = isHolders ? this.#holders : this.#others;
    if (lane.inside < lane.room) return this.#admit(lane);
    const { waiting } = lane;
    if (waiting.length >= ADMISSION_WAITING_MAX) throw overloaded(`${waiting.length} requests wait here already`);
    const { promise, resolve, reject } = Promise.withResolvers<Leave>();
    waiting.push({ sinceMs: this.#now(), isGone, admit: resolve, refuse: reject });
    if (!isHolders) this.#standsSinceMs ??= this.#now();
    this.#look();
    return promise;
  }

  #admit(lane: Lane): Leave {
    lane.inside++;
    let isInside = true;
    return () => {
      if (!isInside) return;
      isInside = false;
      lane.inside--;
      lane.left++;
      this.#next(lane);
    };
  }

  #next(lane: Lane): void {
    while (lane.inside < lane.room) {
      const waiter = lane.waiting.shift();
      if (waiter === undefined) break;
      if (waiter.isGone()) waiter.refuse(overloaded("its sender has gone"));
      else waiter.admit(this.#admit(lane));
    }
    if (this.#others.waiting.length > 0) return;
    this.#standsSinceMs = null;
    this.#counts = [];
  }

  #look(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#after(LOOK_MS, () => {
      this.#isLooking = false;
      const nowMs = this.#now();
      // A queue that stands is no burst: to wait in it makes everybody late and serves nobody more.
      const stands = this.#standsSinceMs !== null && nowMs - this.#standsSinceMs > ADMISSION_WAIT_MS;
      refuseBefore(this.#holders.waiting, nowMs - ADMISSION_WAIT_MS);
      refuseBefore(this.#others.waiting, nowMs - (stands ? ADMISSION_STANDING_MS : ADMISSION_WAIT_MS));
      this.#measure(nowMs);
      for (const lane of this.#lanes) this.#next(lane);
      if (this.#lanes.some(({ waiting }) => waiting.length > 0)) this.#look();
    });
  }

  /**
   * What is inside at once takes as long as ending as many does (Little's law). So the room is made as large as lets work take
   * ADMISSION_WORK_MS: small where a slow machine is the bound, large where far members are.
   */
  #measure(nowMs: number): void {
    const { left } = this.#others;
    this.#counts = this.#counts.filter(({ atMs }) => nowMs - atMs <= COUNTED_MS);
    const [first] = this.#counts;
    this.#counts.push({ atMs: nowMs, left });
    if (first === undefined || nowMs - first.atMs < COUNTED_MS / 2) return;
    const ends = ((left - first.left) / (nowMs - first.atMs)) * ADMISSION_WORK_MS;
    this.#others.room = Math.min(ADMITTED_MAX, Math.max(ADMITTED_MIN, Math.ceil(ends)));
  }
}

function laneOf(room: number): Lane {
  return { room, inside: 0, left: 0, waiting: [] };
}

function refuseBefore(queue: Waiter[], ms: number): void {
  const kept = queue.findIndex(({ sinceMs }) => sinceMs > ms);
  const late = queue.splice(0, kept === -1 ? queue.length : kept);
  for (const { refuse } of late) refuse(overloaded("no turn came in time"));
}

function overloaded(detail: string): QuorateError {
  return new QuorateError("overloaded", `this node has more to do than it can, and began nothing of this: ${detail}`);
}
