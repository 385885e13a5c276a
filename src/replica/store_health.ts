/**
 * Whether this node's store works: a store that fails as a whole, as on a full disk, is told to the operator once, to peers
 * and callers without its name, and is tried again and again until it takes a write.
 */
import { QuorateError } from "../errors.ts";
import { Remembered } from "../remembered.ts";
import { type BallotStore, type Clock, type Meter, NO_METER, type Report, StoreError } from "../ports.ts";
import { Slowness } from "./slowness.ts";
import { TurnClock } from "./turn_clock.ts";

const PROBE_MS = 500;
/** What the newest commit counts for in how long they take. */
const NEWEST_SHARE = 1 / 16;
/** Each text of a failure that is not the store's as a whole is told once; so many are remembered. */
const TOLD_MAX = 100;

/** How stores name the record that they complain of. */
const NAMED = /the record of ("(?:[^"\\]|\\.)*")/g;

/** Monotonic, in ms. */
export type Asked = { readonly sinceMs: number };

export class StoreHealth {
  readonly #store: Pick<BallotStore, "probe">;
  readonly #clock: Clock;
  readonly #turn: TurnClock;
  readonly #report: Report;
  readonly #slowness: Slowness;
  readonly #meter: Pick<Meter, "committed">;
  readonly #told = new Remembered<true>(TOLD_MAX);
  #commitMs = 0;
  /** The oldest first. */
  readonly #underWay = new Set<Asked>();
  #fault: string | null = null;
  /** The operator was told of it last, and not that it is over. */
  #toldFault: string | null = null;
  #cancel: (() => void) | null = null;
  #probing: Promise<void> | null = null;
  #isClosed = false;

  constructor(store: Pick<BallotStore, "probe">, clock: Clock, report: Report, meter = NO_METER) {
    this.#store = store;
    this.#clock = clock;
    this.#turn = new TurnClock(clock);
    this.#report = report;
    this.#meter = meter;
    this.#slowness = new Slowness(report);
  }

  /** What is wrong with it, in words for anybody, or null. */
  get fault(): string | null {
    return this.#fault;
  }

  get isSlow(): boolean {
    return this.#slowness.isSlow;
  }

  /**
   * How long the last writes took in the mean, from when each was asked for, or for how long the oldest has waited that is
   * under way, if that is more; in ms, 0 before the first.
   */
  get commitMs(): number {
    const [oldest] = this.#underWay;
    return Math.max(this.#commitMs, oldest === undefined ? 0 : this.#clock.now() - oldest.sinceMs);
  }

  /** Something is asked of the store; returns what `ended` takes. */
  began(): Asked {
    const asked = { sinceMs: this.#turn.now() };
    this.#underWay.add(asked);
    return asked;
  }

  /** @param isWritten it was a write, and is durable */
  ended(asked: Asked, isWritten: boolean): void {
    this.#underWay.delete(asked);
    if (isWritten) this.#wrote(asked.sinceMs);
  }

  #wrote(sinceMs: number): void {
    const nowMs = this.#turn.now();
    this.#meter.committed(nowMs - sinceMs);
    this.#commitMs += (nowMs - sinceMs - this.#commitMs) * NEWEST_SHARE;
    this.#slowness.note(nowMs, nowMs - sinceMs);
    this.#clear();
    if (this.#toldFault === null) return;
    this.#toldFault = null;
    this.#report("the store works again", { event: "store", facts: { failing: false } });
  }

  /** What callers and peers are told of a failure: nothing of where the store is. Any other error is as it was. */
  told(error: unknown): unknown {
    if (!(error instanceof StoreError)) return error;
    const { fault, message } = error;
    if (fault === null) this.#reportOnce(message);
    else this.#failed(fault, message);
    return new QuorateError("not-ready", fault ?? "the store of this node failed at this name; its log has the reason");
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
    this.#cancel = null;
  }

  #clear(): void {
    this.#fault = null;
    this.#cancel?.();
    this.#cancel = null;
  }

  #reportOnce(message: string): void {
    if (this.#isClosed || this.#told.get(message) !== undefined) return;
    this.#told.set(message, true);
    const names = [...message.matchAll(NAMED)].map(([, quoted]) => JSON.parse(quoted!) as string);
    this.#report(`the store failed: ${message}`, { event: "store", level: "error", names });
  }

  #failed(fault: string, message: string): void {
    if (this.#isClosed) return;
    // Where a probe only reads, what fails may be the writes: that is no news each time.
    if (this.#toldFault !== fault) {
      this.#toldFault = fault;
      this.#report(`the store fails, and this node casts no vote until it works again: ${message}`, {
        event: "store",
        level: "error",
        facts: { failing: true, reason: fault },
      });
    }
    this.#fault = fault;
    this.#arm();
  }

  #arm(): void {
    if (this.#isClosed) return;
    this.#cancel ??= this.#clock.after(PROBE_MS, () => {
      this.#cancel = null;
      void this.#probe().then(() => this.#fault !== null && this.#arm());
    });
  }

  /** One at a time: on a disk that hangs they would pile up. */
  #probe(): Promise<void> {
    this.#probing ??= this.#store.probe().then(
      (hasWritten) => hasWritten ? this.#wrote(this.#turn.now()) : this.#clear(),
      (error) => void this.told(error),
    )
      .finally(() => this.#probing = null);
    return this.#probing;
  }
}
