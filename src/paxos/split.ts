/** Whether a split of a fast ballot can still be won (PROTOCOL.md §4). It decides when to act, never what is safe. */
import type { NodeId } from "./ballot.ts";
import type { Report, Value } from "./message.ts";
import type { QuorumSystem } from "./quorum.ts";

/**
 * @param reports votes known of the fast ballot; silence is no vote and no "did not vote"
 * @param withheld members that will not vote in it any more, unless they are known to have
 */
export function canStillWin(
  quorums: QuorumSystem,
  reports: readonly Report[],
  withheld: ReadonlySet<NodeId>,
  value: Value,
): boolean {
  const possible = votersLeft(quorums, reports, withheld, value);
  if (quorums.isOpenFast(possible)) return true;
  return value.proposer !== "" && !withheld.has(value.proposer) && quorums.isInclusiveFast(possible, value.proposer);
}

/** Whether an open quorum can still vote for it. As `canStillWin` takes them. */
export function canStillBeOpen(
  quorums: QuorumSystem,
  reports: readonly Report[],
  withheld: ReadonlySet<NodeId>,
  value: Value,
): boolean {
  return quorums.isOpenFast(votersLeft(quorums, reports, withheld, value));
}

/** Those that have voted for it, and those that may yet. */
function votersLeft(
  quorums: QuorumSystem,
  reports: readonly Report[],
  withheld: ReadonlySet<NodeId>,
  value: Value,
): ReadonlySet<NodeId> {
  const votes = new Map(reports.map(({ from, vote }) => [from, vote?.value.id]));
  return new Set(quorums.members.filter((member) => {
    const vote = votes.get(member);
    return vote === undefined ? !withheld.has(member) : vote === value.id;
  }));
}
