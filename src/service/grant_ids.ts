/** Ids of the commands that one request for a grant may send. No Idempotency-Key holds a space, so nobody can name them. */

/** So often a place that was lost while waiting is taken again. */
export const PLACES_MAX = 100;
/** So often a place is left again that its own node has just renewed. */
export const LEAVES_MAX = 3;

/** Enough to tell the askings of one command apart. */
export const ASK_CHARS = 8;

/** The id under which a place that was lost is taken again. */
export function attemptId(commandId: string, attempt: number): string {
  return attempt === 0 ? commandId : `${commandId} ~${attempt}`;
}

/** The id of the renewal that stands for an answer, for a grant out of the queue or one of a set. */
export function confirmIdOf(commandId: string): string {
  return `${commandId} !`;
}

/** The id of the command that leaves a place as the value `by` left it; another place is left by another command. */
export function leaveId(commandId: string, by: string): string {
  return `${commandId} -${by}`;
}

/** Ids of commands that may wait for a request with this key, the newest last. */
export function waiterIds(idempotencyKey: string): readonly string[] {
  return Array.from({ length: PLACES_MAX }, (_, attempt) => attemptId(idempotencyKey, attempt));
}
