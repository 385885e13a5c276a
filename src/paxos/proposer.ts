/**
 * The proposer of one instance of one key: drives the standing ballot and, when that cannot end it, explicit ones
 * (Fast Paxos §2.2 and §3; PROTOCOL.md §2 to §4). Time and randomness are its host's: they come in as inputs.
 */
import { assert } from "../assert.ts";
import { type Ballot, compareBallots, explicitBallot, type NodeId, sameBallot, STANDING } from "./ballot.ts";
import { batchValues } from "./batch.ts";
import { chosenValue, votersOf } from "./learner.ts";
import type { AcceptorReply, Certificate, Report, Snapshot, Value, Vote } from "./message.ts";
import { pickAvoiding } from "./pick_value.ts";
import type { ProposerContext, ProposerInput, ProposerOutput, ProposerState } from "./proposer_state.ts";
import { canStillWin } from "./split.ts";

type Step = { readonly state: ProposerState; readonly out: readonly ProposerOutput[] };

export function stepProposer(context: ProposerContext, state: ProposerState, input: ProposerInput): Step {
  if (state.phase === "done") return { state, out: [] };
  switch (input.type) {
    case "start":
      return start(context, state);
    case "suspect":
      return suspect(context, state);
    case "prepare":
      return prepareBallot(context, state, input.nonce);
    case "reply":
      return onReply(context, state, input.from, input.reply);
  }
}

function start(context: ProposerContext, state: ProposerState): Step {
  const { value, opening, me } = context;
  const mode = opening.state.mode;
  // Nothing to propose, or a standing ballot that is not ours: only an explicit ballot is left to us.
  if (value === null || mode.kind === "prepare" || (mode.kind === "classic" && mode.coordinator !== me)) {
    return tell({ ...state, phase: "standing" }, "retry");
  }
  if (mode.kind === "classic") {
    return {
      state: { ...state, phase: "own-accept", proposal: value },
      out: [sendAccept(context, me, STANDING, value)],
    };
  }
  // Who votes for nothing has no vote of its own to cast first; its value is one that anybody may send (§3).
  if (!context.quorums.isMember(me)) {
    return { state: { ...state, phase: "standing" }, out: sendOthers(context, STANDING, value) };
  }
  return { state, out: [sendAccept(context, me, STANDING, value)] };
}

function prepareBallot(context: ProposerContext, state: ProposerState, nonce: string): Step {
  assert(context.quorums.isMember(context.me), "only acceptors own ballots");
  const ballot = explicitBallot(state.highestN + 1, context.me, nonce);
  const { key, epoch, opening } = context;
  const message = { type: "prepare", key, epoch, instance: opening.instance, ballot, ...alignment(opening) } as const;
  const next: ProposerState = {
    ...state,
    phase: "prepare",
    ballot,
    highestN: ballot[0],
    promises: [],
    proposal: null,
    accepted: [],
    told: "nothing",
  };
  return { state: next, out: context.quorums.members.map((to) => ({ type: "send", to, message })) };
}

function onReply(context: ProposerContext, state: ProposerState, from: NodeId, reply: AcceptorReply): Step {
  const instance = context.opening.instance;
  switch (reply.type) {
    case "ahead":
      if (reply.snapshot.instance <= instance) return { state, out: [] };
      return { state: { ...state, phase: "done" }, out: [{ type: "ahead", snapshot: reply.snapshot }] };
    case "behind":
      return { state, out: resend(context, state, from) };
    case "accepted":
      if (reply.instance !== instance) return { state, out: [] };
      return onAccepted(context, state, from, reply.ballot, reply.valueId);
    case "promise":
      if (reply.instance !== instance || state.phase !== "prepare" || !sameBallot(reply.ballot, state.ballot)) {
        return { state, out: [] };
      }
      return onPromise(context, state, { from, vote: reply.vote });
    case "refused":
      if (reply.instance !== instance) return { state, out: [] };
      return onRefused(context, state, from, reply.ballot, reply.promised, reply.vote);
    case "not-lapsed":
      if (reply.instance !== instance) return { state, out: [] };
      return onNotLapsed(context, state, from, reply.ballot);
    case "decided":
      if (state.guard !== "asked" || from !== context.me || context.value === null) return { state, out: [] };
      return decided(state, context.value, inclusiveCertificate(context, state, context.value));
    default:
      return { state, out: [] };
  }
}

