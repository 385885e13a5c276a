/**
 * The waiters this node answers for, by key (PROTOCOL.md §7). A place lives in the decided state; this side keeps it
 * alive, notices when its turn has come, and proposes the end of leases that ran out before it.
 */
import { PLACE_RENEW_MS } from "../limits.ts";
import { holdingSessions, placesOfNode, sessionsIn, waitingNodes } from "../machine/view.ts";
import type { LeaseTerm, Snapshot, State } from "../paxos/message.ts";
import type { SubmitterParts } from "../replica/submitter.ts";
import type { Submitters } from "../replica/submitters.ts";
import { endLapsed } from "./expiry.ts";
import { OwnSends } from "./own_sends.ts";
import type { Outcome } from "../replica/pending.ts";
import { receiptOf } from "../engine/receipt.ts";
import { lapsedOf } from "../replica/lapse.ts";
import type { LeaseClock } from "../replica/lease_clock.ts";
import type { SessionEnds } from "./session_ends.ts";
import type { Turns } from "./turns.ts";

/** Nodes whose waiter is not first hold back this long each, so that one of them proposes the end of a lease, not all. */
const NOT_FIRST_MS = 250;
/** After a quorum did not agree yet that a lease ran out. */
const ASK_AGAIN_MS = 200;
/** A place that another node has taken over, for another try, and not renewed for so long, waits there no more. */
const NOT_KEPT_MS = 4_000;

export type QueueParts = SubmitterParts & {
  readonly submitters: Submitters;
  readonly leases: LeaseClock;
  readonly turns: Turns;
};
type Parts = QueueParts & { readonly ends: SessionEnds };

/** Where that is seen. */
type Seen = Omit<Outcome, "result">;

export type WaitEnd =
  /** It is granted, not confirmed yet; `state` shows it. */
  | ({ readonly type: "granted" } & Seen)
  /** Neither place nor grant is left. `by`: the value that last renewed the place, as far as this node saw it. */
  | ({ readonly type: "gone"; readonly by: string | null } & Seen)
  | { readonly type: "late" };

/** Who waits in which place, until when, and how it hears of it. */
export type Waiting = {
  readonly subject: string;
  readonly commandId: string;
  /** The first with its place: the own record may still be behind that. */
  readonly instance: number;
  readonly waitMs: number;
  readonly signal?: AbortSignal;
  /** Its position, from 1, when it is known first and then whenever it is another one. */
  readonly onPosition?: (position: number) => void;
};

type Waiter = {
  readonly subject: string;
  readonly commandId: string;
  /** As its lease is called. */
  readonly leaseId: string;
  readonly instance: number;
  readonly at: (position: number) => void;
  /** The value that last renewed its place, where that was last seen. */
  by: string | null;
  readonly end: (end: WaitEnd) => void;
};

export class Queues {
  readonly #parts: Parts;
  readonly #queues = new Map<string, KeyQueue>();
  readonly sends: OwnSends;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.sends = new OwnSends(parts);
  }

  /** Until the place of this command is granted or gone, `waitMs` are over, or `signal` aborts (`late` too). */
  async wait(
    key: string,
    { subject, commandId, instance, waitMs, signal, onPosition = () => {} }: Waiting,
  ): Promise<WaitEnd> {
    const { promise, resolve } = Promise.withResolvers<WaitEnd>();
    const leaseId = `p:${this.#parts.machine.placeId(subject, commandId)}`;
    const waiter: Waiter = { subject, commandId, leaseId, instance, at: onChange(onPosition), by: null, end: resolve };
    const late = () => resolve({ type: "late" });
    const cancel = this.#parts.clock.after(waitMs, late);
    signal?.addEventListener("abort", late, { once: true });
    if (signal?.aborted) late();
    const queue = this.#queues.get(key) ?? new KeyQueue(this.#parts, key, this.sends);
    this.#queues.set(key, queue);
    queue.add(waiter);
    try {
      return await promise;
    } finally {
      cancel();
      signal?.removeEventListener("abort", late);
      queue.remove(waiter);
      if (queue.empty && this.#queues.get(key) === queue) this.#queues.delete(key);
    }
  }
}

