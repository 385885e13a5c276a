/**
 * Forgetting: of a name that nobody has used for long, all that its state says of the past goes by a decided value. What is left keeps
 * what must never go back: the instance, fences and revision, the floor under commands, the place in the chain.
 */
import { type Draft, entriesOf, type KeyState } from "./state.ts";

/** Whether nothing is there, and something is said of what was. */
export function isForgettable(state: KeyState): boolean {
  const { history, floors = [], endedSessions = [], limit } = state;
  const says = history.length + entriesOf(state).length + floors.length + endedSessions.length;
  return isUnused(state) && (says > 0 || limit !== undefined);
}

/** Only of what its proposer saw: the state that opened instance `at`, which is this value's, and nothing of this value before it. */
export function forget(draft: Draft, at: number): void {
  const { window } = draft;
  const session = draft.session ?? undefined;
  const register = draft.register ?? undefined;
  const { holders, queue, cooling } = draft;
  const isAsSeen = draft.instance === at && window.added === 0 && draft.changes === 0;
  if (draft.version < 4 || !isAsSeen) return;
  if (!isUnused({ holders, queue, cooling, ...(session && { session }), ...(register && { register }) })) return;
  draft.history = [];
  draft.endedSessions = [];
  draft.limit = null;
  window.items = [];
  window.floors = [];
  // Whatever was applied was applied below; a command that was made of the state that is forgotten was born at this instance.
  window.evicted = at - 1;
}

/** That a session has ended is no past: it has ended for good. The fence of a register is what shuts late writers out. */
function isUnused(
  { holders, queue, cooling, register, session }: Pick<
    KeyState,
    "holders" | "queue" | "cooling" | "register" | "session"
  >,
): boolean {
  if (holders.length > 0 || queue.length > 0 || cooling !== null) return false;
  if (register !== undefined && register.value !== null) return false;
  return session === undefined || (session.ended !== null && session.names.length === 0);
}
