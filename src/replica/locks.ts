/** Locks as users know them, over decided commands and linearizable reads. */
import type { Answer, Forced, Grant, Held, History, LockState, Page, Receipt, Released } from "../api.ts";
import { QuorateError } from "../errors.ts";
import type { Acquire, Hold, Op, Result } from "../machine/op.ts";
import { holdOfFence, holdOfHolder, viewHistory, viewLock } from "../machine/view.ts";
import type { LeaseName, LeaseTerm, State } from "../paxos/message.ts";
import type { Heard } from "./heard.ts";
import { haveLapsed } from "./lapse.ts";
import { LockViews } from "./lock_views.ts";
import type { Outcome } from "./pending.ts";
import type { BallotStore } from "./ports.ts";
import type { QueueParts, Queues } from "./queue.ts";
import type { Reader } from "./reader.ts";
import { receiptOf } from "./receipt.ts";
import type { AcquireRequest, Caller, LockService } from "./service.ts";

export type LockParts = QueueParts & {
  readonly reader: Reader;
  readonly queues: Queues;
  readonly store: BallotStore;
  readonly heard: Heard;
};

const PREFIX = "lock/";

export class Locks implements LockService {
  readonly #parts: LockParts;
  readonly #views: LockViews;

  constructor(parts: LockParts) {
    this.#parts = parts;
    this.#views = new LockViews(parts.leases);
  }

