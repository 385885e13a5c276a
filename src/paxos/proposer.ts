/**
 * The proposer of one instance of one key: drives the fast or standing ballot and, when that cannot end it, explicit ones
 * (Fast Paxos §2.2 and §3; PROTOCOL.md §2 to §4). Time and randomness are its host's: they come in as inputs.
 */
import { assert } from "../assert.ts";
import { type Ballot, compareBallots, explicitBallot, type NodeId, sameBallot, STANDING } from "./ballot.ts";
import { batchValues } from "./batch.ts";
import { chosenValue } from "./learner.ts";
import type { AcceptorReply, Certificate, Report, Value, Vote } from "./message.ts";
import { pickAvoiding } from "./pick_value.ts";
import { alignment, isFast, others, ownVoters, resend, sendAccept, sendAny, sendOthers } from "./proposer_messages.ts";
import type { ProposerContext, ProposerInput, ProposerOutput, ProposerState } from "./proposer_state.ts";
import { canStillWin } from "./split.ts";

type Step = { readonly state: ProposerState; readonly out: readonly ProposerOutput[] };

export function stepProposer(context: ProposerContext, state: ProposerState, input: ProposerInput): Step {
  if (state.phase === "done") return { state, out: [] };
  switch (input.type) {
    case "start":
      return start(context, state);
    case "casting":
      return casting(context, state);
    case "suspect":
      return suspect(context, state);
    case "prepare":
      return prepareBallot(context, state, input.nonce);
    case "reply":
      return onReply(context, state, input.from, input.reply);
  }
}

function start(context: ProposerContext, state: ProposerState): Step {
  const { value, opening, me, fast } = context;
  const mode = opening.state.mode;
  if (fast !== null && value !== null) {
    // Who votes for nothing has no vote of its own to cast first; its value is one that anybody may send (§3).
    if (!context.quorums.isMember(me)) {
      return leave(context, state, fast.ballot, value);
    }
    return { state, out: [sendAccept(context, me, fast.ballot, value)] };
  }
  // Nothing to propose, or a standing ballot that is not ours: only an explicit ballot is left to us.
  if (value === null || mode.kind !== "classic" || mode.coordinator !== me) {
    return tell({ ...state, phase: "fast" }, "retry");
  }
  return {
    state: { ...state, phase: "own-accept", proposal: value },
    out: [sendAccept(context, me, STANDING, value)],
  };
}

/** The own vote and those of the others are written at once. What counts the own one has to wait until it is durable. */
function casting(context: ProposerContext, state: ProposerState): Step {
  const { fast, value } = context;
  // What an opened ballot is for stands on a record only, which a process that died may not have written.
  if (state.phase !== "self-vote" || fast === null || value === null || !sameBallot(fast.ballot, STANDING)) {
    return { state, out: [] };
  }
  return leave(context, state, fast.ballot, value);
}

function leave(context: ProposerContext, state: ProposerState, ballot: Ballot, value: Value): Step {
  return { state: { ...state, phase: "fast", left: true }, out: sendOthers(context, ballot, value) };
}

