/** The smallest machine: S is the list of decided value ids. The explorer checks agreement, not locks. */
import type { Machine, Mode, State } from "../../../src/paxos/mod.ts";

/** One text, not a list: a list of names counts as a set where states are compared. */
type Log = State & { readonly log: string };

export const logMachine: Machine = {
  init: (mode: Mode): Log => ({ mode, log: "" }),
  apply: (state, _instance, value): Log => ({
    mode: value.nextMode ?? state.mode,
    log: [...decidedIn(state), value.id].join(" "),
  }),
  leases: () => [],
  hash: (state) => (state as Log).log,
  contentHash: () => null,
  order: (commands) => [...commands].sort((a, b) => a.id < b.id ? -1 : 1),
};

/** The ids of the values decided so far, that of instance 1 first. */
export function decidedIn(state: State): readonly string[] {
  const { log } = state as Log;
  return log === "" ? [] : log.split(" ");
}
