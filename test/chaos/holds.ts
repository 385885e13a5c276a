/** What a history tells of each grant: when it was made, until when it was guaranteed, how it ended. */
import type { GrantEvent } from "../sim/check/fences.ts";
import type { Operation } from "./history.ts";

export type Hold = GrantEvent & {
  readonly process: string;
  /** By its grant and by every renewal that was acknowledged. */
  guaranteedUntilMs: number;
  /** When its holder first asked to give it back, whatever became of that. */
  releaseCalledMs: number;
  /** When somebody was first told that it is over, and what was said. */
  over: { readonly atMs: number; readonly outcome: string } | null;
};

/** Answers after which a fence is held no longer. */
const OVER = ["released", "already-released", "taken-over", "ended", "forced", "lost"];

/** By lock, in order of return. */
export function holdsOf(operations: readonly Operation[]): Map<string, Hold[]> {
  const byLock = new Map<string, Hold[]>();
  const byFence = new Map<string, Hold>();
  const ordered = [...operations].sort((a, b) => a.returnMs - b.returnMs);
  for (const { process, key, op, callMs, returnMs, outcome, fence, guaranteedUntilMs } of ordered) {
    if (op !== "acquire" || outcome !== "granted" || fence === null) continue;
    const hold: Hold = {
      lock: key,
      process,
      calledMs: callMs,
      returnedMs: returnMs,
      fence: BigInt(fence),
      guaranteedUntilMs: guaranteedUntilMs ?? callMs,
      releaseCalledMs: Infinity,
      over: null,
    };
    const list = byLock.get(key);
    if (list === undefined) byLock.set(key, [hold]);
    else list.push(hold);
    byFence.set(`${key} ${fence}`, hold);
  }
  for (const { key, op, callMs, returnMs, outcome, fence, guaranteedUntilMs } of ordered) {
    const hold = byFence.get(`${key} ${fence}`);
    if (hold === undefined || op === "acquire") continue;
    if (op === "release") hold.releaseCalledMs = Math.min(hold.releaseCalledMs, callMs);
    if (outcome === "renewed") hold.guaranteedUntilMs = Math.max(hold.guaranteedUntilMs, guaranteedUntilMs ?? 0);
    if (OVER.includes(outcome)) hold.over ??= { atMs: returnMs, outcome };
  }
  return byLock;
}