function prepareBallot(context: ProposerContext, state: ProposerState, nonce: string): Step {
  assert(context.quorums.isMember(context.me), "only acceptors own ballots");
  const { key, epoch, opening, fast } = context;
  const ballot = explicitBallot(Math.max(state.highestN, fast?.ballot[0] ?? 0) + 1, context.me, nonce);
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
    case "opened":
      if (state.phase !== "own-any" || from !== context.me || !sameBallot(reply.ballot, state.ballot)) {
        return { state, out: [] };
      }
      return {
        state: { ...state, phase: "done" },
        out: [...others(context).map((to) => sendAny(context, to, state.ballot)), { type: "idle" }],
      };
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
  if (isFast(context, ballot)) {
    // Once a ballot of its own is under way it alone is followed: what the fast one came to shows in its promises.
    if (value === null || valueId !== value.id || hasLeftFast(state)) return { state, out: [] };
    const next = noteVote(state, { from, vote: { ballot, kind: "fast", value } });
    if (state.phase !== "self-vote") return judgeFast(context, next);
    if (from !== me) return { state: next, out: [] };
    // R1: our own vote is durable; now anybody else may hear of the value.
    const judged = judgeFast(context, { ...next, phase: "fast", left: true });
    return { state: judged.state, out: [...judged.out, ...sendOthers(context, ballot, value)] };
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
  if (proposal === null) return giveBack(context, next);
  return {
    state: { ...next, phase: "own-accept", proposal },
    out: [sendAccept(context, context.me, state.ballot, proposal)],
  };
}

/**
 * Nothing to propose and nothing forced: where the key's instances are fast its phase 1 would leave this one slower for
 * all others, so the ballot is opened to them (Fast Paxos §3.1).
 */
function giveBack(context: ProposerContext, state: ProposerState): Step {
  if (context.opening.state.mode.kind !== "fast") {
    return { state: { ...state, phase: "done" }, out: [{ type: "idle" }] };
  }
  return { state: { ...state, phase: "own-any" }, out: [sendAny(context, context.me, state.ballot)] };
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
  if (isFast(context, ballot)) {
    return hasLeftFast(state) ? { state: seen, out: [] } : refusedFast(context, seen, from, ballot, promised, vote);
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

function refusedFast(
  context: ProposerContext,
  state: ProposerState,
  from: NodeId,
  ballot: Ballot,
  promised: Ballot,
  vote: Vote | null,
): Step {
  if (from === context.me && state.guard === "asked") {
    return judgeFast(context, withhold({ ...state, guard: "refused" }, context.me, ballot, promised));
  }
  const known = vote !== null && sameBallot(vote.ballot, ballot) ? noteVote(state, { from, vote }) : state;
  const next = withhold(known, from, ballot, promised);
  // The own record holds another's vote, or has promised: our value stays at home.
  if (state.phase === "self-vote" && from === context.me) {
    return tell({ ...next, phase: "fast", guard: "refused" }, "lost");
  }
  return judgeFast(context, next);
}

function withhold(state: ProposerState, from: NodeId, ballot: Ballot, promised: Ballot): ProposerState {
  if (compareBallots(promised, ballot) <= 0 || state.withheld.includes(from)) return state;
  return { ...state, withheld: [...state.withheld, from].sort() };
}

function onNotLapsed(context: ProposerContext, state: ProposerState, from: NodeId, ballot: Ballot): Step {
  const claim = isFast(context, ballot) ? context.value : state.proposal;
  if (claim === null) return { state, out: [] };
  const refusedClaims = state.refusedClaims.includes(claim.id)
    ? state.refusedClaims
    : [...state.refusedClaims, claim.id];
  const next: ProposerState = { ...state, refusedClaims };
  if (!isFast(context, ballot) || hasLeftFast(state)) {
    return sameBallot(ballot, state.ballot) ? tell(next, "retry") : { state: next, out: [] };
  }
  if (state.phase === "self-vote" && from === context.me) return tell({ ...next, phase: "fast" }, "retry");
  const withheld = state.withheld.includes(from) ? state.withheld : [...state.withheld, from].sort();
  return judgeFast(context, { ...next, withheld });
}

/** What the votes known of the fast ballot come to. */
function judgeFast(context: ProposerContext, state: ProposerState): Step {
  const { quorums, me, value, opening, key, epoch } = context;
  const chosen = chosenValue(quorums, opening.instance, state.fastVotes);
  if (chosen !== null) return decided(state, chosen.value, chosen.certificate);
  if (state.phase !== "fast") return { state, out: [] };
  const mine = ownVoters(context, state);
  // A value anybody may send has no proposer to guard it: open quorums only (R1).
  const guarded = value !== null && value.proposer === me && quorums.isInclusiveFast(mine, me);
  if (guarded && state.guard === "none") {
    const certificate = inclusiveCertificate(context, state, value);
    const message = { type: "decide", key, epoch, instance: opening.instance, certificate } as const;
    return { state: { ...state, guard: "asked" }, out: [{ type: "send", to: me, message }] };
  }
  if (
    state.guard === "asked" || (state.left && state.guard === "none" && canWin(context, state, value!))
  ) {
    return { state, out: [] };
  }
  // A split that still has a possible winner is left to the winner (§4).
  const values = state.fastVotes.flatMap(({ vote }) => vote === null ? [] : [vote.value]);
  if (values.some((other) => other.id !== value?.id && canWin(context, state, other))) return tell(state, "lost");
  return suspect(context, state);
}

function canWin(context: ProposerContext, state: ProposerState, value: Value): boolean {
  return canStillWin(context.quorums, state.fastVotes, new Set(state.withheld), value);
}

/** The coordinator gets what we know, so that it can start its recovery ballot in the same round trip (§3.2). */
function suspect(context: ProposerContext, state: ProposerState): Step {
  if (state.phase !== "fast" || state.told === "stuck") return { state, out: [] };
  const { key, epoch, opening, fast } = context;
  const next = tell(state, "stuck");
  // Where recovery is uncoordinated the acceptors see the collision themselves.
  if (fast === null || fast.recovery !== "coordinated" || state.fastVotes.length === 0) return next;
  const message = {
    type: "collision",
    key,
    epoch,
    instance: opening.instance,
    ballot: fast.ballot,
    reports: state.fastVotes,
    ...alignment(opening),
  } as const;
  return { state: next.state, out: [{ type: "collision", to: fast.coordinator, message }, ...next.out] };
}

function noteVote(state: ProposerState, report: Report): ProposerState {
  // One vote per acceptor and ballot: the first word about it is the only one.
  if (state.fastVotes.some(({ from }) => from === report.from)) return state;
  const fastVotes = [...state.fastVotes, report].sort((a, b) => a.from < b.from ? -1 : 1);
  return { ...state, fastVotes };
}

function decided(state: ProposerState, value: Value, certificate: Certificate): Step {
  return { state: { ...state, phase: "done" }, out: [{ type: "decided", value, certificate }] };
}

function tell(state: ProposerState, what: "lost" | "stuck" | "retry"): Step {
  if (state.told === what) return { state, out: [] };
  return { state: { ...state, told: what }, out: [{ type: what }] };
}

function hasLeftFast(state: ProposerState): boolean {
  return state.phase !== "self-vote" && state.phase !== "fast";
}

function inclusiveCertificate(context: ProposerContext, state: ProposerState, value: Value): Certificate {
  const acceptors = [...ownVoters(context, state)].sort();
  const ballot = context.fast!.ballot;
  return { instance: context.opening.instance, ballot, kind: "inclusive", valueId: value.id, acceptors };
}

function classicCertificate(
  instance: number,
  ballot: Ballot,
  value: Value,
  acceptors: readonly NodeId[],
): Certificate {
  return { instance, ballot, kind: "classic", valueId: value.id, acceptors };
}
