/** Whether one key is ready for `retire(e)`, after which a key without a record begins anew (PROTOCOL.md §9). */
import type { NodeId, State } from "../paxos/mod.ts";
import type { Epochs } from "./epoch.ts";
import type { ReportOf } from "./message.ts";
import { pickSealed } from "./pick_import.ts";

/**
 * @param reports of sealed members of e. Keys are listed by members that are sealed: a list from before misses a vote.
 * @param imported the members that have an ordinary record of e+1; a vote in the import is none
 * @param floor the instance that keys without a record begin above
 * @param isTombstone whether nothing of the state is lost if the key begins anew
 */
export function isSettled(
  { old, next, machine }: Epochs,
  reports: readonly ReportOf[],
  imported: ReadonlySet<NodeId>,
  floor: number,
  isTombstone: (state: State) => boolean,
): boolean {
  if (next.quorums.isPhase1(imported)) return true;
  if (!old.quorums.isPhase1(new Set(reports.map(({ from }) => from)))) return false;
  // In nobody's list: nothing was decided, or ever will be.
  if (reports.every(({ snapshot, importVote }) => snapshot === null && importVote === undefined)) return true;
  const pick = pickSealed({ old, next, machine }, reports);
  return pick.type === "free" && pick.collided.length === 0 && pick.base.instance <= floor &&
    isTombstone(pick.base.state);
}
