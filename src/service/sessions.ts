/** Sessions as users know them: opened, kept by one request for all that is bound to them, ended for good. */
import type { Answer, Page, SessionEnded, SessionGrant, SessionState } from "../api.ts";
import { QuorateError } from "../errors.ts";
import type { Op, Result } from "../machine/op.ts";
import type { Session } from "../machine/state.ts";
import { viewRevision, viewSession } from "../machine/view.ts";
import type { State } from "../paxos/message.ts";
import type { BindingParts } from "./bindings.ts";
import { boundsOf } from "./views/lease.ts";
import { isVisibleTo } from "./views/nouns.ts";
import type { Outcome } from "../replica/pending.ts";
import { receiptOf } from "../engine/receipt.ts";
import { orUnknown, sessionRefusal } from "./results.ts";
import type { Names } from "../replica/names.ts";
import { byReadOr, isLiveFor } from "./read_answers.ts";
import type { Caller, ListRequest, SessionRequest, SessionService } from "./service.ts";
import { sessionKey } from "../leases/session_ends.ts";
import { SessionViews } from "./views/session.ts";

type SessionParts = BindingParts & { readonly names: Names };

const ID_HEX = 32;
/** Keys looked at for a page: those of other subjects, and of sessions that ended, are among them and are not shown. */
const LOOKED_AT_MAX = 5_000;
const LOOKED_AT_TOGETHER = 100;

