/**
 * Ends of sessions (PROTOCOL.md §7): found out by whoever wants what is bound to one, and by the nodes through which it was
 * kept; decided in its own log, for good; then carried to the log of every key that is bound to it.
 */
import { KEPT_MAX_SESSIONS, TIMEOUT_DEFAULT_MS } from "../limits.ts";
import type { EndSession, Unbind } from "../machine/op.ts";
import type { Session } from "../machine/state.ts";
import { viewSession, waitingNodes } from "../machine/view.ts";
import { endLapsed, endLapsedPlaces, spread } from "./expiry.ts";
import { Freshness } from "../replica/freshness.ts";
import { lapsedOf } from "../replica/lapse.ts";
import type { Newest } from "../replica/learning.ts";
import { ownState } from "../replica/own_state.ts";
import type { QueueParts } from "./queue.ts";
import { holdBackMs, rankOf } from "./rank.ts";
import type { Reader } from "../replica/reader.ts";
import type { Urgency } from "./turns.ts";

/** Keys freed together, and then taken out of the session's log by one command. */
const FREED_TOGETHER = 32;
const FREE_TRIES_MAX = 3;
/** Nodes that only find out about an end leave the freeing to the one that decided it, for so long at least. */
const NOT_MINE_MS = 250;
/** Where that one frees some names in so long, it is left to it. */
const FREES_ON_MS = 1_000;
/** After a quorum did not agree yet that a session ran out, or could not be asked. */
const ASK_AGAIN_MS = 500;
/**
 * For so long a session that lived is taken to live on. The own record alone is no reason: word of an end may have been lost
 * with the node that decided it. So a waiter's node asks a quorum that often.
 */
const ALIVE_MS = 3_000;

export function sessionKey(id: string): string {
  return `session/${id}`;
}

type Parts = QueueParts & { readonly reader: Reader };
type Watch = {
  /** Who is told, and whether a quorum is asked for them meanwhile. */
  readonly told: Map<() => void, boolean>;
  readonly stop: () => void;
  cancelTimer: () => void;
};