function onAccepted(
  context: ProposerContext,
  state: ProposerState,
  from: NodeId,
  ballot: Ballot,
  valueId: string,
): Step {
  const { value, me, quorums, opening } = context;
  if (isFastStanding(context, ballot)) {
    // Once an explicit ballot is under way it alone is followed: what the standing one came to shows in its promises.
    if (value === null || valueId !== value.id || hasLeftStanding(state)) return { state, out: [] };
    const next = noteStanding(state, { from, vote: { ballot, kind: "fast", value } });
    if (state.phase !== "self-vote") return judgeStanding(context, next);
    if (from !== me) return { state: next, out: [] };
    // R1: our own vote is durable; only now may anybody else hear of the value.
    const judged = judgeStanding(context, { ...next, phase: "standing" });
    return { state: judged.state, out: [...judged.out, ...sendOthers(context, STANDING, value)] };
  }
  if (!sameBallot(ballot, state.ballot) || state.proposal === null || valueId !== state.proposal.id) {
    return { state, out: [] };
  }
  const proposal = state.proposal;
  if (state.phase === "own-accept") {
    if (from !== me) return { state, out: [] };
    const next: ProposerState = { ...state, phase: "accept", accepted: [me] };
    const alone = quorums.isClassic(new Set([me]));
    if (alone) return decided(next, proposal, classicCertificate(opening.instance, ballot, proposal, [me]));
    return { state: next, out: sendOthers(context, ballot, proposal) };
  }
  if (state.phase !== "accept" || state.accepted.includes(from)) return { state, out: [] };
  const accepted = [...state.accepted, from].sort();
  if (!quorums.isClassic(new Set(accepted))) return { state: { ...state, accepted }, out: [] };
  return decided(state, proposal, classicCertificate(opening.instance, ballot, proposal, accepted));
}

/** Phase 2a (Fast Paxos §2.2): enough promises, so the pick rule says what may be proposed. */
function onPromise(context: ProposerContext, state: ProposerState, report: Report): Step {
  if (state.promises.some(({ from }) => from === report.from)) return { state, out: [] };
  const promises = [...state.promises, report];
  const next: ProposerState = { ...state, promises };
  if (!context.quorums.isPhase1(new Set(promises.map(({ from }) => from)))) return { state: next, out: [] };
  const pick = pickAvoiding(context.quorums, promises, new Set(state.refusedClaims));
  // Two proposers outside a set of real promises cannot both have had enough votes (PROTOCOL.md §2, R3).
  assert(pick.type !== "ambiguous", "promises leave one choosable value at most");
  const proposal = pick.type === "forced" ? pick.value : freeProposal(context, state, pick.collided);
  if (proposal === null) return { state: { ...next, phase: "done" }, out: [{ type: "idle" }] };
  return {
    state: { ...next, phase: "own-accept", proposal },
    out: [sendAccept(context, context.me, state.ballot, proposal)],
  };
}

function freeProposal(context: ProposerContext, state: ProposerState, collided: readonly Value[]): Value | null {
  const { value, machine, me } = context;
  // Named after the ballot, so that no two attempts give one id to two values.
  const id = `${state.ballot[1]}/b${state.ballot[0]}`;
  const mine = value !== null && !state.refusedClaims.includes(value.id) ? [value] : [];
  const others = collided.filter((other) => other.id !== value?.id);
  if (others.length === 0) return mine[0] ?? null;
  return batchValues(machine, id, me, [...mine, ...others]);
}

function onRefused(
  context: ProposerContext,
  state: ProposerState,
  from: NodeId,
  ballot: Ballot,
  promised: Ballot,
  vote: Vote | null,
): Step {
  const highestN = Math.max(state.highestN, promised[0], vote?.ballot[0] ?? 0);
  const seen: ProposerState = { ...state, highestN };
  if (isFastStanding(context, ballot)) {
    return hasLeftStanding(state) ? { state: seen, out: [] } : refusedStanding(context, seen, from, promised, vote);
  }
  if (!sameBallot(ballot, state.ballot)) return { state: seen, out: [] };
  // A twin of ours voted in this ballot on our record first: its value is the ballot's only one.
  if (state.phase === "own-accept" && from === context.me && vote !== null && sameBallot(vote.ballot, ballot)) {
    return {
      state: { ...seen, proposal: vote.value },
      out: [sendAccept(context, context.me, ballot, vote.value)],
    };
  }
  return tell(seen, "retry");
}

