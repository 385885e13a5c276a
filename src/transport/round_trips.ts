/** How long a peer takes to answer what it has to write before it does; also what it answers too late for whoever asked. */
import type { NodeId } from "../paxos/ballot.ts";
import { type Clock, PeerError, type WireMessage, type WireReply } from "../ports.ts";

/** Recent round trips to one peer. */
const SAMPLES = 15;
/** The deadline has room for so many of them: the slow ones of a peer are some times slower than its median. */
const DEADLINE_TRIPS = 4;
/** What is late is listened for until so many times the least deadline, which no deadline is above. */
export const LATE_TIMES = 5;
/**
 * A request that is under way for longer than those before it took tells that the peer has become slow, or has gone: from the
 * first of these on, up to the second. More is not told by silence alone, since waiting longer for the dead helps nobody.
 */
const SILENCE_MIN_MS = 50;
const SILENCE_MAX_MS = 250;

/** A Learn is answered before it is written (PROTOCOL.md §5): of the patience that a vote needs it tells nothing. */
export function isTelling({ type }: WireMessage): boolean {
  return type !== "learn";
}

/** A request under way. */
export type Trip = { readonly sinceMs: number };

export class RoundTrips {
  readonly #clock: Clock;
  readonly #leastMs: number;
  readonly #recent: number[] = [];
  /** Those that somebody waits for, the oldest first. */
  readonly #underWay = new Set<Trip>();
  /** When the newest of those that were answered began. */
  #answeredFromMs = -Infinity;
  #medianMs = 0;

  /** @param leastMs the deadline while the peer is not known to be slow */
  constructor(clock: Clock, leastMs: number) {
    this.#clock = clock;
    this.#leastMs = leastMs;
  }

  begin(): Trip {
    const trip = { sinceMs: this.#clock.now() };
    this.#underWay.add(trip);
    return trip;
  }

  /** It was answered, in time or late. */
  answered(trip: Trip, tookMs = this.#clock.now() - trip.sinceMs): void {
    this.dropped(trip);
    this.#answeredFromMs = Math.max(this.#answeredFromMs, trip.sinceMs);
    // After a pause of this process an answer may be older than anything that is waited for.
    this.#recent.push(Math.min(tookMs, LATE_TIMES * this.#leastMs));
    if (this.#recent.length > SAMPLES) this.#recent.shift();
    const sorted = [...this.#recent].sort((a, b) => a - b);
    // A median: one connection being set up or one slow write does not move it.
    this.#medianMs = sorted[sorted.length >> 1] ?? 0;
  }

  /** Nobody waits for it any more, or it has failed. */
  dropped(trip: Trip): void {
    this.#underWay.delete(trip);
  }

  /** 0 while none is known. */
  get rttMs(): number {
    const silentMs = Math.min(this.#silentMs(), SILENCE_MAX_MS);
    return silentMs < SILENCE_MIN_MS ? this.#medianMs : Math.max(silentMs, this.#medianMs);
  }

  /** From the send of a message to its end. Only answers make it longer: a peer that is silent is given up as soon as ever. */
  get deadlineMs(): number {
    return Math.min(LATE_TIMES * this.#leastMs, Math.max(this.#leastMs, DEADLINE_TRIPS * this.#medianMs));
  }

  /** Since when nothing was answered that began later: what one such request waits for is not how the peer is. */
  #silentMs(): number {
    for (const { sinceMs } of this.#underWay) {
      if (sinceMs >= this.#answeredFromMs) return this.#clock.now() - sinceMs;
    }
    return 0;
  }
}

/** What is told of a message whose deadline has passed. @param late what is answered after that; null: nothing is listened for */
export function tooLate(
  peer: NodeId,
  { deadlineMs }: Pick<RoundTrips, "deadlineMs">,
  late: Promise<WireReply> | null = null,
): PeerError {
  const error = new PeerError(`${peer} gave no answer within ${Math.round(deadlineMs)} ms`, { why: "timed-out" });
  error.late = late;
  return error;
}
