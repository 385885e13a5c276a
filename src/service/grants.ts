/**
 * Grants as users know them, over decided commands and linearizable reads, whatever the noun: asked for, waited for, left.
 * What is granted and what a refusal says is the noun's.
 */
import type { Answer, Left, Page } from "../api.ts";
import { QuorateError } from "../errors.ts";
import type { Ended, Hold } from "../machine/op.ts";
import { instanceOfFence } from "../machine/fence.ts";
import { REFUSED } from "../machine/machine.ts";
import { holdingSessions, holdOfHolder, isFree, isOtherLimit, viewGrants, viewHistory } from "../machine/view.ts";
import type { LeaseName, State } from "../paxos/message.ts";
import { earlyAnswer } from "../leases/early_answer.ts";
import type { Made } from "../leases/own_sends.ts";
import { ASK_CHARS, attemptId, confirmIdOf, leaveId, PLACES_MAX } from "./grant_ids.ts";
import type { Asking, Granted, GrantParts, Noun } from "./grant_parts.ts";
import { Holds } from "./holds.ts";
import { Places } from "./places.ts";
import { haveLapsed, lapsedOf, orNullIfHeld } from "../replica/lapse.ts";
import { ownState } from "../replica/own_state.ts";
import type { Outcome } from "../replica/pending.ts";
import { Reads } from "./reads.ts";
import { lost, orUnknown, sessionEnded, unexpected } from "./results.ts";
import type { Caller, GrantListRequest } from "./service.ts";

export class Grants {
  readonly #parts: GrantParts;
  readonly #noun: Noun;
  readonly reads: Reads;
  readonly holds: Holds;
  readonly #places: Places;

  constructor(parts: GrantParts, noun: Noun) {
    this.#parts = parts;
    this.#noun = noun;
    this.reads = new Reads(parts, noun.prefix);
    this.holds = new Holds(parts, noun);
    this.#places = new Places(parts, noun.prefix, this.reads, this.holds);
  }

  async ask(name: string, asking: Asking, caller: Caller): Promise<Granted> {
    const unfollow = asking.renews === true ? this.#parts.queues.sends.follow(this.#noun.prefix + name) : () => {};
    try {
      return await this.#take(name, asking, caller);
    } catch (error) {
      const isUnknown = error instanceof QuorateError && error.code === "outcome-unknown";
      if (isUnknown && this.isForgotten(caller)) this.#places.giveUpLater(name, caller);
      throw error;
    } finally {
      unfollow();
    }
  }

  /** A page of names that are held for so long, as `GrantListRequest` says. */
  list<T>(
    { heldForMs, ...request }: GrantListRequest,
    view: (name: string, key: string, state: State) => T,
  ): Promise<Page<T>> {
    const { reader, clock } = this.#parts;
    const untilMs = clock.wall() - (heldForMs ?? 0);
    const isWanted = (state: State) =>
      heldForMs === undefined || viewGrants(state).holders.some(({ fromMs }) => fromMs > 0 && fromMs <= untilMs);
    return this.reads.list(request, async (name, key, timeoutMs) => {
      const { state } = await reader.read(key, timeoutMs);
      return isWanted(state) ? view(name, key, state) : null;
    });
  }

