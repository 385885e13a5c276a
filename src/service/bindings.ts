/** What is bound to a session, from the session's side: entered in its log first, and taken out when nothing is left. */
import { QuorateError } from "../errors.ts";
import type { Bind, Keep, Unbind } from "../machine/op.ts";
import type { Session } from "../machine/state.ts";
import { sessionsIn, viewSession } from "../machine/view.ts";
import type { Outcome } from "../replica/pending.ts";
import type { QueueParts } from "../leases/queue.ts";
import type { Reader } from "../replica/reader.ts";
import { sessionRefusal } from "./results.ts";
import type { Caller } from "./service.ts";
import { type SessionEnds, sessionKey } from "../leases/session_ends.ts";

/** Keys looked through together for what is still bound. */
const SWEPT_TOGETHER = 32;

export type BindingParts = QueueParts & { readonly reader: Reader; readonly ends: SessionEnds };
/** What a grant or value that is bound says of its session. */
export type Bound = { readonly session: string; readonly ttlMs: number };

export class Bindings {
  readonly #parts: BindingParts;

  constructor(parts: BindingParts) {
    this.#parts = parts;
  }

  /**
   * To be called before something of the key is bound to the session, and again when a grant out of a queue is confirmed:
   * the ttl counts from its send, by a new command each time, so that whatever is told of it is no more than what holds.
   * Rejects with `lost` if the session has ended, `not-found` if there is none of this subject, `too-large` if it is full.
   */
  async bind(session: string, key: string, caller: Caller): Promise<Bound> {
    const op = { type: "bind", key } as const;
    let outcome = await this.#submit(session, op, caller);
    const full = outcome.result.outcome === "too-large" ? viewSession(outcome.state) : null;
    if (full !== null && await this.#sweep(session, full, caller)) outcome = await this.#submit(session, op, caller);
    const { result, receipt } = outcome;
    if (result.outcome === "too-large") {
      throw new QuorateError("too-large", `session ${session} has no room for another name`, { receipt });
    }
    if (result.outcome !== "bound") throw sessionRefusal(session, caller.subject, outcome);
    this.#parts.ends.lookAfter(session);
    return { session, ttlMs: result.ttlMs };
  }

  /** As `bind`, of what is bound already. */
  async keep(session: string, caller: Caller): Promise<void> {
    const outcome = await this.#submit(session, { type: "keep" }, caller);
    if (outcome.result.outcome !== "session-kept") throw sessionRefusal(session, caller.subject, outcome);
    this.#parts.ends.lookAfter(session);
  }

  #submit(session: string, op: Bind | Keep, { subject, timeoutMs, idempotencyKey }: Caller): Promise<Outcome> {
    const { submitters, random } = this.#parts;
    return submitters.submit(sessionKey(session), { subject, id: random.id(), op, timeoutMs, idempotencyKey });
  }

  /**
   * Takes out keys where nothing is bound to it any more, the oldest half first; whether there were any. A grant that is
   * under way meanwhile, for longer than it took to bind the newer half, would be freed only by who wants its name.
   */
  async #sweep(id: string, { names }: Session, { timeoutMs }: Caller): Promise<boolean> {
    const { acceptor, submitters, random, reader } = this.#parts;
    let found = false;
    for (let at = 0; at < names.length && !(found && at >= names.length / 2); at += SWEPT_TOGETHER) {
      const some = names.slice(at, at + SWEPT_TOGETHER);
      const isLeft = await Promise.all(some.map(([key]) =>
        // What cannot be read may be bound still.
        reader.read(key, timeoutMs).then(({ state }) => sessionsIn(state).includes(id), () => true)
      ));
      const op: Unbind = { type: "unbind", names: some.filter((_, i) => !isLeft[i]) };
      if (op.names.length === 0) continue;
      await submitters.submit(sessionKey(id), { subject: acceptor.rules.me, id: random.id(), op, timeoutMs });
      found = true;
    }
    return found;
  }
}
