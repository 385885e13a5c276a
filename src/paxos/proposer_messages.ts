/** What the proposer (proposer.ts) sends, and what of its own context says whether it may. */
import { assert } from "../assert.ts";
import { type Ballot, type NodeId, sameBallot } from "./ballot.ts";
import { votersOf } from "./learner.ts";
import type { Accept, Any, Certificate, Snapshot, Value } from "./message.ts";
import type { ProposerContext, ProposerOutput, ProposerState } from "./proposer_state.ts";
import { sentSnapshot } from "./record.ts";

export function isFast({ fast }: ProposerContext, ballot: Ballot): boolean {
  return fast !== null && sameBallot(ballot, fast.ballot);
}

/** Who is known to have voted for the own value in the fast ballot. */
export function ownVoters({ value, fast }: ProposerContext, { fastVotes }: ProposerState): Set<NodeId> {
  return value === null || fast === null ? new Set() : votersOf(fastVotes, fast.ballot, value.id);
}

/** What lets a member one instance behind follow, at little cost. */
export function alignment(opening: Snapshot): { readonly decided?: Certificate } {
  return opening.decidedBy === null ? {} : { decided: opening.decidedBy };
}

export function sendAccept(context: ProposerContext, to: NodeId, ballot: Ballot, value: Value): ProposerOutput {
  return { type: "send", to, message: { ...acceptMessage(context, ballot, value), ...alignment(context.opening) } };
}

export function sendOthers(context: ProposerContext, ballot: Ballot, value: Value): ProposerOutput[] {
  // One message for all: a host may write it once.
  const message = { ...acceptMessage(context, ballot, value), ...alignment(context.opening) };
  return others(context).map((to) => ({ type: "send", to, message }));
}

export function sendAny(context: ProposerContext, to: NodeId, ballot: Ballot): ProposerOutput {
  return { type: "send", to, message: { ...anyMessage(context, ballot), ...alignment(context.opening) } };
}

export function others({ quorums, me }: ProposerContext): readonly NodeId[] {
  return quorums.members.filter((member) => member !== me);
}

function acceptMessage(context: ProposerContext, ballot: Ballot, value: Value): Accept {
  const { key, epoch, opening: { instance }, fast, quorums, me } = context;
  // What a member says was opened an acceptor takes its word for; others are not asked.
  const isOpened = fast !== null && isFast(context, ballot) && ballot[0] > 0 && quorums.isMember(me);
  const any = isOpened ? { any: fast.recovery } : {};
  return { type: "accept", key, epoch, instance, ballot, value, ...any };
}

function anyMessage({ key, epoch, opening }: ProposerContext, ballot: Ballot): Any {
  const { mode } = opening.state;
  assert(mode.kind === "fast", "only instances of fast keys are opened");
  const { recovery } = mode;
  return { type: "any", key, epoch, instance: opening.instance, ballot, recovery };
}

/** The message a member that is behind could not use, with all it lacks. */
export function resend(context: ProposerContext, state: ProposerState, to: NodeId): ProposerOutput[] {
  const { key, epoch, opening, value, fast, me, machine } = context;
  const snapshot = sentSnapshot(machine, opening);
  const send = (message: Accept | Any): ProposerOutput => ({ type: "send", to, message: { ...message, snapshot } });
  const accept = (ballot: Ballot, proposal: Value) => send(acceptMessage(context, ballot, proposal));
  switch (state.phase) {
    case "self-vote":
      return value === null || fast === null || to !== me ? [] : [accept(fast.ballot, value)];
    case "fast":
      return value === null || fast === null || !state.left ? [] : [accept(fast.ballot, value)];
    case "prepare": {
      const { instance } = opening;
      return [{ type: "send", to, message: { type: "prepare", key, epoch, instance, ballot: state.ballot, snapshot } }];
    }
    case "own-any":
      return to === me ? [send(anyMessage(context, state.ballot))] : [];
    case "own-accept":
      return state.proposal === null || to !== me ? [] : [accept(state.ballot, state.proposal)];
    case "accept":
      return state.proposal === null ? [] : [accept(state.ballot, state.proposal)];
    case "done":
      return [];
  }
}
