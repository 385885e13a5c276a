/**
 * The learner: what a set of votes chose (Fast Paxos §2.2, PROTOCOL.md §5). It counts votes of one ballot,
 * by distinct acceptor, never across ballots and never messages.
 */
import type { Ballot, NodeId } from "./ballot.ts";
import { sameBallot } from "./ballot.ts";
import type { Certificate, Report, Snapshot, Value, Vote } from "./message.ts";
import { pickValue } from "./pick_value.ts";
import type { QuorumSystem } from "./quorum.ts";

export type Chosen = { readonly value: Value; readonly certificate: Certificate };

/** The value chosen at `instance` by these votes as any learner may conclude, or null. */
export function chosenValue(quorums: QuorumSystem, instance: number, reports: readonly Report[]): Chosen | null {
  for (const { vote } of reports) {
    if (vote === null) continue;
    const acceptors = votersOf(reports, vote.ballot, vote.value.id);
    // A proposer-inclusive quorum is the proposer's alone to conclude from (R2): it may be short of
    // what phase 1 of a later ballot can see, unless the proposer guards its own record first.
    const enough = vote.kind === "classic" ? quorums.isClassic(acceptors) : quorums.isOpenFast(acceptors);
    if (enough) return { value: vote.value, certificate: certify(instance, vote, acceptors) };
  }
  return null;
}

/** Who reports a vote for `valueId` in exactly this ballot. */
export function votersOf(reports: readonly Report[], ballot: Ballot, valueId: string): Set<NodeId> {
  const voters = new Set<NodeId>();
  for (const { from, vote } of reports) {
    if (vote !== null && sameBallot(vote.ballot, ballot) && vote.value.id === valueId) voters.add(from);
  }
  return voters;
}

function certify(instance: number, vote: Vote, acceptors: ReadonlySet<NodeId>): Certificate {
  const kind = vote.kind === "classic" ? "classic" : "open";
  return { instance, ballot: vote.ballot, kind, valueId: vote.value.id, acceptors: [...acceptors].sort() };
}

/** One acceptor's answer to `read`. */
export type View = { readonly from: NodeId; readonly snapshot: Snapshot; readonly vote: Vote | null };

export type ReadJudgement =
  /** The newest decided state; nothing after it was decided before the read began. */
  | { readonly type: "state"; readonly snapshot: Snapshot }
  /** The instance `snapshot` opens is decided too. */
  | { readonly type: "chosen"; readonly snapshot: Snapshot; readonly chosen: Chosen }
  /** Something may be decided at the instance `snapshot` opens: ask more acceptors, else finish it. */
  | { readonly type: "unsettled"; readonly snapshot: Snapshot }
  /** The newest state is not one and the same: ask more acceptors. Nothing may be built on any of them. */
  | { readonly type: "contradicted" };

/** A linearizable read without a write (PROTOCOL.md §5), or null while the views are no read quorum. */
export function judgeRead(quorums: QuorumSystem, views: readonly View[]): ReadJudgement | null {
  if (!quorums.isPhase1(new Set(views.map((view) => view.from)))) return null;
  const states = newestStates(views);
  if (states.length === 1) return judge(quorums, views);
  const agreed = agreedState(quorums, states);
  return agreed === null ? { type: "contradicted" } : judge(quorums, agreed);
}

/** The views at the newest instance, those of one state together: more than one group, and somebody's record is wrong. */
export function newestStates(views: readonly View[]): readonly (readonly View[])[] {
  const instance = Math.max(...views.map(({ snapshot }) => snapshot.instance));
  const newest = views.filter(({ snapshot }) => snapshot.instance === instance);
  return [...Map.groupBy(newest, ({ snapshot }) => hashesOf(snapshot)).values()];
}

function hashesOf({ stateHash, contentHash = "" }: Snapshot): string {
  return `${stateHash} ${contentHash}`;
}

/** The one of these that a read quorum has: it would have been answer enough if the others had been slow. */
export function agreedState(quorums: QuorumSystem, states: readonly (readonly View[])[]): readonly View[] | null {
  return states.find((views) => quorums.isPhase1(new Set(views.map(({ from }) => from)))) ?? null;
}

function judge(quorums: QuorumSystem, views: readonly View[]): ReadJudgement {
  const newest = views.reduce((a, b) => b.snapshot.instance > a.snapshot.instance ? b : a).snapshot;
  // Whoever is not at the newest instance has no vote in it.
  const reports = views.map(({ from, snapshot, vote }) => ({
    from,
    vote: snapshot.instance === newest.instance ? vote : null,
  }));
  if (reports.every(({ vote }) => vote === null)) return { type: "state", snapshot: newest };
  const chosen = chosenValue(quorums, newest.instance, reports);
  if (chosen !== null) return { type: "chosen", snapshot: newest, chosen };
  // Views promise nothing, so no proposer counts as held back: any of them may have decided before we asked.
  const pick = pickValue(quorums, reports, new Set());
  return { type: pick.type === "free" ? "state" : "unsettled", snapshot: newest };
}
