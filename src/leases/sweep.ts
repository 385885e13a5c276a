/**
 * The slow end of what nobody asks about: leases that ran out with nobody there to read, watch or want the thing, what is bound to
 * sessions that are over, and the past of names that nobody uses. Each member goes through its own records again and again, some at a
 * time and mostly at rest, for ever.
 */
import {
  SWEEP_MAX_KEYS,
  SWEEP_MS,
  SWEEP_OTHERS_MS,
  SWEEP_REST_MIN_MS,
  SWEEP_REST_SHARE,
  SWEEP_SHARED_MS,
} from "../limits.ts";
import { viewSession } from "../machine/view.ts";
import type { LeaseName, LeaseTerm } from "../paxos/message.ts";
import { endWhatLapsed } from "./expiry.ts";
import { lapsedOf } from "../replica/lapse.ts";
import { KEY_PREFIXES, nounOfKey } from "../nouns.ts";
import type { BallotStore } from "../ports.ts";
import { Forgetting, type ForgettingParts } from "./forgetting.ts";
import type { QueueParts } from "./queue.ts";
import { rankOf } from "./rank.ts";
import { ownKeys, Poller } from "../replica/poller.ts";
import type { SessionEnds } from "./session_ends.ts";

/** How seldom a node that is not the one for it frees what is bound to a session that is over. */
const OTHERS_SHARE = 1 / 16;

type SweepParts = QueueParts & ForgettingParts & { readonly store: BallotStore; readonly ends: SessionEnds };

export class Sweep {
  readonly #parts: SweepParts;
  readonly #rounds: Poller;
  readonly #forgetting: Forgetting;
  readonly #everyMs: number;
  #cancel: () => void = () => {};
  #isClosed = false;

  constructor(parts: SweepParts) {
    // What is forgotten sooner than that is looked for as often.
    this.#everyMs = Math.min(parts.store.isShared ? SWEEP_SHARED_MS : SWEEP_MS, parts.forgetAfterMs ?? Infinity);
    const all = Object.values(KEY_PREFIXES).map((prefix) => ({ prefix, after: "" }));
    this.#parts = parts;
    this.#forgetting = new Forgetting(parts);
    this.#rounds = new Poller(
      parts,
      this.#everyMs,
      () => all,
      (key) => this.#look(key).catch(() => {}),
      ownKeys(parts.store),
      // A database that others serve too is asked a little at a time. In the own one a turn goes on at once, but for rests: the
      // longer the last names took, since the node or its peers are busy, the longer.
      parts.store.isShared ? {} : { maxKeys: SWEEP_MAX_KEYS, restMs },
    );
  }

  /** Where this node votes, or is a member that will; called again it begins anew. */
  start(): void {
    if (this.#isClosed) return;
    this.#cancel();
    this.#cancel = this.#parts.clock.after(
      Math.min(SWEEP_MS, this.#everyMs),
      () => this.#isClosed || this.#rounds.start(),
    );
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
    this.#rounds.stop();
  }

  /** What cannot be read or decided now is found by a later round. */
  async #look(key: string): Promise<void> {
    const { acceptor, leases, machine, ends, random, turns } = this.#parts;
    const view = await acceptor.shown(key);
    const { state } = view.snapshot;
    const terms = machine.leases(state);
    const lapsed = lapsedOf(leases, key, terms);
    const session = viewSession(state);
    const isMine = rankOf(state, acceptor.rules) === 0;
    const urgency = isMine ? "first" : "other";
    if (session !== null && session.ended !== null && (isMine || random.next() < OTHERS_SHARE)) {
      await ends.freeAll(nounOfKey(key)!.name, session, urgency);
    }
    if (lapsed.length === 0) return await this.#forgetting.look(key, view, isMine);
    // One node proposes the end, and the others only where that one seems to be gone: they would be in each other's way.
    if (!isMine && this.#overMs(key, terms, lapsed) < SWEEP_OTHERS_MS) return;
    if (session !== null) await ends.seeToEnd(nounOfKey(key)!.name);
    else await turns.take(urgency, () => endWhatLapsed(this.#parts, key));
  }

  /** How long the one that ran out first has been over, by this node's clock. */
  #overMs(key: string, terms: readonly LeaseTerm[], lapsed: readonly LeaseName[]): number {
    const over = terms.filter(({ id }) => lapsed.some((lease) => lease.id === id))
      .map((lease) => -this.#parts.leases.dueInMs(key, lease));
    return Math.max(...over);
  }
}

function restMs(tookMs: number): number {
  return Math.max(SWEEP_REST_MIN_MS, SWEEP_REST_SHARE * tookMs);
}