export class Sessions implements SessionService {
  readonly #parts: SessionParts;
  readonly #views: SessionViews;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#views = new SessionViews(parts.leases);
  }

  /** The id is made of subject and Idempotency-Key, so that a retry through any node is the same session. */
  async open({ holder, ttlMs }: SessionRequest, caller: Caller): Promise<Answer<SessionGrant>> {
    const id = this.#parts.digest(`session\0${caller.subject}\0${caller.idempotencyKey}`).slice(0, ID_HEX);
    const { clock, random } = this.#parts;
    const startedMs = clock.now();
    const ask = random.id();
    const outcome = await this.#submit(id, { type: "open", holder, ttlMs, ask }, caller);
    const session = this.#living(id, "opened", outcome, caller);
    if (session.ask === ask) return this.#answer(id, session, outcome, 0);
    // Opened before: what is told of it counts from this request, so it is kept for it.
    const waitedMs = clock.now() - startedMs;
    const kept = await this.#keep(id, caller).catch(orUnknown(caller.idempotencyKey));
    const { body, receipt } = this.#answer(id, this.#living(id, "session-kept", kept, caller), kept, waitedMs);
    return { body: { ...body, replayed: true }, receipt };
  }

  async keep(id: string, caller: Caller): Promise<Answer<SessionGrant>> {
    const outcome = await this.#overOr(id, { type: "keep" }, caller, (rest) => this.#keep(id, rest));
    return this.#answer(id, this.#living(id, "session-kept", outcome, caller), outcome, 0);
  }

  async end(id: string, caller: Caller): Promise<Answer<SessionEnded>> {
    const { clock, ends } = this.#parts;
    const untilMs = clock.now() + caller.timeoutMs;
    const close = { type: "close" } as const;
    const outcome = await this.#overOr(id, close, caller, (rest) => this.#submit(id, close, rest));
    const { result, state, receipt } = outcome;
    if (result.outcome !== "closed" && result.outcome !== "session-ended") {
      throw sessionRefusal(id, caller.subject, outcome);
    }
    // The end is decided. That what it held is free once the caller hears of it is a courtesy, as far as its time goes.
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(Math.max(0, untilMs - clock.now()), resolve);
    await Promise.race([late, ends.freeAll(id, viewSession(state), "asked-for")]);
    cancel();
    const how = result.outcome === "closed" ? "ended" : "already-ended";
    return { body: { outcome: how, id, revision: viewRevision(state) }, receipt };
  }

  async get(id: string, { subject, timeoutMs }: Pick<Caller, "subject" | "timeoutMs">): Promise<Answer<SessionState>> {
    const { state, instance, decidedBy } = await this.#parts.ends.settle(id, timeoutMs);
    const receipt = { ...receiptOf(decidedBy), path: "read" } as const;
    const body = this.#views.session(id, state);
    if (body === null || !isVisibleTo("session", subject, state)) {
      throw sessionRefusal(id, subject, { result: { outcome: "no-session" }, state, instance, receipt });
    }
    return { body, receipt };
  }

  async owns(id: string, subject: string): Promise<boolean> {
    const { snapshot: { state } } = await this.#parts.acceptor.view(sessionKey(id));
    return isVisibleTo("session", subject, state);
  }

  async list({ prefix, limit, cursor, timeoutMs }: ListRequest, subject: string): Promise<Page<SessionState>> {
    const items: SessionState[] = [];
    let [after, next] = [cursor ?? "", ""];
    for (let looked = 0; looked < LOOKED_AT_MAX; looked += LOOKED_AT_TOGETHER) {
      const range = { prefix: sessionKey(prefix), after: sessionKey(after), which: "live" } as const;
      const { keys } = await this.#parts.names.page({ ...range, limit: LOOKED_AT_TOGETHER + 1 }, timeoutMs);
      const ids = keys.map((key) => key.slice(sessionKey("").length));
      const isCandidate = await Promise.all(ids.map((id) => this.#mayBeOf(id, subject)));
      const candidates = ids.slice(0, LOOKED_AT_TOGETHER).filter((_, i) => isCandidate[i]);
      while (candidates.length > 0) {
        const some = candidates.splice(0, limit - items.length);
        const found = await Promise.all(some.map((id) => this.get(id, { subject, timeoutMs }).catch(orNullIfNone)));
        items.push(...found.flatMap((answer) => answer === null ? [] : [answer.body]));
        if (items.length === limit) return { items, cursor: items.at(-1)!.id };
      }
      if (ids.length <= LOOKED_AT_TOGETHER) return { items, cursor: null };
      [after, next] = ids.slice(-2) as [string, string];
    }
    return { items, cursor: between(after, next) };
  }

  /** By the own record, which sorts out most: of whom a session is never changes, and neither does an end. */
  async #mayBeOf(id: string, subject: string): Promise<boolean> {
    const { acceptor } = this.#parts;
    const view = await acceptor.view(sessionKey(id)).catch((error) => {
      if (acceptor.stopped.has(sessionKey(id))) return null;
      throw error;
    });
    // Others may know what this node's record cannot say any more.
    if (view === null) return true;
    const { decidedBy, state } = view.snapshot;
    const session = viewSession(state);
    // One that was opened just now this node may have voted for and not learned.
    return session === null ? decidedBy === null : session.subject === subject && session.ended === null;
  }

  /** What is asked of a session that neither the own record nor a read quorum shows alive is not decided. */
  #overOr(id: string, op: Op, caller: Caller, decide: (rest: Caller) => Promise<Outcome>): Promise<Outcome> {
    const isThere = (state: State) => isLiveFor(state, caller.subject);
    return byReadOr(this.#parts, sessionKey(id), { op, id: caller.idempotencyKey, isThere }, caller, decide);
  }

  /** A sign of life anew each time it is sent: what is told of it counts from its own request. */
  #keep(id: string, caller: Caller): Promise<Outcome> {
    return this.#submit(id, { type: "keep" }, caller, this.#parts.random.id());
  }

  /** Rejects unless that is what it came to, and the session lives. */
  #living(id: string, done: Result["outcome"], outcome: Outcome, { subject }: Caller): Session {
    const session = viewSession(outcome.state);
    if (outcome.result.outcome !== done || session === null || session.ended !== null) {
      throw sessionRefusal(id, subject, outcome);
    }
    this.#parts.ends.lookAfter(id);
    return session;
  }

  #answer(id: string, session: Session, { state, receipt }: Outcome, waitedMs: number): Answer<SessionGrant> {
    const { holder } = session;
    return { body: { id, holder, ...boundsOf(session, waitedMs), revision: viewRevision(state) }, receipt };
  }

  #submit(
    id: string,
    op: Op,
    { subject, timeoutMs, idempotencyKey }: Caller,
    commandId = idempotencyKey,
  ): Promise<Outcome> {
    return this.#parts.submitters.submit(sessionKey(id), { subject, id: commandId, op, timeoutMs, idempotencyKey });
  }
}

function orNullIfNone(error: unknown): null {
  if (error instanceof QuorateError && (error.code === "not-found" || error.code === "lost")) return null;
  throw error;
}

/** The shortest cursor after the one id and before the other: a whole one might tell of somebody else's session. */
function between(after: string, next: string): string {
  const length = [...next].findIndex((_, i) => next.slice(0, i + 1) > after) + 1;
  return next.slice(0, length);
}
