/** A lock: exclusive, or shared by as many as a key may have holders. */
import { ask, type Granting } from "./grants.ts";
import type { Acquire } from "./op.ts";
import type { Draft } from "./state.ts";

/** `command` is the key of the command, see `commandKey`. */
export function acquire(draft: Draft, subject: string, command: string, op: Acquire): Granting {
  return ask(draft, "lock", { ...op, subject, command, isOfSet: op.set !== undefined }, op.wait);
}