function refusedStanding(
  context: ProposerContext,
  state: ProposerState,
  from: NodeId,
  promised: Ballot,
  vote: Vote | null,
): Step {
  if (from === context.me && state.guard === "asked") {
    return judgeStanding(context, withhold({ ...state, guard: "refused" }, context.me, promised));
  }
  const standingVote = vote !== null && sameBallot(vote.ballot, STANDING) ? vote : null;
  const known = standingVote === null ? state : noteStanding(state, { from, vote: standingVote });
  const next = withhold(known, from, promised);
  // The own record holds another's vote, or has promised: our value stays at home.
  if (state.phase === "self-vote" && from === context.me) {
    return tell({ ...next, phase: "standing", guard: "refused" }, "lost");
  }
  return judgeStanding(context, next);
}

function withhold(state: ProposerState, from: NodeId, promised: Ballot): ProposerState {
  if (compareBallots(promised, STANDING) <= 0 || state.withheld.includes(from)) return state;
  return { ...state, withheld: [...state.withheld, from].sort() };
}

function onNotLapsed(context: ProposerContext, state: ProposerState, from: NodeId, ballot: Ballot): Step {
  const claim = isFastStanding(context, ballot) ? context.value : state.proposal;
  if (claim === null) return { state, out: [] };
  const refusedClaims = state.refusedClaims.includes(claim.id)
    ? state.refusedClaims
    : [...state.refusedClaims, claim.id];
  const next: ProposerState = { ...state, refusedClaims };
  if (!isFastStanding(context, ballot) || hasLeftStanding(state)) {
    return sameBallot(ballot, state.ballot) ? tell(next, "retry") : { state: next, out: [] };
  }
  if (state.phase === "self-vote" && from === context.me) return tell({ ...next, phase: "standing" }, "retry");
  const withheld = state.withheld.includes(from) ? state.withheld : [...state.withheld, from].sort();
  return judgeStanding(context, { ...next, withheld });
}

/** What the votes known of the standing ballot come to. */
function judgeStanding(context: ProposerContext, state: ProposerState): Step {
  const { quorums, me, value, opening, key, epoch } = context;
  const chosen = chosenValue(quorums, opening.instance, state.standing);
  if (chosen !== null) return decided(state, chosen.value, chosen.certificate);
  if (state.phase !== "standing") return { state, out: [] };
  const mine = value === null ? new Set<NodeId>() : votersOf(state.standing, STANDING, value.id);
  // A value anybody may send has no proposer to guard it: open quorums only (R1).
  const guarded = value !== null && value.proposer === me && quorums.isInclusiveFast(mine, me);
  if (guarded && state.guard === "none") {
    const certificate = inclusiveCertificate(context, state, value);
    const message = { type: "decide", key, epoch, instance: opening.instance, certificate } as const;
    return { state: { ...state, guard: "asked" }, out: [{ type: "send", to: me, message }] };
  }
  if (
    state.guard === "asked" || (hasLeftHome(context, state) && state.guard === "none" && canWin(context, state, value!))
  ) {
    return { state, out: [] };
  }
  // A split that still has a possible winner is left to the winner (§4).
  const values = state.standing.flatMap(({ vote }) => vote === null ? [] : [vote.value]);
  if (values.some((other) => other.id !== value?.id && canWin(context, state, other))) return tell(state, "lost");
  return suspect(context, state);
}

/** Whether anybody else has been sent the value: a member casts its own vote before (R1). */
function hasLeftHome({ value, quorums, me }: ProposerContext, { standing }: ProposerState): boolean {
  return value !== null && (!quorums.isMember(me) || votersOf(standing, STANDING, value.id).has(me));
}

function canWin(context: ProposerContext, state: ProposerState, value: Value): boolean {
  return canStillWin(context.quorums, state.standing, new Set(state.withheld), value);
}

