/** Sessions: one thing to keep alive, and many that live as long as it does. */
import type { SessionGrant } from "../api.ts";
import { type Calls, errorOf } from "./calls.ts";
import { QuorateError } from "./error.ts";
import { Hold } from "./hold.ts";
import { boundOf, Lease } from "./lease.ts";

/** What a session is opened with. */
export interface SessionOptions {
  /** How long it outlives its last keep-alive, in ms. Default: 30,000. */
  readonly ttl?: number;
  /** A label for people. */
  readonly holder?: string;
  /** Gives up opening it; the promise rejects with its reason. */
  readonly signal?: AbortSignal;
}

/** An open session, which keeps itself alive. Give it as `session` to whatever shall end with it. */
export interface Session extends AsyncDisposable {
  /** Its id. */
  readonly id: string;
  /** Aborts once it is over, as `Held.signal` does; so do the signals of all that is bound to it. */
  readonly signal: AbortSignal;
  /** Whether it surely lives, by this process's own clocks. */
  readonly held: boolean;
  /** For how many ms nobody else ends it; 0 once it is over. */
  remainingMs(): number;
  /** Keeps it now, which it does by itself too. Rejects with `lock-lost` once it is over. */
  renew(): Promise<void>;
  /** Ends it, and frees all that is bound to it. Rejects if no node confirmed it within 3 s; it lapses by itself then. */
  release(): Promise<void>;
  /** As `release`, but never rejects. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Sessions of a cluster. */
export interface Sessions {
  /** Opens one. Rejects with a `QuorateError` if no node did in the client's timeout. */
  open(options?: SessionOptions): Promise<Session>;
}

const TRY_MAX_MS = 5_000;
const PATIENCE_SHARE = 1 / 6;

class OpenSession implements Session {
  readonly id: string;
  readonly lease: Lease;
  readonly #hold: Hold;

  constructor(calls: Calls, { id }: SessionGrant, lease: Lease) {
    this.id = id;
    this.lease = lease;
    const target = `/v1/sessions/${id}`;
    this.#hold = new Hold({
      clock: calls.clock,
      lease,
      keepsItself: true,
      renew: async (signal) => {
        const call = { method: "PUT", target, command: calls.command() } as const;
        const leftMs = lease.remainingMs();
        const reply = await calls.ask(call, {
          silenceMs: leftMs * PATIENCE_SHARE,
          untilMs: calls.clock.now() + Math.min(TRY_MAX_MS, leftMs),
          isOnce: true,
          signal,
        });
        if (reply.status !== 200) throw errorOf(call, reply);
        return boundOf(reply.sent, JSON.parse(new TextDecoder().decode(reply.bytes)) as SessionGrant);
      },
      giveBack: async (signal) => {
        await calls.json({ method: "DELETE", target, command: calls.command() }, { signal });
      },
    });
  }

  get signal(): AbortSignal {
    return this.lease.signal;
  }

  get held(): boolean {
    return this.lease.isHeld;
  }

  remainingMs(): number {
    return this.lease.remainingMs();
  }

  renew(): Promise<void> {
    return this.#hold.renew();
  }

  release(): Promise<void> {
    return this.#hold.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#hold.dispose();
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
