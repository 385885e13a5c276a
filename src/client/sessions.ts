/** Sessions: one thing to keep alive, and many that live as long as it does. */
import type { SessionGrant } from "../api.ts";
import type { Calls } from "./calls.ts";
import { QuorateError } from "./error.ts";
import { type Kept, KeptByHold, renewed } from "./kept.ts";
import { boundOf, Lease } from "./lease.ts";

/** What a session is opened with. */
export interface SessionOptions {
  /** How long the session outlives its last keep-alive, in ms. Default: 30,000. */
  readonly ttl?: number;
  /** A label for people. */
  readonly holder?: string;
  /** Its abort gives up opening the session; the promise rejects with its reason. */
  readonly signal?: AbortSignal;
}

/**
 * An open session, which keeps itself alive. Give it as `session` to the locks, terms, permits and values that shall
 * end with it. `release` frees them all. When its `signal` aborts, theirs have aborted too.
 */
export interface Session extends Kept {
  /** Its id. */
  readonly id: string;
}

/** Sessions of a cluster. */
export interface Sessions {
  /** Opens a session. Rejects with a `QuorateError` if no node opened it within the client's timeout. */
  open(options?: SessionOptions): Promise<Session>;
}

class OpenSession extends KeptByHold implements Session {
  readonly id: string;

  constructor(calls: Calls, { id }: SessionGrant, lease: Lease) {
    const target = `/v1/sessions/${id}`;
    super({
      clock: calls.clock,
      lease,
      keepsItself: true,
      renew: (signal) => renewed(calls, { method: "PUT", target, command: calls.command() }, lease, signal),
      giveBack: async (signal) => {
        await calls.json({ method: "DELETE", target, command: calls.command() }, { signal });
      },
    });
    this.id = id;
  }
}

export function createSessions(calls: Calls): Sessions {
  return {
    async open({ ttl, holder, signal } = {}) {
      const body = { ...(ttl !== undefined && { ttlMs: ttl }), ...(holder !== undefined && { holder }) };
      const call = { method: "POST", target: "/v1/sessions", body, command: calls.command() } as const;
      const { body: told, sent } = await calls.json<SessionGrant>(call, { signal });
      return new OpenSession(calls, told, new Lease(calls.clock, `session ${told.id}`, boundOf(sent, told)));
    },
  };
}

/**
 * What is bound to a session lives by its lease; null: it is bound to none. Throws `invalid-request` for an id alone: nobody
 * here would know when that session ends, and whatever renewed what is bound to it would keep it too.
 */
export function leaseOf(session: Session | undefined): Lease | null {
  if (session === undefined) return null;
  if (session instanceof OpenSession) return session.lease;
  const what = "session is what sessions.open resolves with, and no id";
  throw new QuorateError("invalid-request", what, { retryable: false });
}

export function idOf(session: Session | string): string {
  return typeof session === "string" ? session : session.id;
}
