/**
 * A session: one lease that everything bound to it lives by. It is a key of its own; what is bound to it names it in the
 * log of its own key, and has no lease there (PROTOCOL.md §7). Its end is decided here once, and final.
 */
import type { LeaseName, LeaseTerm } from "../paxos/message.ts";
import { NAMES_PER_SESSION } from "../limits.ts";
import { endHold, handOver, startCooling } from "./grants.ts";
import type { Bind, EndSession, Open, Result, Unbind } from "./op.ts";
import { endBoundValue } from "./register.ts";
import { fitsRow } from "./size.ts";
import { change, type Draft, type KeyState, noteEnded, type Session } from "./state.ts";

const SESSION_LEASE_ID = "session";

type Refused = Extract<Result, { readonly outcome: "no-session" | "session-ended" }>;

/** `command` is the key of the command, see `commandKey`: the id of the session is made from it, so nobody else opens it. */
export function open(draft: Draft, subject: string, command: string, op: Open) {
  if (draft.session !== null) return { outcome: "no-session" } as const;
  const { holder, ttlMs, ask } = op;
  draft.kind = "session";
  const asked = ask === undefined ? {} : { ask };
  draft.session = { subject, holder, ttlMs, command, ...asked, by: draft.by, names: [], ended: null };
  change(draft);
  return { outcome: "opened", ttlMs } as const;
}

/** A sign of life of its owner: what is bound to it lives for another ttl. */
export function keep(draft: Draft, subject: string) {
  const session = livingOf(draft, subject);
  if ("outcome" in session) return session;
  // Readers learn nothing new by it, so the revision stays.
  draft.session = renewed(session, draft.by);
  return { outcome: "session-kept", ttlMs: session.ttlMs } as const;
}

/**
 * Enters a key before something in its log is bound to this session: whoever ends the session finds there what to free. It
 * is a sign of life too, so that the guarantee of what is bound counts from its send.
 */
export function bind(draft: Draft, subject: string, op: Bind) {
  const session = livingOf(draft, subject);
  if ("outcome" in session) return session;
  const others = session.names.filter(([key]) => key !== op.key);
  const bound: Session = { ...renewed(session, draft.by), names: [...others, [op.key, draft.instance]] };
  const isNew = others.length === session.names.length;
  if (isNew && (others.length >= NAMES_PER_SESSION || !fitsRow(draft, bound))) return { outcome: "too-large" } as const;
  draft.session = bound;
  if (isNew) change(draft);
  return { outcome: "bound", ttlMs: session.ttlMs } as const;
}

/** Forgets keys where nothing is bound any more, unless they were bound again since. Only nodes say so. */
export function unbind(draft: Draft, op: Unbind) {
  const { session } = draft;
  if (session === null) return { outcome: "no-session" } as const;
  const gone = new Map(op.names);
  const names = session.names.filter(([key, at]) => gone.get(key) !== at);
  if (names.length < session.names.length) {
    draft.session = { ...session, names };
    change(draft);
  }
  return { outcome: "unbound" } as const;
}

/** From now on its lease is no longer that of the request that opened it. */
function renewed({ ask: _which, ...session }: Session, by: string): Session {
  return { ...session, by };
}

export function close(draft: Draft, subject: string) {
  const session = livingOf(draft, subject);
  if ("outcome" in session) return session;
  end(draft, session, "closed");
  return { outcome: "closed" } as const;
}

/** Ends the session where it still has the lease that the claim names. */
export function endLapsedSession(draft: Draft, { id, by }: LeaseName): void {
  const { session } = draft;
  if (id !== SESSION_LEASE_ID || session === null || session.ended !== null || session.by !== by) return;
  end(draft, session, "lapsed");
}

function end(draft: Draft, session: Session, how: "closed" | "lapsed"): void {
  draft.session = { ...session, ended: { how, instance: draft.instance } };
  change(draft);
}

/** Under any other subject there is no such session. */
function livingOf({ session }: Draft, subject: string): Session | Refused {
  if (session === null || session.subject !== subject) return { outcome: "no-session" };
  return session.ended === null ? session : { outcome: "session-ended" };
}

export function sessionLease({ session }: Pick<KeyState, "session">): LeaseTerm | null {
  if (session === undefined || session.ended !== null) return null;
  return { id: SESSION_LEASE_ID, by: session.by, ttlMs: session.ttlMs };
}

/**
 * In the log of a key that was bound: ends all that hangs on the session. True whenever it is applied, because the end was
 * decided before and is final; what was asked for meanwhile, and comes after it, is refused.
 */
export function endSession(draft: Draft, op: EndSession) {
  const { session, how } = op;
  const waiting = draft.queue.length;
  draft.queue = draft.queue.filter((row) => row[9] !== session);
  const holds = draft.holders.filter((hold) => hold.session === session);
  for (const hold of holds) {
    endHold(draft, hold, "session");
    if (how === "lapsed") startCooling(draft, hold.lockDelayMs);
  }
  const places = waiting - draft.queue.length;
  const values = endBoundValue(draft, session) ? 1 : 0;
  noteEnded(draft, session);
  const count = holds.length + places + values;
  if (count > 0) {
    handOver(draft);
    change(draft);
  }
  return { outcome: "freed", count } as const;
}
