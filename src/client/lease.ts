/**
 * How long something is surely held, by this process's own clocks alone. Nothing here believes a timer: each look reads both
 * clocks, and the larger of what they say has gone by counts (PROTOCOL.md §7).
 */
import { lockLost, type LostHow, QuorateError } from "./error.ts";
import type { Fetch } from "./failover.ts";
import type { ClientClock, World } from "./world.ts";

/** One moment on both clocks. */
export type Moment = { readonly nowMs: number; readonly wallMs: number };

/** Held from `since` for `lengthMs`. */
export type Bound = { readonly since: Moment; readonly lengthMs: number };

/** A hold ends so long before its guarantee, for what its holder still does: this share of it, and no more than the most. */
const MARGIN_SHARE = 0.05;
const MARGIN_MAX_MS = 250;
/** Longer timers fire at once in some runtimes. */
const TIMER_MAX_MS = 2 ** 30;

export function momentOf(clock: ClientClock): Moment {
  return { nowMs: clock.now(), wallMs: clock.wall() };
}

/**
 * Throws `internal` for what no node says, as a proxy in its place may: what is compared with a time that is none is never over.
 *
 * @param sent when the request was sent that was answered with this
 */
export function boundOf(sent: Moment, told: { readonly waitedMs: number; readonly guaranteedForMs: number }): Bound {
  const { waitedMs, guaranteedForMs } = told;
  if (!isTime(waitedMs) || !isTime(guaranteedForMs)) {
    throw new QuorateError("internal", "a grant without its times was answered, as by no node", { retryable: false });
  }
  return {
    since: sent,
    lengthMs: waitedMs + guaranteedForMs - Math.min(MARGIN_MAX_MS, guaranteedForMs * MARGIN_SHARE),
  };
}

function isTime(ms: unknown): boolean {
  return typeof ms === "number" && Number.isFinite(ms) && ms >= 0;
}

/** What is left of it; 0 or less: it is over. */
export function leftOf({ since, lengthMs }: Bound, clock: ClientClock): number {
  return lengthMs - Math.max(clock.now() - since.nowMs, clock.wall() - since.wallMs);
}

/** Whichever is over first. */
export function firstToEnd(bounds: readonly Bound[], clock: ClientClock): Bound {
  return bounds.reduce((first, bound) => leftOf(bound, clock) < leftOf(first, clock) ? bound : first);
}

/** What all clients in this process hold: after a sleep whatever is over ends before anybody hears anything else. */
const live = new Set<Lease>();

/** To be called before anything of a caller's is called or resolved. */
export function endWhatIsOver(): void {
  for (const lease of live) lease.look();
}

/** The same world, that looks at the clock before it calls back. */
export function lookingFirst({ fetch, clock, newId }: World): World {
  const looking: Fetch = async (url, init) => {
    try {
      return await fetch(url, init);
    } finally {
      endWhatIsOver();
    }
  };
  const after = (ms: number, run: () => void) =>
    clock.after(ms, () => {
      endWhatIsOver();
      run();
    });
  return { fetch: looking, clock: { now: () => clock.now(), wall: () => clock.wall(), after }, newId };
}

export class Lease {
  readonly #clock: ClientClock;
  readonly #what: string;
  readonly #abort = new AbortController();
  /** The session that this lives by. */
  readonly #parent: Lease | null;
  /** What lives by this. */
  readonly #children = new Set<Lease>();
  #bound: Bound | null;
  #reason: QuorateError | null = null;
  #cancelTimer = () => {};

  /** @param what as in `lock deploy`, for the text of the error */
  constructor(clock: ClientClock, what: string, life: Bound | Lease) {
    this.#clock = clock;
    this.#what = what;
    this.#parent = life instanceof Lease ? life : null;
    this.#bound = life instanceof Lease ? null : life;
    live.add(this);
    if (this.#parent !== null) this.#parent.#adopt(this);
    this.#arm();
  }

  /** Aborted once it is over; looks at the clock first. */
  get signal(): AbortSignal {
    this.look();
    return this.#abort.signal;
  }

  get isHeld(): boolean {
    this.look();
    return this.#reason === null;
  }

  /** Null while it is held. */
  get reason(): QuorateError | null {
    this.look();
    return this.#reason;
  }

  remainingMs(): number {
    this.look();
    return this.#reason === null ? this.#leftMs() : 0;
  }

  /** A later end; an earlier one changes nothing, and what has ended stays so. Of what lives by a session it is the session's. */
  extend(bound: Bound): void {
    if (this.#parent !== null) return this.#parent.extend(bound);
    if (!this.isHeld || leftOf(bound, this.#clock) <= this.#leftMs()) return;
    this.#bound = bound;
    this.#arm();
  }

  end(how: LostHow): void {
    if (this.#reason !== null) return;
    this.#reason = lockLost(this.#what, how);
    this.#cancelTimer();
    live.delete(this);
    if (this.#parent !== null) this.#parent.#children.delete(this);
    this.#abort.abort(this.#reason);
    for (const child of [...this.#children]) child.end(how);
  }

  /** Ends it if it is over. */
  look(): void {
    if (this.#reason === null && this.#leftMs() <= 0) this.end("expired");
  }

  /** Called once, at once if it has ended. */
  onEnd(run: (reason: QuorateError) => void): void {
    const tell = () => run(this.#reason!);
    if (this.#reason !== null) tell();
    else this.#abort.signal.addEventListener("abort", tell, { once: true });
  }

  #adopt(child: Lease): void {
    if (this.#reason === null) this.#children.add(child);
    else child.end(this.#reason.how ?? "lost");
  }

  #leftMs(): number {
    return this.#bound === null ? this.#parent?.remainingMs() ?? 0 : leftOf(this.#bound, this.#clock);
  }

  /** The parent's timer is enough for what lives by it. */
  #arm(): void {
    this.#cancelTimer();
    if (this.#reason !== null || this.#bound === null) return;
    this.#cancelTimer = this.#clock.after(Math.min(TIMER_MAX_MS, Math.max(0, this.#leftMs())), () => {
      this.look();
      // A timer may be early by a part of a millisecond.
      this.#arm();
    });
  }
}
