/**
 * Recovery of a fast ballot in its successor (Fast Paxos §3.2; PROTOCOL.md §4): what an acceptor does with the votes it
 * is told of. The pick and the vote for it are one write of its record.
 */
import { type Ballot, compareBallots, recoveryOf, sameBallot } from "./ballot.ts";
import { batchValues } from "./batch.ts";
import { remaining } from "./claims.ts";
import type { AcceptorRecord, Envelope, PickOwn, Recover, Report, Value, VoteKind } from "./message.ts";
import { pickValue } from "./pick_value.ts";
import { type AcceptorRules, fastBallotOf, promising, refusal, type Transition } from "./record.ts";

/**
 * Coordinated: 2b messages of the fast ballot read as 1b of its recovery. Own report, pick and self-vote are one write,
 * so the coordinator's own report is a Promise; the others are not.
 */
export function recover(
  rules: AcceptorRules,
  record: AcceptorRecord,
  message: Recover,
  envelope: Envelope,
): Transition {
  const fast = fastBallotOf(record);
  const isMine = fast !== null && sameBallot(fast.ballot, message.ballot) && fast.recovery === "coordinated" &&
    fast.coordinator === rules.me;
  if (!isMine) return { record, reply: { type: "rejected", reason: "not the coordinator of this ballot" } };
  const reports = reportsOf(rules, record, message);
  // Somebody else's report is no promise, so no proposer but this node counts as held back.
  const pick = () => pickValue(rules.quorums, reports, new Set([rules.me]));
  const choose = (): Value | null => {
    if (!rules.quorums.isPhase1(new Set(reports.map(({ from }) => from)))) return null;
    const picked = pick();
    if (picked.type === "ambiguous") return null;
    return picked.type === "forced"
      ? picked.value
      : batchValues(rules.machine, message.freshId, rules.me, picked.collided);
  };
  return voteForPick(rules, record, message, envelope, "classic", choose);
}

/** Uncoordinated: every acceptor that voted picks from what the others reported, and votes itself. */
export function pickOwn(
  rules: AcceptorRules,
  record: AcceptorRecord,
  message: PickOwn,
  envelope: Envelope,
): Transition {
  const fast = fastBallotOf(record);
  const isOpen = fast !== null && sameBallot(fast.ballot, message.ballot) && fast.recovery === "uncoordinated";
  if (!isOpen || envelope.from !== rules.me) {
    return { record, reply: { type: "rejected", reason: "recovery is not uncoordinated here" } };
  }
  const reports = reportsOf(rules, record, message);
  const choose = (): Value | null => {
    if (record.vote === null || !rules.quorums.isPhase1(new Set(reports.map(({ from }) => from)))) return null;
    // Nobody has promised anything, so no proposer counts as held back.
    const pick = pickValue(rules.quorums, reports, new Set());
    if (pick.type === "ambiguous") return null;
    // Only a value that stands already: each acceptor would make another new one, and none of them could win.
    return pick.type === "forced" ? pick.value : mostVoted(reports);
  };
  return voteForPick(rules, record, message, envelope, "uncoordinated", choose);
}

/** `choose` answers null where the reports do not settle the pick. */
function voteForPick(
  rules: AcceptorRules,
  record: AcceptorRecord,
  message: Recover | PickOwn,
  envelope: Envelope,
  kind: VoteKind,
  choose: () => Value | null,
): Transition {
  const { instance } = message;
  const ballot = recoveryOf(message.ballot);
  // A twin of this process, or this one before it died, may have picked already: then that is the ballot's value.
  if (record.vote !== null && sameBallot(record.vote.ballot, ballot)) {
    return { record, reply: { type: "picked", instance, ballot, value: record.vote.value } };
  }
  if (compareBallots(ballot, record.promised) < 0) return { record, reply: refusal(record, ballot) };
  const value = choose();
  if (value === null) return { record, reply: { type: "undecided", instance } };
  const remainingMs = remaining(rules, record, value.claims ?? [], envelope);
  if (remainingMs > 0) return { record, reply: { type: "not-lapsed", instance, ballot, remainingMs } };
  return {
    record: { ...promising(record, ballot), vote: { ballot, kind, value } },
    reply: { type: "picked", instance, ballot, value },
  };
}

/** Votes of the fast ballot, read as 1b of its recovery; the own report comes from the own record. */
function reportsOf(
  { me }: AcceptorRules,
  record: AcceptorRecord,
  { ballot, reports }: { readonly ballot: Ballot; readonly reports: readonly Report[] },
): readonly Report[] {
  const others = reports.filter(({ from, vote }) => from !== me && vote !== null && sameBallot(vote.ballot, ballot));
  return [...others, { from: me, vote: record.vote }];
}

/** The same on every acceptor that has heard the same: most votes, then smallest id. */
function mostVoted(reports: readonly Report[]): Value {
  const values = reports.flatMap(({ vote }) => vote === null ? [] : [vote.value]);
  const votes = (id: string) => values.filter((value) => value.id === id).length;
  return values.reduce((a, b) => votes(b.id) - votes(a.id) > 0 || (votes(b.id) === votes(a.id) && b.id < a.id) ? b : a);
}