class KeyQueue {
  readonly #parts: Parts;
  readonly #key: string;
  readonly #sends: OwnSends;
  readonly #waiters = new Set<Waiter>();
  #stop: (() => void) | null = null;
  #lookedAt = 0;
  #cancelLapse: () => void = () => {};
  /** What ends the watch for the end of each session that something here is bound to. */
  readonly #sessions = new Map<string, () => void>();

  constructor(parts: Parts, key: string, sends: OwnSends) {
    this.#parts = parts;
    this.#key = key;
    this.#sends = sends;
  }

  get empty(): boolean {
    return this.#waiters.size === 0;
  }

  add(waiter: Waiter): void {
    this.#waiters.add(waiter);
    if (this.#stop === null) this.#begin();
    // It may have been granted before anybody listened.
    this.#parts.acceptor.view(this.#key).then(({ snapshot }) => this.#look(snapshot), () => {});
  }

  remove(waiter: Waiter): void {
    this.#waiters.delete(waiter);
    if (!this.empty) return;
    this.#stop?.();
    this.#stop = null;
    this.#cancelLapse();
    this.#watchSessions([]);
  }

  #begin(): void {
    const { acceptor, clock } = this.#parts;
    const stopListening = acceptor.onMove(this.#key, (_key, snapshot) => this.#look(snapshot));
    let cancelRenew = () => {};
    const renew = () => {
      cancelRenew = clock.after(PLACE_RENEW_MS, renew);
      this.#keepPlaces();
    };
    cancelRenew = clock.after(PLACE_RENEW_MS, renew);
    this.#stop = () => {
      stopListening();
      cancelRenew();
    };
  }