/** The coordinator gets what we know, so that it can start its recovery ballot in the same round trip (§3.2). */
function suspect(context: ProposerContext, state: ProposerState): Step {
  const mode = context.opening.state.mode;
  if (state.phase !== "standing" || state.told === "stuck") return { state, out: [] };
  const { key, epoch, opening } = context;
  const next = tell(state, "stuck");
  // Where recovery is uncoordinated the acceptors see the collision themselves.
  if (mode.kind !== "fast" || mode.recovery !== "coordinated" || state.standing.length === 0) return next;
  const { instance } = opening;
  const message = {
    type: "collision",
    key,
    epoch,
    instance,
    reports: state.standing,
    ...alignment(opening),
  } as const;
  return { state: next.state, out: [{ type: "collision", to: mode.coordinator, message }, ...next.out] };
}

function noteStanding(state: ProposerState, report: Report): ProposerState {
  // One vote per acceptor and ballot: the first word about it is the only one.
  if (state.standing.some(({ from }) => from === report.from)) return state;
  const standing = [...state.standing, report].sort((a, b) => a.from < b.from ? -1 : 1);
  return { ...state, standing };
}

function decided(state: ProposerState, value: Value, certificate: Certificate): Step {
  return { state: { ...state, phase: "done" }, out: [{ type: "decided", value, certificate }] };
}

function tell(state: ProposerState, what: "lost" | "stuck" | "retry"): Step {
  if (state.told === what) return { state, out: [] };
  return { state: { ...state, told: what }, out: [{ type: what }] };
}

function hasLeftStanding(state: ProposerState): boolean {
  return state.phase !== "self-vote" && state.phase !== "standing";
}

function isFastStanding(context: ProposerContext, ballot: Ballot): boolean {
  return sameBallot(ballot, STANDING) && context.opening.state.mode.kind === "fast";
}

function inclusiveCertificate(context: ProposerContext, state: ProposerState, value: Value): Certificate {
  const acceptors = [...votersOf(state.standing, STANDING, value.id)].sort();
  return { instance: context.opening.instance, ballot: STANDING, kind: "inclusive", valueId: value.id, acceptors };
}

function classicCertificate(
  instance: number,
  ballot: Ballot,
  value: Value,
  acceptors: readonly NodeId[],
): Certificate {
  return { instance, ballot, kind: "classic", valueId: value.id, acceptors };
}

/** What lets a member one instance behind follow, at little cost. */
export function alignment(opening: Snapshot): { readonly decided?: Certificate } {
  return opening.decidedBy === null ? {} : { decided: opening.decidedBy };
}

function sendAccept(context: ProposerContext, to: NodeId, ballot: Ballot, value: Value): ProposerOutput {
  const { key, epoch, opening } = context;
  const { instance } = opening;
  return { type: "send", to, message: { type: "accept", key, epoch, instance, ballot, value, ...alignment(opening) } };
}

function sendOthers(context: ProposerContext, ballot: Ballot, value: Value): ProposerOutput[] {
  const others = context.quorums.members.filter((member) => member !== context.me);
  return others.map((to) => sendAccept(context, to, ballot, value));
}

/** The message a member that is behind could not use, with all it lacks. */
function resend(context: ProposerContext, state: ProposerState, to: NodeId): ProposerOutput[] {
  const { key, epoch, opening, value } = context;
  const base = { key, epoch, instance: opening.instance, snapshot: opening };
  const accept = (ballot: Ballot, proposal: Value): ProposerOutput => ({
    type: "send",
    to,
    message: { ...base, type: "accept", ballot, value: proposal },
  });
  switch (state.phase) {
    case "self-vote":
      return value === null || to !== context.me ? [] : [accept(STANDING, value)];
    case "standing":
      return value === null || !hasLeftHome(context, state) ? [] : [accept(STANDING, value)];
    case "prepare":
      return [{ type: "send", to, message: { ...base, type: "prepare", ballot: state.ballot } }];
    case "own-accept":
      return state.proposal === null || to !== context.me ? [] : [accept(state.ballot, state.proposal)];
    case "accept":
      return state.proposal === null ? [] : [accept(state.ballot, state.proposal)];
    case "done":
      return [];
  }
}
