/**
 * How many requests a node works on at once. A node that begins all of a flood ends few of them in time, and the rest was
 * work for nobody. So where its own process or its store is what is slow, the others wait for a short while, and are refused
 * after it.
 */
import { QuorateError } from "../errors.ts";
import {
  ADMISSION_COMMIT_MS,
  ADMISSION_STANDING_MS,
  ADMISSION_WAITING_MAX,
  ADMISSION_WAITING_MAX_BYTES,
  ADMISSION_WORK_MS,
  ADMITTED_AT_ONCE,
  ADMITTED_HOLDERS,
  ADMITTED_MAX,
  ADMITTED_MIN,
} from "../limits.ts";

/** How often it looks how late its own timer is, and who has waited too long. */
const LOOK_MS = 50;
/** How long it counts for what it ends in a second, and since when a queue stands. */
const COUNTED_MS = 1_000;
/** A process whose timers come later than this, in the mean, has more to do than it can. */
const LATE_MS = 10;
/** Room that turns out too small grows by this at each look. */
const GROWTH = 1.25;

/**
 * To be called when the request is answered, or waits for something other than this node. Again it does nothing.
 * @param isEnded it is answered
 */
export type Leave = (isEnded: boolean) => void;

/** What a request asks for room with. */
export type Asking = {
  /** Who asks: those who wait take turns by it. */
  readonly subject: string;
  /** It keeps or gives back what somebody holds. */
  readonly isHolders: boolean;
  /** Bytes of its body. */
  readonly bytes: number;
  /** How much room it takes: names that it has under way at a time. Default: 1. */
  readonly places?: number;
  /** Asked only if it has to wait: for how long it may, and whether its sender has gone. */
  readonly patience: () => Patience;
};
export type Patience = { readonly withinMs: number; readonly isGone: () => boolean };

type Waiter = Patience & {
  readonly subject: string;
  readonly bytes: number;
  readonly places: number;
  readonly sinceMs: number;
  readonly admit: (leave: Leave) => void;
  readonly refuse: (error: QuorateError) => void;
};

type Lane = {
  room: number;
  /** Places that are taken: more than there is room for, where what came last takes several. */
  inside: number;
  /** How many places have been left so far by what was answered. */
  ended: number;
  readonly waiting: FairQueue;
};

export class Admission {
  readonly #now: () => number;
  readonly #after: (ms: number, run: () => void) => () => void;
  /** What keeps or gives back a hold has room of its own: refused, it would take a lock away, or keep it from others. */
  readonly #holders: Lane = { room: ADMITTED_HOLDERS, inside: 0, ended: 0, waiting: new FairQueue() };
  readonly #others: Lane = { room: ADMITTED_AT_ONCE, inside: 0, ended: 0, waiting: new FairQueue() };
  readonly #lanes = [this.#holders, this.#others];
  /** At the last looks: when, how late that was, and how many of the others had ended. */
  #looks: { readonly atMs: number; readonly lateMs: number; readonly ended: number }[] = [];
  /** Since when one of the others waits, without a break; null: none does. */
  #standsSinceMs: number | null = null;
  #isLooking = false;
  readonly #commitMs: () => number;

  /**
   * @param after calls back once after so many ms
   * @param commitMs how long this node's writes take, from when each is asked for
   */
  constructor(
    now: () => number,
    after: (ms: number, run: () => void) => () => void,
    commitMs: () => number = () => 0,
  ) {
    this.#now = now;
    this.#after = after;
    this.#commitMs = commitMs;
  }

  /**
   * Lets a request in at once, or when it is its turn.
   * @throws or rejects with `overloaded` (503): too many wait, or it has waited too long; nothing of it was begun
   */
  enter(asking: Asking): Leave | Promise<Leave> {
    const lane = asking.isHolders ? this.#holders : this.#others;
    const { subject, bytes, places = 1 } = asking;
    if (lane.inside < lane.room) return this.#admit(lane, places);
    const { promise, resolve, reject } = Promise.withResolvers<Leave>();
    const out = lane.waiting.add({
      ...asking.patience(),
      subject,
      bytes,
      places,
      sinceMs: this.#now(),
      admit: resolve,
      refuse: reject,
    });
    for (const { refuse } of out) refuse(overloaded("too many wait here already"));
    if (!asking.isHolders) this.#standsSinceMs ??= this.#now();
    this.#look();
    return promise;
  }

  #admit(lane: Lane, places: number): Leave {
    lane.inside += places;
    if (this.#isToBeWatched) this.#look();
    let isInside = true;
    return (isEnded) => {
      if (!isInside) return;
      isInside = false;
      lane.inside -= places;
      if (isEnded) lane.ended += places;
      this.#next(lane);
    };
  }

  #next(lane: Lane): void {
    while (lane.inside < lane.room) {
      const waiter = lane.waiting.take();
      if (waiter === undefined) break;
      if (waiter.isGone()) waiter.refuse(overloaded("its sender has gone"));
      else waiter.admit(this.#admit(lane, waiter.places));
    }
    if (this.#others.waiting.size === 0) this.#standsSinceMs = null;
  }

  /**
   * A node that falls behind does so before all its room is taken, where each request is much work or its machine has little
   * time for it. What is then inside ends too late for whoever asked, and its outcome is unknown.
   */
  get #isToBeWatched(): boolean {
    const { inside, room } = this.#others;
    return inside > ADMITTED_MIN || room < ADMITTED_AT_ONCE || this.#lanes.some(({ waiting }) => waiting.size > 0);
  }