  async acquire(name: string, request: AcquireRequest, caller: Caller): Promise<Answer<Grant>> {
    const startedMs = this.#parts.clock.now();
    const { subject } = caller;
    // Places that were lost while waiting are taken again under ids made from the caller's, so that a retry
    // through another node finds the newest of them.
    for (let attempt = 0; attempt < 100; attempt++) {
      const id = attempt === 0 ? caller.idempotencyKey : `${caller.idempotencyKey}~${attempt}`;
      const outcome = await this.#ask(name, id, request, caller);
      const { result, state, receipt } = outcome;
      if (result.outcome !== "granted" && result.outcome !== "queued") {
        throw this.#refusal(name, request, caller, outcome);
      }
      const hold = this.#parts.machine.holdOfCommand(state, subject, id);
      if (result.outcome === "granted" && hold === null) throw lost(result.fence, receipt);
      if (result.outcome === "granted" && hold !== null && !hold.unconfirmed) {
        return { body: this.#views.grant(name, hold, state, 0, 0), receipt };
      }
      const confirmed = await this.#waitTurn(name, id, request, caller, startedMs, state);
      if (confirmed !== null) return confirmed;
    }
    throw new QuorateError("outcome-unknown", "the place in the queue was lost again and again", {
      outcome: "unknown",
    });
  }

  async renew(name: string, fence: string, { ttlMs }: { ttlMs?: number }, caller: Caller): Promise<Answer<Grant>> {
    const op = { type: "renew", fence, ...(ttlMs === undefined ? {} : { ttlMs }) } as const;
    const { result, state, receipt } = await this.#submit(name, op, caller);
    const hold = result.outcome === "renewed" ? holdOfFence(state, fence) : null;
    if (hold !== null) return { body: this.#views.grant(name, hold, state, 0, 0), receipt };
    if (result.outcome === "renewed" || result.outcome === "lost") throw lost(fence, receipt);
    throw unexpected(result, fence, receipt);
  }

  async release(name: string, fence: string, caller: Caller): Promise<Answer<Released>> {
    const op = { type: "release", fence, atMs: this.#label(caller) } as const;
    const { result, state, receipt } = await this.#submit(name, op, caller);
    switch (result.outcome) {
      case "released":
      case "already-released":
      case "taken-over":
      case "forced":
      case "ended":
        return { body: { outcome: result.outcome, fence, revision: viewLock(state).revision }, receipt };
      default:
        throw unexpected(result, fence, receipt);
    }
  }

  async force(name: string, reason: string, caller: Caller): Promise<Answer<Forced>> {
    const op = { type: "force", reason, atMs: this.#label(caller) } as const;
    const { result, state, receipt } = await this.#submit(name, op, caller);
    if (result.outcome !== "forced-all") throw unexpected(result, "", receipt);
    return { body: { outcome: "forced", count: result.count, revision: viewLock(state).revision }, receipt };
  }

  async get(
    name: string,
    { stale, timeoutMs }: { stale: boolean; timeoutMs: number },
  ): Promise<Answer<LockState> & { staleMs?: number }> {
    const key = PREFIX + name;
    const snapshot = stale
      ? (await this.#parts.acceptor.view(key)).snapshot
      : await this.#parts.reader.read(key, timeoutMs);
    const body = this.#views.lock(name, key, snapshot.state);
    const answer = { body, receipt: { ...receiptOf(snapshot.decidedBy), path: "read" } } as const;
    const staleMs = stale ? this.#parts.heard.ageMs(key) : null;
    return staleMs === null ? answer : { ...answer, staleMs };
  }

  async history(name: string, { timeoutMs }: { timeoutMs: number }): Promise<Answer<History>> {
    const snapshot = await this.#parts.reader.read(PREFIX + name, timeoutMs);
    const { items, revision } = viewHistory(snapshot.state);
    const body = { items: items.map((item) => this.#views.ended(item)), revision };
    return { body, receipt: { ...receiptOf(snapshot.decidedBy), path: "read" } };
  }

  async list(
    prefix: string,
    limit: number,
    cursor: string | null,
    { timeoutMs }: { timeoutMs: number },
  ): Promise<Page<LockState>> {
    const { store, reader } = this.#parts;
    const keys = await store.keys(PREFIX + prefix, PREFIX + (cursor ?? ""), limit + 1);
    const shown = keys.slice(0, limit);
    const items = await Promise.all(shown.map(async (key) => {
      const { state } = await reader.read(key, timeoutMs);
      return this.#views.lock(key.slice(PREFIX.length), key, state);
    }));
    const last = shown.at(-1);
    return { items, cursor: keys.length > limit && last !== undefined ? last.slice(PREFIX.length) : null };
  }

  /** One decision, or a refusal that a read quorum confirms: who only wants to know costs no write. */
  async #ask(name: string, id: string, request: AcquireRequest, caller: Caller): Promise<Outcome> {
    const { acceptor, machine, clock, reader } = this.#parts;
    const key = PREFIX + name;
    const op = this.#acquireOp(request, this.#label(caller));
    const untilMs = clock.now() + caller.timeoutMs;
    const submit = (claims?: readonly LeaseName[]) =>
      this.#parts.logs.submit(key, {
        subject: caller.subject,
        id,
        op,
        timeoutMs: Math.max(1, untilMs - clock.now()),
        idempotencyKey: caller.idempotencyKey,
        ...(caller.race === undefined ? {} : { race: caller.race }),
        ...(claims === undefined ? {} : { claims }),
      });
    // Raced: every node that got it must propose it, whatever it alone knows.
    if (caller.race !== undefined) return submit();
    const { snapshot } = await acceptor.view(key);
    const command = { subject: caller.subject, id, born: snapshot.instance, op };
    // Asked before: the answer stands already.
    if (machine.resultOf(snapshot.state, command) !== null) return submit();
    const inTheWay = this.#inTheWay(snapshot.state, request);
    if (inTheWay.length === 0) return submit();
    const lapsed = inTheWay.filter((lease) => this.#parts.leases.remainingMs(key, lease) === 0);
    if (lapsed.length > 0 && (lapsed.length === inTheWay.length || request.waitMs > 0)) {
      const claims = lapsed.map(({ id, by }) => ({ id, by }));
      if (await haveLapsed(this.#parts, key, claims)) {
        const claimed = await submit(claims).catch(orNullIfHeld);
        if (claimed !== null) return claimed;
      }
    }
    if (request.waitMs > 0) return submit();
    const read = await reader.read(key, Math.max(1, untilMs - clock.now()));
    if (this.#inTheWay(read.state, request).length === 0) return submit();
    // An earlier try may have been decided through another node while this one heard nothing: what is in the way is its
    // own grant, and that is the answer (§6).
    const isOwn = machine.holdOfCommand(read.state, caller.subject, id) !== null;
    if (isOwn || machine.lookup(read.state, caller.subject, id) !== null) return submit();
    const outcome = viewLock(read.state).state === "cooling" ? "cooling" : "held";
    return { result: { outcome }, state: read.state, receipt: { ...receiptOf(read.decidedBy), path: "read" } };
  }

  /** The leases because of which this request is not granted in this state. */
  #inTheWay(state: State, { mode }: AcquireRequest): readonly LeaseTerm[] {
    const { holders, cooling, waiterCount } = viewLock(state);
    const leases = this.#parts.machine.leases(state);
    const shares = mode === "shared" && waiterCount === 0 && holders.every((hold) => hold.mode === "shared");
    const holding = shares ? [] : holders.map(({ lease }) => lease);
    const places = leases.filter(({ id }) => id.startsWith("p:"));
    return [...holding, ...places, ...(cooling === null ? [] : [cooling])];
  }

  #acquireOp({ holder, ttlMs, waitMs, mode, metadata, lockDelayMs }: AcquireRequest, atMs: number): Acquire {
    return {
      type: "acquire",
      holder,
      mode,
      ttlMs,
      lockDelayMs,
      ...(waitMs > 0 ? { wait: { node: this.#parts.acceptor.rules.me } } : {}),
      ...(metadata === undefined ? {} : { metadata }),
      atMs,
    };
  }

  /** When it was asked for, for people; a raced command carries none, as it must be the same wherever it is made. */
  #label({ race }: Caller): number {
    return race === undefined ? this.#parts.clock.wall() : 0;
  }

  /** Waits for the grant of a queued command and confirms it; null if place and grant are both gone. */
  async #waitTurn(
    name: string,
    id: string,
    request: AcquireRequest,
    caller: Caller,
    startedMs: number,
    queuedIn: State,
  ): Promise<Answer<Grant> | null> {
    const { machine, clock, queues, logs } = this.#parts;
    const key = PREFIX + name;
    const { subject } = caller;
    const left = startedMs + request.waitMs - clock.now();
    const place = machine.placeOfCommand(queuedIn, subject, id)?.place ?? null;
    const { me } = this.#parts.acceptor.rules;
    if (place !== null && place.node !== me && left > 0) {
      const op = { type: "keep-places", places: [place.id], adopt: true } as const;
      await logs.submit(key, { subject: me, id: this.#parts.random.id(), op, timeoutMs: caller.timeoutMs });
    }
    const { signal, onPosition } = caller;
    const end = await queues.wait(key, {
      subject,
      commandId: id,
      waitMs: Math.max(0, left),
      ...(signal === undefined ? {} : { signal }),
      ...(onPosition === undefined ? {} : { onPosition }),
    });
    if (end.type === "gone") {
      // Confirmed before and over since: this is an old request come late, not a waiter that lost its place.
      const old = machine.lookup((await this.#parts.reader.read(key, caller.timeoutMs)).state, subject, confirmId(id));
      if (old?.outcome === "renewed") throw lost(old.fence);
      return null;
    }
    let state = end.type === "granted" ? end.state : null;
    if (state === null) {
      // A client that went away may come back for its place with the same key; else the place lapses by itself.
      caller.signal?.throwIfAborted();
      const op = { type: "leave", place: machine.placeId(subject, id), atMs: clock.wall() } as const;
      const left = await this.#submit(name, op, { ...caller, idempotencyKey: `${id}-` });
      if (left.result.outcome !== "granted") throw this.#refusal(name, request, caller, left);
      state = left.state;
    }
    return await this.#confirm(name, id, caller, startedMs, state);
  }

  /** §7: a grant out of the queue is answered only after a renewal of it was decided, and counts from its send. */
  async #confirm(
    name: string,
    id: string,
    caller: Caller,
    startedMs: number,
    granted: State,
  ): Promise<Answer<Grant> | null> {
    const { machine, clock, random } = this.#parts;
    const hold = machine.holdOfCommand(granted, caller.subject, id);
    if (hold === null) return null;
    const op = { type: "renew", fence: hold.fence } as const;
    const waitedMs = clock.now() - startedMs;
    // Both go in one value: a renewal of this answer's own, whose send the bounds count from, and one under an id
    // made from the command's, by which a late repetition of the request sees that it was answered.
    const [{ result, state, receipt }] = await Promise.all([
      this.#submit(name, op, { ...caller, idempotencyKey: random.id() }),
      this.#submit(name, op, { ...caller, idempotencyKey: confirmId(id) }),
    ]);
    const renewed = result.outcome === "renewed" ? holdOfFence(state, hold.fence) : null;
    if (renewed === null) return null;
    return { body: this.#views.grant(name, renewed, state, waitedMs, waitedMs), receipt };
  }

  #submit(name: string, op: Op, { subject, idempotencyKey, timeoutMs, race }: Caller): Promise<Outcome> {
    return this.#parts.logs.submit(PREFIX + name, {
      subject,
      id: idempotencyKey,
      op,
      timeoutMs,
      idempotencyKey,
      ...(race === undefined ? {} : { race }),
    });
  }

  #refusal(name: string, request: AcquireRequest, caller: Caller, { result, state, receipt }: Outcome): QuorateError {
    const held: Held = this.#views.held(PREFIX + name, state);
    const yours: Hold | null = holdOfHolder(state, caller.subject, request.holder);
    const facts = { receipt, more: { ...held, ...(yours === null ? {} : { yours: yours.fence }) } };
    switch (result.outcome) {
      case "held":
      case "left":
      case "queued":
        return new QuorateError("held", `${name} is held`, facts);
      case "cooling":
        return new QuorateError("cooling", `${name} is cooling after a lapse`, facts);
      case "queue-full":
        return new QuorateError("queue-full", `the queue of ${name} is full`, {
          receipt,
          retryAfterMs: held.retryAfterMs,
        });
      default:
        return unexpected(result, "", receipt);
    }
  }
}

function confirmId(commandId: string): string {
  return `${commandId}!`;
}

function lost(fence: string, receipt?: Receipt): QuorateError {
  const facts = { more: { fence }, ...(receipt === undefined ? {} : { receipt }) };
  return new QuorateError("lost", `fence ${fence} is no longer held`, facts);
}

/** Results that every operation can come to. */
function unexpected(result: Result, fence: string, receipt: Receipt): QuorateError {
  switch (result.outcome) {
    case "never-granted":
      return new QuorateError("not-found", `fence ${fence} was never granted to you`, { receipt });
    case "too-large":
      return new QuorateError("too-large", "the state of this name has no room for it", { receipt });
    case "expired-command":
      return new QuorateError("expired-command", "too much was decided since this command was first tried", {
        receipt,
      });
    case "idempotency-mismatch":
      return new QuorateError("idempotency-mismatch", "this Idempotency-Key was used for another request", { receipt });
    default:
      return new QuorateError("internal", `unexpected result ${result.outcome}`);
  }
}

function orNullIfHeld(error: unknown): null {
  if (error instanceof QuorateError && error.code === "held") return null;
  throw error;
}
