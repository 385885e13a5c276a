/**
 * What a later ballot may propose, given what a phase-1 quorum reports: Fast Paxos §2.2.2 (CP) and
 * §3.1 (O4), widened for proposer-inclusive quorums (PROTOCOL.md §4). This is R3.
 */
import { assert } from "../assert.ts";
import { type Ballot, compareBallots, type NodeId, sameBallot } from "./ballot.ts";
import type { Report, Value, Vote } from "./message.ts";
import type { QuorumSystem } from "./quorum.ts";

export type Pick =
  /** Nothing can have been chosen: propose anything, best all of `collided` at once. */
  | { readonly type: "free"; readonly collided: readonly Value[] }
  /** This may be chosen already, so nothing else may be proposed. */
  | { readonly type: "forced"; readonly value: Value }
  /** Reports that are no Promises can leave two candidates: get more, never guess. */
  | { readonly type: "ambiguous" };

/**
 * @param reports one per acceptor, a phase-1 quorum at least, all at one instance
 * @param promised the reporters that will do nothing more in lower ballots: their report was made in the same
 *   write as a promise. A 2b read as a 1b is no such report, nor is the answer to a read.
 */
export function pickValue(quorums: QuorumSystem, reports: readonly Report[], promised: ReadonlySet<NodeId>): Pick {
  const reporters = new Set(reports.map(({ from }) => from));
  assert(reporters.size === reports.length, "one report per acceptor");
  assert(quorums.isPhase1(reporters), "a pick needs a phase-1 quorum");

  const votes = reports.flatMap(({ vote }) => vote === null ? [] : [vote]);
  const highest = highestVote(votes);
  if (highest === null) return { type: "free", collided: [] };
  // Whoever proposed in a classic ballot had picked by this rule, for everything below it.
  if (highest.kind === "classic") return { type: "forced", value: highest.value };

  const candidates = distinctValues(votes.filter((vote) => sameBallot(vote.ballot, highest.ballot)));
  // However few voted for it: it may be chosen in a *lower* ballot, from which a fast recovery ballot took it.
  if (candidates.length === 1) return { type: "forced", value: candidates[0]! };

  const choosable = candidates.filter((value) => isChoosable(quorums, reports, promised, highest, value));
  if (choosable.length === 1) return { type: "forced", value: choosable[0]! };
  if (choosable.length > 1) return { type: "ambiguous" };
  return { type: "free", collided: distinctValues(votes) };
}

/** Whether `value` may have been, or may yet be, chosen in the fast ballot of `highest`. */
function isChoosable(
  quorums: QuorumSystem,
  reports: readonly Report[],
  promised: ReadonlySet<NodeId>,
  highest: Vote,
  value: Value,
): boolean {
  const possible = possibleVoters(quorums, reports, highest, value);
  if (quorums.isOpenFast(possible)) return true;
  // Votes that acceptors picked themselves prove nothing about the proposer, so only open quorums count there.
  if (highest.kind === "uncoordinated" || value.proposer === "") return false;
  // A proposer that has promised and not moved on can never pass its own guard (R2).
  return !promised.has(value.proposer) && quorums.isInclusiveFast(possible, value.proposer);
}

/** Those seen to vote for `value`, and those unseen that are not known to have voted otherwise. */
function possibleVoters(quorums: QuorumSystem, reports: readonly Report[], highest: Vote, value: Value): Set<NodeId> {
  const seen = new Map(reports.map(({ from, vote }) => [from, vote]));
  const votedOwn = highest.kind === "fast" ? ownVotes(reports, highest.ballot) : new Map<NodeId, string>();
  const possible = new Set<NodeId>();
  for (const member of quorums.members) {
    const vote = seen.get(member);
    if (vote === undefined) {
      // By R1 where anybody has a vote for this member's own value, it votes for nothing else in this ballot.
      if ((votedOwn.get(member) ?? value.id) === value.id) possible.add(member);
    } else if (vote !== null && sameBallot(vote.ballot, highest.ballot) && vote.value.id === value.id) {
      possible.add(member);
    }
  }
  return possible;
}

/** For each proposer whose own value has a vote in `ballot`: that value's id. */
function ownVotes(reports: readonly Report[], ballot: Ballot): Map<NodeId, string> {
  const own = new Map<NodeId, string>();
  for (const { vote } of reports) {
    if (vote !== null && vote.value.proposer !== "" && sameBallot(vote.ballot, ballot)) {
      own.set(vote.value.proposer, vote.value.id);
    }
  }
  return own;
}

function highestVote(votes: readonly Vote[]): Vote | null {
  return votes.reduce<Vote | null>((a, b) => a === null || compareBallots(b.ballot, a.ballot) > 0 ? b : a, null);
}

function distinctValues(votes: readonly Vote[]): Value[] {
  const byId = new Map(votes.map((vote) => [vote.value.id, vote.value]));
  return [...byId.values()].sort((a, b) => a.id < b.id ? -1 : 1);
}

/**
 * As `pickValue` over real Promises, but where the whole set forces a claim that some acceptor refuses to vote for,
 * looks for a phase-1 quorum among them that does not (PROTOCOL.md §7): every such quorum's pick is safe, so
 * the one that can go on may be used.
 */
export function pickAvoiding(quorums: QuorumSystem, promises: readonly Report[], refused: ReadonlySet<string>): Pick {
  const pickOf = (reports: readonly Report[]) => pickValue(quorums, reports, new Set(reports.map(({ from }) => from)));
  const whole = pickOf(promises);
  if (whole.type !== "forced" || !refused.has(whole.value.id)) return whole;
  for (let mask = 1; mask < 1 << promises.length; mask++) {
    const subset = promises.filter((_, i) => (mask >> i & 1) === 1);
    if (!quorums.isPhase1(new Set(subset.map(({ from }) => from)))) continue;
    const pick = pickOf(subset);
    if (pick.type === "free") {
      return { type: "free", collided: pick.collided.filter((value) => !refused.has(value.id)) };
    }
    if (pick.type === "forced" && !refused.has(pick.value.id)) return pick;
  }
  return whole;
}
