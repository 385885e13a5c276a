/** Results that every noun's commands can come to, as the errors their callers are told. */
import type { Receipt } from "../api.ts";
import { QuorateError } from "../errors.ts";
import type { Ended, Result } from "../machine/op.ts";
import { viewSession } from "../machine/view.ts";
import type { Outcome } from "../replica/pending.ts";

/** @param end how it ended, as far as its holder's history tells */
export function lost(fence: string, receipt?: Receipt, end?: Ended["end"]): QuorateError {
  const more = { fence, ...(end === undefined ? {} : { end }) };
  const facts = { more, ...(receipt === undefined ? {} : { receipt }) };
  return new QuorateError("lost", `fence ${fence} is no longer held`, facts);
}

/** For the session itself, and for what was to be bound to it. */
export function sessionEnded(session: string, receipt: Receipt): QuorateError {
  return new QuorateError("lost", `session ${session} has ended`, { more: { session }, receipt });
}

/** What `state`, the session's, says to this subject: that of somebody else is as if there were none. */
export function sessionRefusal(session: string, subject: string, { result, state, receipt }: Outcome): QuorateError {
  const known = viewSession(state);
  if (known === null || known.subject !== subject) {
    return new QuorateError("not-found", `there is no session ${session}`, { more: { session }, receipt });
  }
  // A key that was used for another request asked nothing of the session, ended or not.
  const isAsked = result.outcome !== "idempotency-mismatch" && result.outcome !== "expired-command";
  return isAsked && known.ended !== null ? sessionEnded(session, receipt) : unexpected(result, "", receipt);
}

export function unexpected(result: Result, fence: string, receipt: Receipt): QuorateError {
  switch (result.outcome) {
    case "never-granted":
      return new QuorateError("not-found", `fence ${fence} was never granted to you`, { receipt });
    case "too-large":
      return new QuorateError("too-large", "the state of this name has no room for it", { receipt });
    case "expired-command":
      return new QuorateError("expired-command", "too much was decided since this command was first tried", {
        receipt,
      });
    case "is-bound":
      return new QuorateError("invalid-request", "ttlMs is that of the session", { field: "ttlMs", receipt });
    case "idempotency-mismatch":
      return new QuorateError("idempotency-mismatch", "this Idempotency-Key was used for another request", { receipt });
    default:
      return new QuorateError("internal", `unexpected result ${result.outcome}`);
  }
}

/**
 * For what fails after a command of the same request may have been voted for: that no vote was cast for it, as the one that
 * came last may say of itself, is then not what the caller is told.
 */
export function orUnknown(idempotencyKey: string): (error: unknown) => never {
  return (error) => {
    throw begun(error, idempotencyKey);
  };
}

/** What the caller is told instead of that. */
export function begun(error: unknown, idempotencyKey: string): unknown {
  if (!(error instanceof QuorateError) || (error.code !== "no-quorum" && error.code !== "not-ready")) return error;
  return new QuorateError("outcome-unknown", error.message, { outcome: "unknown", idempotencyKey });
}