  #look({ instance, state, decidedBy }: Snapshot): void {
    const { machine } = this.#parts;
    // A view asked for earlier may be answered late: to a position that was passed nobody returns.
    if (instance < this.#lookedAt) return;
    this.#lookedAt = instance;
    const seen = { state, instance, receipt: receiptOf(decidedBy) };
    for (const waiter of [...this.#waiters]) {
      const { subject, commandId, at, by, end } = waiter;
      // Before its place was decided it is not gone.
      if (instance < waiter.instance) continue;
      const found = machine.placeOfCommand(state, subject, commandId);
      if (found !== null) {
        waiter.by = found.place.by;
        at(found.position);
      } else if (machine.holdOfCommand(state, subject, commandId) !== null) end({ type: "granted", ...seen });
      else end({ type: "gone", by, ...seen });
    }
    this.#setTimer(state, 0);
    this.#watchSessions(this.empty ? [] : this.#sessionsOf(state));
  }

  /** The sessions of who holds, and of who waits here: one whose session has ended must not wait any longer. */
  #sessionsOf(state: State): readonly string[] {
    const own = placesOfNode(state, this.#parts.acceptor.rules.me).map(({ session }) => session);
    return [...holdingSessions(state), ...own.filter((session) => session !== undefined)];
  }

  #watchSessions(ids: readonly string[]): void {
    for (const [id, stop] of this.#sessions) {
      if (ids.includes(id)) continue;
      stop();
      this.#sessions.delete(id);
    }
    for (const id of ids) {
      if (this.#sessions.has(id)) continue;
      this.#sessions.set(id, this.#parts.ends.watch(id, () => this.#clearSoon(id)));
    }
  }

  /** The node that decided the end of a session frees what was bound to it; this one sees to it where that one died. */
  #clearSoon(id: string): void {
    const { clock, random } = this.#parts;
    const cancel = clock.after(NOT_FIRST_MS * (1 + random.next()), () => void this.#clear(id));
    this.#sessions.set(id, cancel);
  }

  async #clear(id: string): Promise<void> {
    const { acceptor, ends, turns } = this.#parts;
    await turns.take("waited-for", async () => {
      const { snapshot } = await acceptor.view(this.#key);
      if (sessionsIn(snapshot.state).includes(id)) await ends.clear(this.#key, [id], ASK_AGAIN_MS);
    }).catch(() => {
      // Not decided in time, it is tried again: it is watched anew.
    });
    this.#sessions.delete(id);
    const view = await acceptor.view(this.#key).catch(() => null);
    if (view !== null && !this.empty) this.#look(view.snapshot);
  }

  /** For the first lease before us that runs out: whoever wants the thing proposes the end of what is in its way. */
  #setTimer(state: State, atLeastMs: number): void {
    const { leases, clock } = this.#parts;
    this.#cancelLapse();
    const own = this.#placeIds(state);
    const blocking = this.#blocking(state, own);
    if (this.empty || blocking.length === 0) return;
    // Held back from when it ran out, not from when this process came to look: one of a shared store may not live so long.
    const dueMs = Math.min(...blocking.map((lease) => leases.dueInMs(this.#key, lease)));
    const ms = Math.max(dueMs + this.#holdBackMs(state, own), atLeastMs);
    this.#cancelLapse = clock.after(ms, () => this.#expire());
  }

  /** In the order in which nodes come in the queue: where the first has gone, the next is alone for a while. */
  #holdBackMs(state: State, own: ReadonlySet<string>): number {
    const { acceptor, machine, random } = this.#parts;
    const first = machine.leases(state).find(({ id }) => id.startsWith("p:"));
    if (first !== undefined && own.has(first.id)) return 0;
    const rank = Math.max(1, waitingNodes(state).indexOf(acceptor.rules.me));
    return NOT_FIRST_MS * (rank + random.next());
  }

  /** All leases of the key but those of our own places, which we renew. */
  #blocking(state: State, own = this.#placeIds(state)): readonly LeaseTerm[] {
    return this.#parts.machine.leases(state).filter(({ id }) => !own.has(id));
  }

  #placeIds(state: State): Set<string> {
    const waiting = new Set([...this.#waiters].map(({ leaseId }) => leaseId));
    const places = placesOfNode(state, this.#parts.acceptor.rules.me).map(({ id }) => `p:${id}`);
    return new Set(places.filter((id) => waiting.has(id)));
  }

  async #expire(): Promise<void> {
    const { acceptor, leases, turns } = this.#parts;
    try {
      await turns.take("waited-for", async () => {
        const { snapshot } = await acceptor.view(this.#key);
        const lapsed = lapsedOf(leases, this.#key, this.#blocking(snapshot.state));
        if (lapsed.length > 0 && !this.empty) await endLapsed(this.#parts, this.#key, lapsed);
      });
    } catch {
      // Not decided in time, or no longer true: the next look says what is still in the way.
    }
    if (this.empty) return;
    const { snapshot } = await acceptor.view(this.#key).catch(() => ({ snapshot: null }));
    if (snapshot !== null) this.#setTimer(snapshot.state, ASK_AGAIN_MS);
  }

  async #keepPlaces(): Promise<void> {
    const { acceptor } = this.#parts;
    try {
      const { snapshot: { state } } = await acceptor.view(this.#key);
      const own = this.#placeIds(state);
      await Promise.all([this.#keep([...own], false), this.#keep(this.#notKept(state, own), true)]);
    } catch {
      // The next one in three seconds; a place outlives two that fail.
    }
  }

  /** Places of waiters here that another node has taken over and keeps no more: who asked there has gone, or that node has. */
  #notKept(state: State, own: ReadonlySet<string>): readonly string[] {
    const { leases, machine } = this.#parts;
    const waiting = new Set([...this.#waiters].map(({ leaseId }) => leaseId));
    return machine.leases(state).filter((lease) =>
      waiting.has(lease.id) && !own.has(lease.id) && leases.seenMs(this.#key, lease) >= NOT_KEPT_MS
    ).map(({ id }) => id);
  }

  async #keep(leaseIds: readonly string[], adopt: boolean): Promise<void> {
    if (leaseIds.length === 0) return;
    const { acceptor: { rules: { me } }, clock, submitters, random } = this.#parts;
    const places = leaseIds.map((id) => id.slice(2));
    const op = { type: "keep-places", places, ...(adopt ? { adopt } : {}) } as const;
    const id = random.id();
    this.#sends.sending(this.#key, { id, atMs: clock.now() });
    await submitters.submit(this.#key, { subject: me, id, op, timeoutMs: PLACE_RENEW_MS });
  }
}

function onChange(tell: (position: number) => void): (position: number) => void {
  let last = 0;
  return (position) => {
    if (position !== last) tell(position);
    last = position;
  };
}
