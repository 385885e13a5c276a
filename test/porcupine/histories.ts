/** What two judges are asked about: the history of one register or of one lock, and what the project's own judge says. */
import type { HistoryEvent } from "../sim/check/history_lines.ts";
import { lockFaults } from "../sim/check/locks.ts";
import { judgeRegister } from "../sim/check/registers.ts";
import type { LockHistory } from "../sim/history.ts";

export type History =
  & {
    /** Where it comes from, so that it can be made again. */
    readonly from: string;
  }
  & (
    | { readonly of: "register"; readonly events: readonly HistoryEvent[] }
    | { readonly of: "lock"; readonly told: LockHistory }
  );

/** `gave up`: neither was shown. */
export type Verdict = "ok" | "illegal" | "gave up";

export function ownVerdict(history: History): Verdict {
  if (history.of === "lock") {
    const { holds, leases, reads } = history.told;
    return lockFaults(holds, leases, reads).length === 0 ? "ok" : "illegal";
  }
  const { type } = judgeRegister(history.events);
  return type === "gave-up" ? "gave up" : type === "linearizable" ? "ok" : "illegal";
}

/** All of it as events, in the form that the second judge reads. */
export function eventsOf(history: History): readonly HistoryEvent[] {
  if (history.of === "register") return history.events;
  const { holds, leases, reads } = history.told;
  const takes = holds.map(({ lock, calledMs, returnedMs, fence, mode }): HistoryEvent => ({
    ...lockEvent(lock, "take", fence),
    // Where no guarantee is given none excludes another.
    input: { mode: leases ? mode : "shared" },
    callMs: calledMs,
    returnMs: returnedMs,
  }));
  const looks = reads.map(({ lock, calledMs, returnedMs, fence }): HistoryEvent => ({
    ...lockEvent(lock, "read", fence),
    callMs: calledMs,
    returnMs: returnedMs,
  }));
  const ends = holds.map(({ lock, fence, guaranteedUntilMs, releasedMs }): HistoryEvent => ({
    ...lockEvent(lock, "end", fence),
    output: "unknown",
    callMs: Math.min(guaranteedUntilMs, releasedMs),
    returnMs: null,
  }));
  return [...takes, ...looks, ...(leases ? ends : [])];
}

function lockEvent(key: string, op: string, fence: bigint) {
  return { process: "holder", key, op, input: {}, output: {}, fence: `${fence}` };
}
