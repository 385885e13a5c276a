/**
 * Grants as users know them, over decided commands and linearizable reads, whatever the noun: asked for, waited for,
 * confirmed, renewed, released. What is granted and what a refusal says is the noun's.
 */
import type { Receipt, ReleaseOutcome } from "../api.ts";
import { QuorateError } from "../errors.ts";
import type { Ended, Hold, Op, Proclaim, Renew } from "../machine/op.ts";
import {
  holdingSessions,
  holdOfFence,
  holdOfHolder,
  isFree,
  isOtherLimit,
  viewGrants,
  viewHistory,
  type Wanted,
} from "../machine/view.ts";
import type { LeaseName, State } from "../paxos/message.ts";
import type { Bindings, Bound } from "./bindings.ts";
import { haveLapsed, lapsedOf } from "./lapse.ts";
import type { Outcome } from "./pending.ts";
import type { QueueParts, Queues } from "./queue.ts";
import { type ReadParts, Reads } from "./reads.ts";
import { lost, orNullIfHeld, orUnknown, sessionEnded, unexpected } from "./results.ts";
import type { Caller } from "./service.ts";
import type { SessionEnds } from "./session_ends.ts";

export type GrantParts = QueueParts & ReadParts & {
  readonly queues: Queues;
  readonly bindings: Bindings;
  readonly ends: SessionEnds;
};

/** Why nothing was granted, and to whom not; `yours` is what the same subject and holder has. */
export type Refused = {
  readonly name: string;
  readonly key: string;
  readonly why: "held" | "cooling" | "limit-mismatch";
  readonly state: State;
  readonly yours: Hold | null;
  readonly receipt: Receipt;
};

export type Noun = {
  /** Of its keys, with its slash. */
  readonly prefix: string;
  /** When to ask again. */
  retryAfterMs(key: string, state: State): number;
  refusal(refused: Refused): QuorateError;
};

export type Asking = Wanted & {
  readonly holder: string;
  readonly waitMs: number;
  /** What the grant is to be bound to. */
  readonly session?: string;
  op(how: How, atMs: number): Op;
};

/** `wait`: the node that answers, or nothing: do not wait. */
type How = { readonly wait?: { readonly node: string } } & Partial<Bound>;

export type Granted = {
  readonly hold: Hold;
  readonly state: State;
  readonly receipt: Receipt;
  /** How long after the caller's send the ttl began to count. */
  readonly waitedMs: number;
};

export class Grants {
  readonly #parts: GrantParts;
  readonly #noun: Noun;
  readonly reads: Reads;

  constructor(parts: GrantParts, noun: Noun) {
    this.#parts = parts;
    this.#noun = noun;
    this.reads = new Reads(parts, noun.prefix);
  }

