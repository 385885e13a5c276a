/** The smallest machine whose state tells at which instance each value was decided: a key may begin above a floor. */
import type { Machine, Mode, State } from "../../../../src/paxos/mod.ts";

type Log = State & { readonly log: string };

export const logMachine: Machine = {
  init: (mode: Mode): Log => ({ mode, log: "" }),
  apply: (state, instance, value): Log => ({ mode: state.mode, log: `${logOf(state)} ${instance}:${value.id}`.trim() }),
  leases: () => [],
  hash: logOf,
  contentHash: () => null,
  order: (commands) => [...commands].sort((a, b) => a.id < b.id ? -1 : 1),
};

export function logOf(state: State): string {
  return (state as Log).log;
}

/** What was decided below `opening`, null where the log has nothing. */
export function historyOf(log: string, opening: number): readonly (string | null)[] {
  const values = new Map(
    log.split(" ").filter((entry) => entry !== "").map((entry) => {
      const colon = entry.indexOf(":");
      return [Number(entry.slice(0, colon)), entry.slice(colon + 1)];
    }),
  );
  return Array.from({ length: opening - 1 }, (_, i) => values.get(i + 1) ?? null);
}
