/** The smallest machine: S is the list of decided value ids. The explorer checks agreement, not locks. */
import type { Machine, Mode, State } from "../../../src/paxos/mod.ts";

type Log = State & { readonly log: readonly string[] };

export const logMachine: Machine = {
  init: (mode: Mode): Log => ({ mode, log: [] }),
  apply: (state, _instance, value): Log => ({ mode: state.mode, log: [...(state as Log).log, value.id] }),
  leases: () => [],
  hash: (state) => (state as Log).log.join(","),
  order: (commands) => [...commands].sort((a, b) => a.id < b.id ? -1 : 1),
};