  async #take(name: string, asking: Asking, caller: Caller): Promise<Granted> {
    const { clock, machine } = this.#parts;
    const startedMs = clock.now();
    const { subject, idempotencyKey } = caller;
    const cameAt = this.#cameAt(name, asking, caller);
    // Places that were lost while waiting are taken again under ids made from the caller's, so that a retry
    // through another node finds the newest of them.
    for (let attempt = 0; attempt < PLACES_MAX; attempt++) {
      const id = attemptId(idempotencyKey, attempt);
      const waitedMs = clock.now() - startedMs;
      const which = { id, ask: this.#parts.random.id().slice(0, ASK_CHARS), atMs: clock.now() };
      const asked = this.#ask(name, id, asking, caller, which);
      const outcome = await (attempt === 0 ? asked : asked.catch(orUnknown(idempotencyKey)));
      const { result, state, receipt } = outcome;
      // It may have been refused before this request came, and another try that came since may yet be granted it. Nor is it asked
      // anew: the caller may have given up this try, and have been told by now that it is held.
      if (REFUSED.has(result.outcome) && outcome.isOwn !== true) {
        const bornAt = await cameAt;
        if (bornAt !== null && (machine.appliedAt(state, subject, id) ?? 0) < bornAt) {
          throw maybeOld(idempotencyKey);
        }
      }
      if (result.outcome !== "granted" && result.outcome !== "queued") {
        throw this.#refusal(name, asking, caller, outcome);
      }
      const hold = machine.holdOfCommand(state, subject, id);
      if (result.outcome === "granted" && hold === null) {
        const isOver = asking.isOfSet !== true ||
          await this.#answered(name, id, asking, caller, outcome).catch(orUnknown(idempotencyKey));
        if (isOver) throw lost(result.fence, receipt);
        // One of a set that nobody was told of: it was given back, or lapsed, and is taken again.
        continue;
      }
      if (result.outcome === "granted" && hold !== null && (!hold.unconfirmed || asking.isOfSet === true)) {
        const granted = { id, hold, state, receipt, waitedMs };
        // Copies of one hedged request are one request; those of a set are confirmed together.
        const isNew = hold.ask === which.ask || caller.hedge !== undefined || asking.isOfSet === true;
        return await this.#unlessGone(
          name,
          isNew ? granted : await this.holds.again(name, hold, caller, startedMs),
          caller,
        );
      }
      const turn = await this.#waitTurn(name, id, asking, caller, startedMs, outcome).catch(orUnknown(idempotencyKey));
      if (turn !== null) return turn;
      // Confirmed through another node and over since: this is an old request come late, not a waiter that lost its place.
      const fence = await this.#answered(name, id, asking, caller, outcome).catch(orUnknown(idempotencyKey));
      if (fence !== null) throw lost(fence);
    }
    throw new QuorateError("outcome-unknown", "the place in the queue was lost again and again", {
      outcome: "unknown",
    });
  }

  /**
   * The instance that was open when the request came, if it may be a repeated one, does not say when it was born, and its node
   * was behind then; else null. It is asked for beside the first command, which does not wait for it, and only where the own
   * record has something in the way. Infinity: no quorum answers, so a refusal of another try may be an old one.
   */
  async #cameAt(
    name: string,
    asking: Asking,
    { anonymous, born, hedge, timeoutMs }: Caller,
  ): Promise<number | null> {
    if (anonymous === true || born !== undefined || hedge !== undefined) return null;
    const key = this.#noun.prefix + name;
    const own = await ownState(this.#parts, key, timeoutMs);
    if (own === null || isFree(own, asking, NONE)) return null;
    return await this.#parts.learning.aheadOf(key).catch(() => Infinity);
  }

  leave(name: string, idempotencyKey: string, caller: Caller): Promise<Answer<Left>> {
    return this.#places.leave(name, idempotencyKey, caller);
  }

  /** What is held for a request with this key, whichever of its tries got it. */
  holdOf(state: State, caller: Caller): Hold | null {
    return this.#places.holdOf(state, caller);
  }

  /** @param view what becomes of each item */
  async history<T>(name: string, timeoutMs: number, view: (ended: Ended) => T) {
    const { state, receipt } = await this.reads.get(name, { stale: false, timeoutMs });
    const { items, revision } = viewHistory(state);
    return { body: { items: items.map(view), revision }, receipt };
  }

  /** A grant for who has gone away and can never come back for it is given back instead of answered. */
  async #unlessGone(name: string, granted: Granted, caller: Caller): Promise<Granted> {
    const { signal } = caller;
    if (signal?.aborted === true && this.isForgotten(caller)) {
      const isGivenBack = await this.holds.giveBack(name, granted.hold, caller).catch(() => false);
      if (!isGivenBack) this.#places.giveUpLater(name, caller);
      signal.throwIfAborted();
    }
    return granted;
  }

  /** Whether nobody is there any more to be told: it was cancelled, and not because this process ends. */
  isForgotten({ anonymous, signal }: Caller): boolean {
    return anonymous === true && signal?.aborted === true && !this.#parts.isDraining();
  }

  /**
   * The fence that was answered with once, as far as the window reaches; null if none was. It is told by its confirmation. A
   * caller that renews may have been answered before that, and its hold be over by now: then what comes of the
   * confirmation, or the history, tells of it.
   * @param seen what the command came to when it was asked: what it is granted is no older
   */
  async #answered(
    name: string,
    id: string,
    { holder, renews }: Asking,
    { subject, timeoutMs }: Caller,
    seen: Outcome,
  ): Promise<string | null> {
    const { machine } = this.#parts;
    const { state } = await this.reads.get(name, { stale: false, timeoutMs });
    const old = machine.lookup(state, subject, confirmIdOf(id));
    if (old?.outcome === "renewed" || (renews === true && old?.outcome === "lost")) return old.fence;
    if (renews !== true) return null;
    // Places and holds outlive their entries in the window; what was granted before one was seen is another request's.
    const hold = machine.holdOfCommand(seen.state, subject, id);
    const isWaiting = machine.placeOfCommand(seen.state, subject, id) !== null;
    const grantedAt = hold !== null
      ? instanceOfFence(hold.fence)
      : isWaiting
      ? seen.instance
      : machine.appliedAt(seen.state, subject, id) ?? 0;
    const isIts = (item: Ended) =>
      item.subject === subject && item.holder === holder && instanceOfFence(item.fence) >= grantedAt;
    return viewHistory(state).items.find(isIts)?.fence ?? null;
  }

  /**
   * One decision. A refusal that a read quorum confirms is enough for who cannot repeat the request: polling then costs no
   * write. Whoever brought a key may have asked before, and what a read refuses now an earlier try may yet be granted; a
   * refusal that is decided stands for every copy of the command.
   */
  async #ask(name: string, id: string, asking: Asking, caller: Caller, which: Required<Made>): Promise<Outcome> {
    const { acceptor, machine, clock, leases, submitters, bindings, ends } = this.#parts;
    const key = this.#noun.prefix + name;
    const { subject } = caller;
    const wait = asking.waitMs > 0 ? { wait: { node: acceptor.rules.me } } : {};
    const label = this.holds.label(caller);
    // The bytes of a hedged request must be the same everywhere.
    const asked = caller.hedge === undefined ? { ask: which.ask } : {};
    const untilMs = clock.now() + caller.timeoutMs;
    const timeoutMs = () => Math.max(1, untilMs - clock.now());
    const submit = async (claims?: readonly LeaseName[]) => {
      const { session } = asking;
      if (caller.hedge === undefined) this.#parts.queues.sends.sending(key, which);
      // Entered there first: whoever ends the session must find what to free.
      const bound = session === undefined
        ? {}
        : await bindings.bind(session, key, { ...caller, timeoutMs: timeoutMs() });
      return await submitters.submit(key, {
        subject,
        id,
        op: asking.op({ ...wait, ...bound, ...asked }, label),
        timeoutMs: timeoutMs(),
        idempotencyKey: caller.idempotencyKey,
        ...(caller.hedge === undefined ? {} : { hedge: caller.hedge }),
        ...(caller.born === undefined ? {} : { born: caller.born }),
        ...(claims === undefined ? {} : { claims }),
      });
    };
    // Asked before: the answer stands already.
    const isKnown = (state: State) =>
      machine.lookup(state, subject, id) !== null || this.#places.stands(state, subject, id);
    // Hedged: every node that got it must propose it, whatever it alone knows.
    if (caller.hedge !== undefined) return submit();
    const own = await ownState(this.#parts, key, timeoutMs());
    if (own === null || isKnown(own) || isFree(own, asking, NONE)) return submit();
    const wasCleared = await ends.clear(key, holdingSessions(own), timeoutMs());
    const state = (wasCleared ? await ownState(this.#parts, key, timeoutMs()) : null) ?? own;
    const lapsed = lapsedOf(leases, key, machine.leases(state));
    const wouldDo = asking.waitMs > 0 || isFree(state, asking, new Set(lapsed.map(({ id }) => id)));
    const unclaimed = async () => {
      if (asking.waitMs > 0 || caller.anonymous !== true) return await submit();
      const read = await this.reads.get(name, { stale: false, timeoutMs: timeoutMs() });
      if (isFree(read.state, asking, NONE)) return await submit();
      // An earlier try may have been decided through another node while this one heard nothing: what is in the way is its
      // own grant, and that is the answer (§6).
      if (isKnown(read.state)) return await submit();
      const { state, snapshot: { instance }, receipt } = read;
      return { result: refusedIn(state, asking), state, instance, receipt };
    };
    if (lapsed.length === 0 || !wouldDo || !await haveLapsed(this.#parts, key, lapsed)) return await unclaimed();
    // With its claim it may have got votes.
    return await submit(lapsed).catch(orNullIfHeld) ?? await unclaimed().catch(orUnknown(caller.idempotencyKey));
  }

  /** Waits for the grant of a queued command and confirms it; null if place and grant are both gone. */
  async #waitTurn(
    name: string,
    id: string,
    asking: Asking,
    caller: Caller,
    startedMs: number,
    { state: queuedIn, instance, receipt }: Outcome,
  ): Promise<Granted | null> {
    const { machine, clock, queues, submitters } = this.#parts;
    const key = this.#noun.prefix + name;
    const { subject } = caller;
    const left = startedMs + asking.waitMs - clock.now();
    const place = machine.placeOfCommand(queuedIn, subject, id)?.place ?? null;
    const { me } = this.#parts.acceptor.rules;
    // Who has gone waits through the other node, if anywhere.
    if (place !== null && place.node !== me && left > 0 && caller.signal?.aborted !== true) {
      const op = { type: "keep-places", places: [place.id], adopt: true } as const;
      await submitters.submit(key, { subject: me, id: this.#parts.random.id(), op, timeoutMs: caller.timeoutMs });
    }
    const { signal, onPosition } = caller;
    // An earlier try had a place, which is gone: nothing is left to wait in.
    const isOver = !this.#places.stands(queuedIn, subject, id);
    const end = isOver
      ? { type: "gone", by: null, state: queuedIn, instance, receipt } as const
      : await queues.wait(key, {
        subject,
        commandId: id,
        instance,
        waitMs: Math.max(0, left),
        ...(signal === undefined ? {} : { signal }),
        ...(onPosition === undefined ? {} : { onPosition }),
      });
    if (end.type === "gone") {
      // Its caller took it out of the queue, or was told so at the end of another try's wait: that stands for this one too,
      // but where yet another try has a newer place, which the caller may be waiting for.
      if (place !== null && machine.lookup(end.state, subject, leaveId(id, end.by ?? place.by))?.outcome === "left") {
        const { state } = await this.reads.get(name, { stale: false, timeoutMs: caller.timeoutMs });
        if (!this.#places.hasOther(state, id, caller)) {
          throw this.#refusal(name, asking, caller, { ...end, result: { outcome: "left" } });
        }
      }
      return null;
    }
    let seen: Pick<Outcome, "state" | "receipt"> | null = end.type === "granted" ? end : null;
    if (caller.signal?.aborted === true) {
      // Who brought a key of its own may come back for its place, until that lapses.
      if (this.isForgotten(caller)) {
        await this.#places.withdraw(name, id, seen?.state ?? queuedIn, caller).catch(() =>
          this.#places.giveUpLater(name, caller)
        );
      }
      caller.signal.throwIfAborted();
    }
    if (seen === null) {
      const left = await this.#places.leavePlace(name, id, queuedIn, caller);
      if (left.result.outcome === "queued") {
        throw new QuorateError("outcome-unknown", "the same request waits through another node", {
          outcome: "unknown",
        });
      }
      // It was gone before that, and another try has a newer one: the next attempt finds it.
      if (left.result.outcome === "left" && this.#places.hasOther(left.state, id, caller)) return null;
      if (left.result.outcome !== "granted") throw this.#refusal(name, asking, caller, left);
      seen = left;
    }
    const hold = machine.holdOfCommand(seen.state, subject, id);
    if (hold === null) return null;
    const waitedMs = clock.now() - startedMs;
    if (asking.isOfSet === true) return { id, hold, state: seen.state, receipt: seen.receipt, waitedMs };
    const early = this.#early(key, hold, asking, startedMs);
    if (early !== null) {
      const { state, receipt } = seen;
      const granted = { id, hold, state, receipt, waitedMs: early.sinceMs - startedMs, leaseMs: early.leaseMs };
      const told = await this.#unlessGone(name, granted, caller);
      this.holds.confirmLater(name, hold, id, caller);
      return told;
    }
    // §7: a grant out of the queue is answered only after a renewal of it was decided, and counts from its send.
    const granted = await this.holds.confirm(name, hold, id, caller);
    return granted === null ? null : await this.#unlessGone(name, { ...granted, waitedMs }, caller);
  }

  #early(key: string, hold: Hold, { renews = false, isOfSet = false }: Asking, cameMs: number) {
    const { clock, queues } = this.#parts;
    return earlyAnswer({ hold, renews, isOfSet, cameMs, nowMs: clock.now(), decided: queues.sends.of(key) });
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

function maybeOld(idempotencyKey: string): QuorateError {
  return new QuorateError("outcome-unknown", "no quorum tells that no other try was refused before this one came", {
    outcome: "unknown",
    idempotencyKey,
  });
}

function refusedIn(state: State, asking: Asking): Outcome["result"] {
  const { state: kind, limit } = viewGrants(state);
  if (limit !== null && isOtherLimit(state, asking)) return { outcome: "limit-mismatch", limit };
  return { outcome: kind === "cooling" ? "cooling" : "held" };
}
