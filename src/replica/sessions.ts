/** Sessions as users know them: opened, kept by one request for all that is bound to them, ended for good. */
import type { Answer, BoundName, SessionEnded, SessionGrant, SessionState } from "../api.ts";
import type { Op } from "../machine/op.ts";
import { viewRevision, viewSession } from "../machine/view.ts";
import type { BindingParts } from "./bindings.ts";
import type { Outcome } from "./pending.ts";
import { boundsOf } from "./lease_views.ts";
import { receiptOf } from "./receipt.ts";
import { sessionRefusal } from "./results.ts";
import type { Caller, SessionRequest, SessionService } from "./service.ts";
import { sessionKey } from "./session_ends.ts";

const ID_HEX = 32;

export class Sessions implements SessionService {
  readonly #parts: BindingParts;

  constructor(parts: BindingParts) {
    this.#parts = parts;
  }

  /** The id is made of subject and Idempotency-Key, so that a retry through any node is the same session. */
  async open({ holder, ttlMs }: SessionRequest, caller: Caller): Promise<Answer<SessionGrant>> {
    const id = this.#parts.digest(`session\0${caller.subject}\0${caller.idempotencyKey}`).slice(0, ID_HEX);
    return await this.#grant(id, { type: "open", holder, ttlMs }, caller);
  }

  async keep(id: string, caller: Caller): Promise<Answer<SessionGrant>> {
    return await this.#grant(id, { type: "keep" }, caller);
  }

  async end(id: string, caller: Caller): Promise<Answer<SessionEnded>> {
    const { clock, ends } = this.#parts;
    const untilMs = clock.now() + caller.timeoutMs;
    const outcome = await this.#submit(id, { type: "close" }, caller);
    const { result, state, receipt } = outcome;
    if (result.outcome !== "closed" && result.outcome !== "session-ended") {
      throw sessionRefusal(id, caller.subject, outcome);
    }
    // The end is decided. That what it held is free once the caller hears of it is a courtesy, as far as its time goes.
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(Math.max(0, untilMs - clock.now()), resolve);
    await Promise.race([late, ends.freeAll(id, viewSession(state))]);
    cancel();
    const how = result.outcome === "closed" ? "ended" : "already-ended";
    return { body: { outcome: how, id, revision: viewRevision(state) }, receipt };
  }

  async get(id: string, { subject, timeoutMs }: Pick<Caller, "subject" | "timeoutMs">): Promise<Answer<SessionState>> {
    const { ends, leases, machine } = this.#parts;
    const { state, decidedBy } = await ends.settle(id, timeoutMs);
    const receipt = { ...receiptOf(decidedBy), path: "read" } as const;
    const session = viewSession(state);
    const [lease] = machine.leases(state);
    if (session === null || session.subject !== subject || lease === undefined) {
      throw sessionRefusal(id, subject, { result: { outcome: "no-session" }, state, receipt });
    }
    const { holder, ttlMs, names } = session;
    const notAfterMs = Math.ceil(leases.remainingMs(sessionKey(id), lease));
    const bound = names.map(([key]) => boundName(key));
    return { body: { id, holder, ttlMs, notAfterMs, bound, revision: viewRevision(state) }, receipt };
  }

  /** The answer says of the ttl what counts from the caller's first send of this key, however often it is repeated. */
  async #grant(id: string, op: Op, caller: Caller): Promise<Answer<SessionGrant>> {
    const outcome = await this.#submit(id, op, caller);
    const { result, state, receipt } = outcome;
    const session = viewSession(state);
    const isDone = result.outcome === "opened" || result.outcome === "session-kept";
    // Repeated late, the first result says that it was kept, and the state that it is over.
    if (!isDone || session === null || session.ended !== null) throw sessionRefusal(id, caller.subject, outcome);
    this.#parts.ends.lookAfter(id);
    const { holder } = session;
    const { ttlMs, notBeforeMs, notAfterMs } = boundsOf(session, 0, 0);
    return { body: { id, holder, ttlMs, notBeforeMs, notAfterMs, revision: viewRevision(state) }, receipt };
  }

  #submit(id: string, op: Op, { subject, timeoutMs, idempotencyKey }: Caller): Promise<Outcome> {
    return this.#parts.logs.submit(sessionKey(id), { subject, id: idempotencyKey, op, timeoutMs, idempotencyKey });
  }
}

function boundName(key: string): BoundName {
  const slash = key.indexOf("/");
  return { noun: key.slice(0, slash), name: key.slice(slash + 1) };
}
