/**
 * Names that nobody has used for long: what their records say of the past is dropped by a decided value (PROTOCOL.md §9). Which those
 * are is only a matter of room: a name that is forgotten too early loses its history and what tells a repeated command again.
 */
import { FORGET_AFTER_MS, FORGET_MAX_KEYS, FORGET_SEEN_MS } from "../limits.ts";
import { isForgettable } from "../machine/forget.ts";
import { keyState } from "../machine/state.ts";
import type { View } from "../replica/own_record.ts";
import type { SubmitterParts } from "../replica/submitter.ts";
import type { Submitters } from "../replica/submitters.ts";
import type { Turns } from "./turns.ts";

export type ForgettingParts = Pick<SubmitterParts, "acceptor" | "clock" | "random"> & {
  readonly submitters: Submitters;
  readonly turns: Turns;
  /** Unused for so long it is forgotten. Default FORGET_AFTER_MS. */
  readonly forgetAfterMs?: number;
};

const SUBMIT_WITHIN_MS = 5_000;
/** That of the machine which knows how. */
const FORGETTING_VERSION = 4;

export class Forgetting {
  readonly #parts: ForgettingParts;
  readonly #afterMs: number;
  /**
   * Names that may be forgotten, since when this process has seen them as they are. What has no room waits until one of these is
   * forgotten or used.
   */
  readonly #seen = new Map<string, { readonly instance: number; readonly sinceMs: number }>();

  constructor(parts: ForgettingParts) {
    this.#parts = parts;
    this.#afterMs = parts.forgetAfterMs ?? FORGET_AFTER_MS;
  }

  /** To be called now and then with the own record. Rejects where it could not be decided: then a later call does it. */
  async look(key: string, { snapshot, vote, isImported }: View, isMine: boolean): Promise<void> {
    const { acceptor, clock, random, submitters, turns } = this.#parts;
    const { instance } = snapshot;
    const state = keyState(snapshot.state);
    // By rules that not all nodes know nothing is proposed.
    const isWanted = this.#afterMs < Infinity && acceptor.raised.most >= FORGETTING_VERSION;
    if (!isWanted || !isForgettable(state)) return void this.#seen.delete(key);
    // Somebody is about to change it; or it still has to move into this epoch, which others see to and which changes its instance.
    if (vote !== null || !isImported) return;
    // Labels are of wall clocks, which may be wrong; they shorten the wait after a restart, and never to less than this.
    const last = state.history.at(-1)?.toMs;
    const labelledMs = last === undefined ? 0 : clock.wall() - last;
    // Others come to it where the one that the key names is gone.
    const dueMs = isMine ? this.#afterMs : 2 * this.#afterMs;
    const seenMs = this.#seenMs(key, instance, labelledMs >= dueMs);
    const leastMs = Math.min(FORGET_SEEN_MS, this.#afterMs);
    if (seenMs < dueMs && (seenMs < leastMs || labelledMs < dueMs)) return;
    const op = { type: "keep-places", places: [], forget: instance } as const;
    const { me } = acceptor.rules;
    const submission = { subject: me, id: random.id(), op, timeoutMs: SUBMIT_WITHIN_MS };
    await turns.take("other", () => submitters.submit(key, submission));
    this.#seen.delete(key);
  }

  #seenMs(key: string, instance: number, isDue: boolean): number {
    const now = this.#parts.clock.now();
    const known = this.#seen.get(key);
    if (known?.instance === instance) return now - known.sinceMs;
    // Half of the room is kept for names that are only waiting to have been seen for so long: the others may stand there for days.
    const max = isDue ? FORGET_MAX_KEYS : FORGET_MAX_KEYS / 2;
    if (known !== undefined || this.#seen.size < max) this.#seen.set(key, { instance, sinceMs: now });
    return 0;
  }
}
