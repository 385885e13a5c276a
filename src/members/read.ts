/** A linearizable read in e+1 without a write (PROTOCOL.md §9). In e a read is what it always was: `moved` is no view. */
import {
  type Ballot,
  judgeRead,
  type NodeId,
  type ReadJudgement,
  sameBallot,
  type Snapshot,
  STANDING,
  type View,
} from "../paxos/mod.ts";
import { type Epochs, freshBase } from "./epoch.ts";
import type { ImportWord, ReportOf, SealedReport } from "./message.ts";
import { pickSealed } from "./pick_import.ts";

/** The answer of a member of e or e+1 to a `read` of e+1. */
export type MemberView =
  | View
  | ({ readonly from: NodeId; readonly promised: Ballot; readonly report: SealedReport | null } & ImportWord);

/** @returns null while the views are not enough; `import`: finish the import, which then says what is newest */
export function judgeMemberRead(
  epochs: Epochs,
  views: readonly MemberView[],
): ReadJudgement | { readonly type: "import" } | null {
  const { quorums } = epochs.next;
  const members = views.filter(({ from }) => quorums.isMember(from));
  if (!quorums.isPhase1(new Set(members.map(({ from }) => from)))) return null;
  const records = members.flatMap((view) => "snapshot" in view ? [view] : []);
  const without = members.flatMap((view) => "snapshot" in view ? [] : [view]);
  if (records.length > 0) {
    // A member without a record has no vote at the instance of one that has, and no state to compare.
    const below: Snapshot = { ...records[0]!.snapshot, instance: 0 };
    return judgeRead(
      quorums,
      members.map((view) => "snapshot" in view ? view : { from: view.from, snapshot: below, vote: null }),
    );
  }
  if (without.some(({ vote }) => vote !== null)) return { type: "import" };
  const first = without[0]!.first;
  // Whoever has promised may yet vote for what an import gathered in e before. Whoever has not, and knows that e is
  // retired, will say so in its promise, and then no import builds on e.
  const isFresh = without.every((view) => view.first !== null && sameBallot(view.promised, STANDING));
  if (isFresh) return { type: "state", snapshot: freshBase(epochs, first)! };
  const reports = views.flatMap((view): ReportOf[] => {
    if ("snapshot" in view || view.report === null) return [];
    return [{ from: view.from, ...view.report }];
  });
  const pick = pickSealed(epochs, reports);
  if (pick.type === "free") return { type: "state", snapshot: pick.base };
  // Members that know that e is retired give no reports any more.
  return pick.type === "forced" || without.some(({ first }) => first !== null) ? { type: "import" } : null;
}