export class SessionEnds {
  readonly #parts: Parts;
  readonly #watches = new Map<string, Watch>();
  readonly #kept = new Set<string>();
  readonly #alive: Freshness;
  readonly #freeing = new Map<string, Promise<void>>();
  /** Ends that another node decided, and may have died before all was free. */
  readonly #looked = new Set<string>();
  #isClosed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#alive = new Freshness(parts.clock, KEPT_MAX_SESSIONS);
  }

  close(): void {
    this.#isClosed = true;
    for (const id of [...this.#watches.keys()]) this.#forget(id);
  }

  /** What a quorum knows of the session; where its lease ran out, once its end is decided. */
  async settle(id: string, timeoutMs: number): Promise<Newest> {
    const { reader, learning, leases, machine } = this.#parts;
    const key = sessionKey(id);
    const found = await reader.read(key, timeoutMs);
    const session = viewSession(found.state);
    if (session === null) return found;
    if (session.ended !== null) {
      await learning.install(key, found);
      if (session.names.length > 0) this.#freeLater(id);
      return found;
    }
    this.#alive.note(id);
    await spread(this.#parts, key, found);
    const lapsed = lapsedOf(leases, key, machine.leases(found.state));
    const isMine = lapsed.length > 0 && await endLapsed(this.#parts, key, lapsed).catch(() => false);
    if (!isMine) return found;
    const after = await reader.read(key, timeoutMs);
    this.freeAll(id, viewSession(after.state), "first");
    return after;
  }

  /** Ends what of this key is bound to those of these sessions that have ended; whether there were any. */
  async clear(key: string, ids: readonly string[], timeoutMs: number): Promise<boolean> {
    const ends = await Promise.all(ids.map((id) => this.#ended(id, timeoutMs)));
    const ended = ends.filter((session) => session !== null);
    await Promise.all(ended.map(([id, session]) => this.#free(key, id, session)));
    return ended.length > 0;
  }

  /** Frees every key that is bound to a session that has ended. It goes on by itself; what it leaves is found by who wants it. */
  freeAll(id: string, session: Session | null, urgency: Urgency): Promise<void> {
    if (session === null || session.ended === null || session.names.length === 0) return Promise.resolve();
    const known = this.#freeing.get(id);
    if (known !== undefined) return known;
    const freeing = this.#freeNames(id, session, urgency).finally(() => this.#freeing.delete(id));
    this.#freeing.set(id, freeing);
    return freeing;
  }

  /**
   * For a session that has just been kept: until it has ended this node sees to it that it does once it is kept no more, and
   * frees what it held.
   */
  lookAfter(id: string): void {
    this.#alive.note(id);
    this.#keep(id);
  }

  /** As `lookAfter`, of one that somebody watches. Of what never was a session there is no end to wait for. */
  async seeToEnd(id: string): Promise<void> {
    const found = await this.#parts.acceptor.view(sessionKey(id)).catch(() => null);
    if (found !== null && viewSession(found.snapshot.state) !== null) this.#keep(id);
  }

  #keep(id: string): void {
    if (this.#isClosed || this.#kept.has(id) || this.#kept.size >= KEPT_MAX_SESSIONS) return;
    this.#kept.add(id);
    this.#watch(id, false, () => {
      this.#kept.delete(id);
      this.#freeLater(id);
    });
  }

  /** For who wants what is bound to it: calls back once, when it has ended, unless the returned function was called before. */
  watch(id: string, told: () => void): () => void {
    return this.#watch(id, true, told);
  }

  #watch(id: string, isWanted: boolean, told: () => void): () => void {
    const watch = this.#watches.get(id) ?? this.#begin(id);
    watch.told.set(told, isWanted);
    this.#look(id, 0);
    return () => {
      watch.told.delete(told);
      if (watch.told.size === 0 && this.#watches.get(id) === watch) this.#forget(id);
    };
  }

  #begin(id: string): Watch {
    const stop = this.#parts.acceptor.onMove(sessionKey(id), () => void this.#look(id, 0));
    const watch: Watch = { told: new Map(), stop, cancelTimer: () => {} };
    this.#watches.set(id, watch);
    return watch;
  }

  #forget(id: string): void {
    const watch = this.#watches.get(id);
    watch?.stop();
    watch?.cancelTimer();
    this.#watches.delete(id);
  }

  /** As the own record has it; a node that has not seen it yet asks a quorum. */
  async #look(id: string, atLeastMs: number): Promise<void> {
    const { acceptor, clock, leases, machine, random } = this.#parts;
    const watch = this.#watches.get(id);
    const key = sessionKey(id);
    const state = (await acceptor.view(key).catch(() => null))?.snapshot.state ?? null;
    if (watch === undefined || this.#watches.get(id) !== watch) return;
    const session = state === null ? null : viewSession(state);
    if (session !== null && session.ended !== null) {
      this.#forget(id);
      for (const told of watch.told.keys()) told();
      return;
    }
    const remaining = state === null ? [] : machine.leases(state).map((lease) => leases.remainingMs(key, lease));
    const isWanted = [...watch.told.values()].some(Boolean);
    const rank = state === null || isWanted ? 0 : rankOf(state, acceptor.rules);
    const ms = Math.min(Math.max(0, ...remaining), isWanted ? ALIVE_MS : Infinity) + holdBackMs(rank, random);
    const urgency = isWanted ? "waited-for" : rank === 0 ? "first" : "other";
    watch.cancelTimer();
    watch.cancelTimer = clock.after(Math.max(ms, atLeastMs), () => void this.#expire(id, urgency));
  }

  async #expire(id: string, urgency: Urgency): Promise<void> {
    await this.#parts.turns.take(urgency, async () => {
      if (this.#watches.has(id)) await this.settle(id, TIMEOUT_DEFAULT_MS);
    }).catch(() => {
      // What could not be asked or decided now may be the next time.
    });
    await this.#look(id, ASK_AGAIN_MS);
  }

  /** The session if it has ended, as the own record, a quorum not long ago, or a quorum now has it. */
  async #ended(id: string, timeoutMs: number): Promise<readonly [id: string, session: Session] | null> {
    const { acceptor, leases, machine } = this.#parts;
    const key = sessionKey(id);
    // A record that has stopped says nothing: then a quorum does.
    const state = (await acceptor.view(key).catch(() => null))?.snapshot.state ?? null;
    const own = state === null ? null : viewSession(state);
    if (own !== null && own.ended !== null) return [id, own];
    const isDue = state === null || machine.leases(state).every((lease) => leases.remainingMs(key, lease) === 0);
    if (!isDue && (this.#alive.ageMs(id) ?? Infinity) < ALIVE_MS) return null;
    const settled = viewSession((await this.settle(id, timeoutMs)).state);
    return settled === null || settled.ended === null ? null : [id, settled];
  }

  /** The node that decided the end frees at once; this one only where that one goes no further. */
  #freeLater(id: string): void {
    if (this.#isClosed || this.#looked.has(id)) return;
    this.#looked.add(id);
    this.#lookAtFreed(id, NOT_MINE_MS, Infinity);
  }

  #lookAtFreed(id: string, afterMs: number, leftBefore: number): void {
    const { acceptor, clock, random } = this.#parts;
    clock.after(afterMs * (1 + random.next()), async () => {
      const view = await acceptor.view(sessionKey(id)).catch(() => null);
      const session = view === null ? null : viewSession(view.snapshot.state);
      const left = session?.names.length ?? 0;
      if (left > 0 && left < leftBefore && !this.#isClosed) return this.#lookAtFreed(id, FREES_ON_MS, left);
      this.#looked.delete(id);
      await this.freeAll(id, session, "other");
    });
  }

  async #freeNames(id: string, session: Session, urgency: Urgency): Promise<void> {
    const { acceptor, turns } = this.#parts;
    const keys = session.names.map(([key]) => key);
    const states = await Promise.all(keys.map((key) => acceptor.view(key).catch(() => null)));
    const isWaitedFor = new Set(
      keys.filter((_, i) => states[i] !== null && waitingNodes(states[i]!.snapshot.state).length > 0),
    );
    const inOrder = [
      ...session.names.filter(([key]) => isWaitedFor.has(key)),
      ...session.names.filter(([key]) => !isWaitedFor.has(key)),
    ];
    for (let at = 0; at < inOrder.length && !this.#isClosed; at += FREED_TOGETHER) {
      const some = inOrder.slice(at, at + FREED_TOGETHER);
      const isFreed = await Promise.all(
        some.map(([key]) =>
          turns.take(isWaitedFor.has(key) ? "waited-for" : urgency, () => this.#freeSurely(key, id, session))
            .catch(() => false)
        ),
      );
      const names = some.filter((_, i) => isFreed[i]);
      if (names.length === 0) continue;
      // Whoever finds names left frees them once more, which changes nothing.
      await this.#submit(sessionKey(id), { type: "unbind", names }).catch(() => {});
    }
  }

  async #freeSurely(key: string, id: string, session: Session): Promise<boolean> {
    for (let i = 0; i < FREE_TRIES_MAX && !this.#isClosed; i++) {
      if (await this.#free(key, id, session).then(() => true, () => false)) return true;
    }
    return false;
  }

  async #free(key: string, id: string, { ended }: Session): Promise<void> {
    if (ended === null) return;
    const { how, instance } = ended;
    const atMs = this.#parts.clock.wall();
    const state = await ownState(this.#parts, key, TIMEOUT_DEFAULT_MS);
    if (state !== null) await endLapsedPlaces(this.#parts, key, state);
    await this.#submit(key, { type: "end-session", session: id, instance, how, atMs });
  }

  async #submit(key: string, op: EndSession | Unbind): Promise<void> {
    const { acceptor, submitters, random } = this.#parts;
    const submission = { subject: acceptor.rules.me, id: random.id(), op, timeoutMs: TIMEOUT_DEFAULT_MS };
    await submitters.submit(key, submission);
  }
}