  #look(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const dueMs = this.#now() + LOOK_MS;
    this.#after(LOOK_MS, () => {
      this.#isLooking = false;
      const nowMs = this.#now();
      // A queue that stands is no burst: to wait in it makes everybody late and serves nobody more.
      const stands = this.#standsSinceMs !== null && nowMs - this.#standsSinceMs > COUNTED_MS;
      const [holders, others] = [this.#holders.waiting, this.#others.waiting];
      for (
        const { refuse } of [...holders.late(nowMs), ...others.late(nowMs, stands ? ADMISSION_STANDING_MS : Infinity)]
      ) {
        refuse(overloaded("no turn came in time"));
      }
      this.#makeRoom(nowMs, nowMs - dueMs);
      for (const lane of this.#lanes) this.#next(lane);
      if (this.#isToBeWatched) this.#look();
      else this.#looks = [];
    });
  }

  /**
   * What is inside at once takes as long as ending as many does (Little's law), so a process that is late makes room for what
   * it ends in ADMISSION_WORK_MS. One that is not late waits for others, as for members far away or silent: more inside is no
   * more work to it. But its own store takes so many records at a time. While what is inside keeps that busy for long, more
   * would only wait longer; as many as it begins with fill each commit of any store.
   */
  #makeRoom(atMs: number, lateMs: number): void {
    const { ended } = this.#others;
    this.#looks = this.#looks.filter((look) => atMs - look.atMs <= COUNTED_MS);
    this.#looks.push({ atMs, lateMs, ended });
    const mean = this.#looks.reduce((sum, look) => sum + look.lateMs, 0) / this.#looks.length;
    if (mean <= LATE_MS) {
      const isStoreSlow = this.#commitMs() > ADMISSION_COMMIT_MS;
      for (const lane of this.#lanes) {
        const isTooSmall = lane.waiting.size > 0 || lane.room < ADMITTED_AT_ONCE;
        if (isStoreSlow && lane.room >= ADMITTED_AT_ONCE) {
          lane.room = Math.max(ADMITTED_AT_ONCE, Math.floor(lane.room / GROWTH));
        } else if (isTooSmall) lane.room = Math.min(ADMITTED_MAX, Math.ceil(lane.room * GROWTH));
      }
      return;
    }
    this.#holders.room = ADMITTED_HOLDERS;
    const [first] = this.#looks;
    if (atMs - first!.atMs < COUNTED_MS / 2) return;
    const ends = ((ended - first!.ended) / (atMs - first!.atMs)) * ADMISSION_WORK_MS;
    this.#others.room = Math.min(ADMITTED_MAX, Math.max(ADMITTED_MIN, Math.ceil(ends)));
  }
}

/** Those who wait: subjects take turns, and each one's are in order of arrival. */
class FairQueue {
  /** Whose turn comes first stands first. */
  readonly #bySubject = new Map<string, Waiter[]>();
  size = 0;
  #bytes = 0;

  /** Returns who has to go, the newcomer maybe: the newest of whoever has most, where more wait than may. */
  add(waiter: Waiter): readonly Waiter[] {
    const own = this.#bySubject.get(waiter.subject);
    if (own === undefined) this.#bySubject.set(waiter.subject, [waiter]);
    else own.push(waiter);
    this.#count(waiter, 1);
    const out: Waiter[] = [];
    while (this.size > ADMISSION_WAITING_MAX || this.#bytes > ADMISSION_WAITING_MAX_BYTES) {
      const [subject, most] = [...this.#bySubject].reduce((a, b) => b[1].length > a[1].length ? b : a);
      const last = most.pop()!;
      if (most.length === 0) this.#bySubject.delete(subject);
      this.#count(last, -1);
      out.push(last);
    }
    return out;
  }

  take(): Waiter | undefined {
    const [turn] = this.#bySubject;
    if (turn === undefined) return undefined;
    const [subject, waiters] = turn;
    const first = waiters.shift()!;
    this.#bySubject.delete(subject);
    if (waiters.length > 0) this.#bySubject.set(subject, waiters);
    this.#count(first, -1);
    return first;
  }

  /** Takes out who has waited for as long as it may, or for `mostMs`. */
  late(nowMs: number, mostMs = Infinity): readonly Waiter[] {
    const late: Waiter[] = [];
    for (const [subject, waiters] of this.#bySubject) {
      const stay: Waiter[] = [];
      for (const waiter of waiters) {
        const isLate = nowMs - waiter.sinceMs >= Math.min(waiter.withinMs, mostMs);
        (isLate ? late : stay).push(waiter);
      }
      if (stay.length > 0) this.#bySubject.set(subject, stay);
      else this.#bySubject.delete(subject);
    }
    for (const waiter of late) this.#count(waiter, -1);
    return late;
  }

  #count({ bytes }: Waiter, sign: 1 | -1): void {
    this.size += sign;
    this.#bytes += sign * bytes;
  }
}

function overloaded(detail: string): QuorateError {
  return new QuorateError("overloaded", `this node has more to do than it can, and began nothing of this: ${detail}`);
}
