/** A semaphore: so many permits together, and holders who take some of them each. */
import { ask, type Granting } from "./grants.ts";
import type { Result, Take } from "./op.ts";
import type { Draft } from "./state.ts";

type Taking = Granting | Extract<Result, { readonly outcome: "limit-mismatch" }>;

/** `command` is the key of the command, see `commandKey`. */
export function take(draft: Draft, subject: string, command: string, op: Take): Taking {
  const { limit } = draft;
  const inUse = draft.holders.length > 0 || draft.queue.length > 0 || draft.cooling !== null;
  if (inUse && limit !== null && limit !== op.limit) return { outcome: "limit-mismatch", limit };
  draft.limit = op.limit;
  const result = ask(draft, "semaphore", { ...op, mode: "shared", subject, command }, op.wait);
  // While it is in use that is the same; what nobody was granted under is no limit yet.
  if (result.outcome !== "granted") draft.limit = limit;
  return result;
}