  /** @param commandId of the command; the caller is told of its own key */
  async ask(name: string, asking: Asking, caller: Caller, commandId = caller.idempotencyKey): Promise<Granted> {
    const startedMs = this.#parts.clock.now();
    const { subject, idempotencyKey } = caller;
    // Places that were lost while waiting are taken again under ids made from the caller's, so that a retry
    // through another node finds the newest of them.
    for (let attempt = 0; attempt < 100; attempt++) {
      const id = attempt === 0 ? commandId : `${commandId}~${attempt}`;
      const asked = this.#ask(name, id, asking, caller);
      const outcome = await (attempt === 0 ? asked : asked.catch(orUnknown(idempotencyKey)));
      const { result, state, receipt } = outcome;
      if (result.outcome !== "granted" && result.outcome !== "queued") {
        throw this.#refusal(name, asking, caller, outcome);
      }
      const hold = this.#parts.machine.holdOfCommand(state, subject, id);
      if (result.outcome === "granted" && hold === null) throw lost(result.fence, receipt);
      if (result.outcome === "granted" && hold !== null && !hold.unconfirmed) {
        return { hold, state, receipt, waitedMs: 0 };
      }
      const confirmed = await this.#waitTurn(name, id, asking, caller, startedMs, state).catch(
        orUnknown(idempotencyKey),
      );
      if (confirmed !== null) return confirmed;
    }
    throw new QuorateError("outcome-unknown", "the place in the queue was lost again and again", {
      outcome: "unknown",
    });
  }

  async renew(name: string, op: Renew | Proclaim, caller: Caller): Promise<Granted> {
    const { fence } = op;
    const { result, state, receipt } = await this.#submit(name, op, caller);
    const hold = result.outcome === "renewed" ? holdOfFence(state, fence) : null;
    if (hold !== null) {
      // Of its own it has no lease: what the caller is told of counts from a renewal of its session.
      if (hold.session !== undefined) {
        await this.#parts.bindings.keep(hold.session, caller).catch(orUnknown(caller.idempotencyKey));
      }
      return { hold, state, receipt, waitedMs: 0 };
    }
    if (result.outcome === "renewed" || result.outcome === "lost") throw lost(fence, receipt);
    throw unexpected(result, fence, receipt);
  }

  async release(name: string, fence: string, caller: Caller) {
    const op = { type: "release", fence, atMs: this.#label(caller) } as const;
    const { result, state, receipt } = await this.#submit(name, op, caller);
    switch (result.outcome) {
      case "released":
      case "already-released":
      case "taken-over":
      case "forced":
      case "ended": {
        const outcome: ReleaseOutcome = result.outcome;
        return { outcome, revision: viewGrants(state).revision, receipt };
      }
      default:
        throw unexpected(result, fence, receipt);
    }
  }

  /** Gives a hold back if its lease is still this one: else somebody has taken it up since, and it is theirs. */
  async giveBack(name: string, { fence, by }: Hold, caller: Caller): Promise<void> {
    await this.#submit(name, { type: "release", fence, by, atMs: this.#label(caller) }, caller);
  }

  async force(name: string, reason: string, caller: Caller) {
    const op = { type: "force", reason, atMs: this.#label(caller) } as const;
    const { result, state, receipt } = await this.#submit(name, op, caller);
    if (result.outcome !== "forced-all") throw unexpected(result, "", receipt);
    const body = { outcome: "forced", count: result.count, revision: viewGrants(state).revision } as const;
    return { body, receipt };
  }

  /** @param view what becomes of each item */
  async history<T>(name: string, timeoutMs: number, view: (ended: Ended) => T) {
    const { state, receipt } = await this.reads.get(name, { stale: false, timeoutMs });
    const { items, revision } = viewHistory(state);
    return { body: { items: items.map(view), revision }, receipt };
  }

  /** Renews, for an answer that is about to be given: two commands in one value. */
  async confirm(
    name: string,
    { fence, session }: Hold,
    confirmId: string,
    caller: Caller,
  ): Promise<Granted | null> {
    const op = { type: "renew", fence } as const;
    // One of this answer's own, whose send the bounds count from, and one under an id made from the command's, by
    // which a late repetition of the request sees that it was answered.
    const [{ result, state, receipt }] = await Promise.all([
      this.#submit(name, op, { ...caller, idempotencyKey: this.#parts.random.id() }),
      this.#submit(name, op, { ...caller, idempotencyKey: confirmId }),
      session === undefined ? null : this.#parts.bindings.bind(session, this.#noun.prefix + name, caller),
    ]);
    const hold = result.outcome === "renewed" ? holdOfFence(state, fence) : null;
    return hold === null ? null : { hold, state, receipt, waitedMs: 0 };
  }

  /** The fence that was answered with once, told by its confirmation; null if none was, as far as the window reaches. */
  async confirmed(name: string, confirmId: string, { subject, timeoutMs }: Caller): Promise<string | null> {
    const { state } = await this.reads.get(name, { stale: false, timeoutMs });
    const old = this.#parts.machine.lookup(state, subject, confirmId);
    return old?.outcome === "renewed" ? old.fence : null;
  }

  /** One decision, or a refusal that a read quorum confirms: who only wants to know costs no write. */
  async #ask(name: string, id: string, asking: Asking, caller: Caller): Promise<Outcome> {
    const { acceptor, machine, clock, leases, logs, bindings, ends } = this.#parts;
    const key = this.#noun.prefix + name;
    const { subject } = caller;
    const wait = asking.waitMs > 0 ? { wait: { node: acceptor.rules.me } } : {};
    const label = this.#label(caller);
    const untilMs = clock.now() + caller.timeoutMs;
    const timeoutMs = () => Math.max(1, untilMs - clock.now());
    const submit = async (claims?: readonly LeaseName[]) => {
      const { session } = asking;
      // Entered there first: whoever ends the session must find what to free.
      const bound = session === undefined
        ? {}
        : await bindings.bind(session, key, { ...caller, timeoutMs: timeoutMs() });
      return await logs.submit(key, {
        subject,
        id,
        op: asking.op({ ...wait, ...bound }, label),
        timeoutMs: timeoutMs(),
        idempotencyKey: caller.idempotencyKey,
        ...(caller.hedge === undefined ? {} : { hedge: caller.hedge }),
        ...(claims === undefined ? {} : { claims }),
      });
    };
    // Asked before: the answer stands already.
    const isKnown = (state: State) =>
      machine.lookup(state, subject, id) !== null || machine.holdOfCommand(state, subject, id) !== null ||
      machine.placeOfCommand(state, subject, id) !== null;
    // Hedged: every node that got it must propose it, whatever it alone knows.
    if (caller.hedge !== undefined) return submit();
    let { snapshot } = await acceptor.view(key);
    if (isKnown(snapshot.state) || isFree(snapshot.state, asking, NONE)) return submit();
    if (await ends.clear(key, holdingSessions(snapshot.state), timeoutMs())) {
      snapshot = (await acceptor.view(key)).snapshot;
    }
    const lapsed = lapsedOf(leases, key, machine.leases(snapshot.state));
    const wouldDo = asking.waitMs > 0 || isFree(snapshot.state, asking, new Set(lapsed.map(({ id }) => id)));
    const unclaimed = async () => {
      if (asking.waitMs > 0) return await submit();
      const read = await this.reads.get(name, { stale: false, timeoutMs: timeoutMs() });
      if (isFree(read.state, asking, NONE)) return await submit();
      // An earlier try may have been decided through another node while this one heard nothing: what is in the way is its
      // own grant, and that is the answer (§6).
      if (isKnown(read.state)) return await submit();
      return { result: refusedIn(read.state, asking), state: read.state, receipt: read.receipt };
    };
    if (lapsed.length === 0 || !wouldDo || !await haveLapsed(this.#parts, key, lapsed)) return await unclaimed();
    // With its claim it may have got votes.
    return await submit(lapsed).catch(orNullIfHeld) ?? await unclaimed().catch(orUnknown(caller.idempotencyKey));
  }

  /** When it was asked for, for people; a hedged command carries none, as it must be the same wherever it is made. */
  #label({ hedge }: Caller): number {
    return hedge === undefined ? this.#parts.clock.wall() : 0;
  }

  /** Waits for the grant of a queued command and confirms it; null if place and grant are both gone. */
  async #waitTurn(
    name: string,
    id: string,
    asking: Asking,
    caller: Caller,
    startedMs: number,
    queuedIn: State,
  ): Promise<Granted | null> {
    const { machine, clock, queues, logs } = this.#parts;
    const key = this.#noun.prefix + name;
    const { subject } = caller;
    const left = startedMs + asking.waitMs - clock.now();
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
      const fence = await this.confirmed(name, confirmIdOf(id), caller);
      if (fence !== null) throw lost(fence);
      return null;
    }
    let state = end.type === "granted" ? end.state : null;
    if (state === null) {
      // A client that went away may come back for its place with the same key; else the place lapses by itself.
      caller.signal?.throwIfAborted();
      const op = { type: "leave", place: machine.placeId(subject, id), atMs: clock.wall() } as const;
      const left = await this.#submit(name, op, { ...caller, idempotencyKey: `${id}-` });
      if (left.result.outcome !== "granted") throw this.#refusal(name, asking, caller, left);
      state = left.state;
    }
    // §7: a grant out of the queue is answered only after a renewal of it was decided, and counts from its send.
    const hold = machine.holdOfCommand(state, subject, id);
    if (hold === null) return null;
    const waitedMs = clock.now() - startedMs;
    const granted = await this.confirm(name, hold, confirmIdOf(id), caller);
    return granted === null ? null : { ...granted, waitedMs };
  }

  #submit(name: string, op: Op, { subject, idempotencyKey, timeoutMs, hedge }: Caller): Promise<Outcome> {
    return this.#parts.logs.submit(this.#noun.prefix + name, {
      subject,
      id: idempotencyKey,
      op,
      timeoutMs,
      idempotencyKey,
      ...(hedge === undefined ? {} : { hedge }),
    });
  }

  #refusal(
    name: string,
    { holder, session = "" }: Asking,
    { subject }: Caller,
    { result, state, receipt }: Outcome,
  ): QuorateError {
    const key = this.#noun.prefix + name;
    const refused = { name, key, state, yours: holdOfHolder(state, subject, holder), receipt };
    switch (result.outcome) {
      case "held":
      case "left":
      case "queued":
        return this.#noun.refusal({ ...refused, why: "held" });
      case "cooling":
      case "limit-mismatch":
        return this.#noun.refusal({ ...refused, why: result.outcome });
      case "session-ended":
        return sessionEnded(session, receipt);
      case "queue-full":
        return new QuorateError("queue-full", `the queue of ${name} is full`, {
          receipt,
          retryAfterMs: this.#noun.retryAfterMs(key, state),
        });
      default:
        return unexpected(result, "", receipt);
    }
  }
}

const NONE: ReadonlySet<string> = new Set();

function refusedIn(state: State, asking: Asking): Outcome["result"] {
  const { state: kind, limit } = viewGrants(state);
  if (limit !== null && isOtherLimit(state, asking)) return { outcome: "limit-mismatch", limit };
  return { outcome: kind === "cooling" ? "cooling" : "held" };
}

function confirmIdOf(commandId: string): string {
  return `${commandId}!`;
}
