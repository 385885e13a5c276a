/** Results that every noun's commands can come to, as the errors their callers are told. */
import type { Receipt } from "../api.ts";
import { QuorateError } from "../errors.ts";
import type { Result } from "../machine/op.ts";

export function lost(fence: string, receipt?: Receipt): QuorateError {
  const facts = { more: { fence }, ...(receipt === undefined ? {} : { receipt }) };
  return new QuorateError("lost", `fence ${fence} is no longer held`, facts);
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
    case "idempotency-mismatch":
      return new QuorateError("idempotency-mismatch", "this Idempotency-Key was used for another request", { receipt });
    default:
      return new QuorateError("internal", `unexpected result ${result.outcome}`);
  }
}

/** For a claim: the lease was renewed after all, so it did not run out. */
export function orNullIfHeld(error: unknown): null {
  if (error instanceof QuorateError && error.code === "held") return null;
  throw error;
}
