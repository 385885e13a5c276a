/** The shapes of api.ts for sessions, from a decided state. */
import type { BoundName, SessionState } from "../../api.ts";
import { sessionLease } from "../../machine/session.ts";
import { viewRevision, viewSession } from "../../machine/view.ts";
import type { State } from "../../paxos/message.ts";
import type { LeaseClock } from "../../replica/lease_clock.ts";
import { sessionKey } from "../../leases/session_ends.ts";

export class SessionViews {
  readonly #leases: LeaseClock;

  constructor(leases: LeaseClock) {
    this.#leases = leases;
  }

  /** Null where there is none, or it has ended. Whose it is, is for the caller to ask. */
  session(id: string, state: State): SessionState | null {
    const session = viewSession(state);
    const lease = session === null ? null : sessionLease({ session });
    if (session === null || lease === null) return null;
    const { holder, ttlMs, names } = session;
    const lapsesInMs = Math.ceil(this.#leases.remainingMs(sessionKey(id), lease));
    return {
      id,
      holder,
      ttlMs,
      lapsesInMs,
      bound: names.map(([key]) => boundName(key)),
      revision: viewRevision(state),
    };
  }
}

function boundName(key: string): BoundName {
  const slash = key.indexOf("/");
  return { noun: key.slice(0, slash), name: key.slice(slash + 1) };
}
