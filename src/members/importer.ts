/**
 * The owner of an import: brings one key into e+1, with a value of its own if nothing else may be decided (PROTOCOL.md
 * §9). Time and randomness are its host's: they come in as inputs.
 */
import {
  type Ballot,
  batchValues,
  type Certificate,
  explicitBallot,
  type Learn,
  type NodeId,
  type Read,
  sameBallot,
  sentSnapshot,
  type Snapshot,
  STANDING,
  type Value,
} from "../paxos/mod.ts";
import { type Epochs, stateIn } from "./epoch.ts";
import type {
  ImportAccept,
  ImportLearn,
  ImportPrepare,
  ImportReport,
  ImportValue,
  ImportVote,
  ImportWord,
  MemberReply,
  ReportOf,
  SealedReport,
} from "./message.ts";
import { nameOf, pickImport } from "./pick_import.ts";

export type ImportContext = Epochs & {
  /** A member of e+1. */
  readonly me: NodeId;
  readonly key: string;
  /** What to propose if nothing is forced; null only to finish what others left. */
  readonly value: Value | null;
};

export type ImportState = {
  readonly phase: "idle" | "prepare" | "own-accept" | "accept" | "done";
  readonly ballot: Ballot;
  readonly promises: readonly ImportReport[];
  /** Sealed reports do not change, so they outlive the ballot that they came in. */
  readonly reports: readonly ReportOf[];
  readonly proposal: ImportValue | null;
  readonly accepted: readonly NodeId[];
  /** Highest n met in any ballot of this import. */
  readonly highestN: number;
  /** Names of what an acceptor would not vote for, because of a claim. */
  readonly refused: readonly string[];
};

export type ImportInput =
  /** Begin, or try again; `nonce` is new for each attempt. */
  | { readonly type: "prepare"; readonly nonce: string }
  | { readonly type: "reply"; readonly from: NodeId; readonly reply: MemberReply };

export type ImportOutput =
  | { readonly type: "send"; readonly to: NodeId; readonly message: ImportPrepare | ImportAccept | Read }
  /** With what tells those that voted for it. */
  | { readonly type: "decided"; readonly proposal: ImportValue; readonly learn: ImportLearn }
  /** The key is imported, and this is where it stands. */
  | { readonly type: "ahead"; readonly snapshot: Snapshot }
  /** This member has to be told of the epoch; then send `prepare`. */
  | { readonly type: "unsealed"; readonly member: NodeId }
  /** A higher ballot is about, or a claim is not ripe: wait a random, growing time, then send `prepare`. */
  | { readonly type: "retry" }
  /** Nothing was under way and there was nothing to propose: this is the newest decided state. */
  | { readonly type: "idle"; readonly snapshot: Snapshot };

export const initialImport: ImportState = {
  phase: "idle",
  ballot: STANDING,
  promises: [],
  reports: [],
  proposal: null,
  accepted: [],
  highestN: 0,
  refused: [],
};

type Step = { readonly state: ImportState; readonly out: readonly ImportOutput[] };

export function stepImport(context: ImportContext, state: ImportState, input: ImportInput): Step {
  if (state.phase === "done") return { state, out: [] };
  return input.type === "prepare"
    ? prepare(context, state, input.nonce)
    : onReply(context, state, input.from, input.reply);
}

function prepare({ me, key, next, old }: ImportContext, state: ImportState, nonce: string): Step {
  const ballot = explicitBallot(state.highestN + 1, me, nonce);
  const epoch = next.number;
  const leavers = old.quorums.members.filter((member) => !next.quorums.isMember(member));
  const out = [
    ...next.quorums.members.map((to) => send(to, { type: "import-prepare", key, epoch, ballot })),
    // They promise nothing in e+1, but their reports of e count.
    ...leavers.map((to) => send(to, { type: "read", key, epoch, instance: 1 })),
  ];
  return {
    state: { ...state, phase: "prepare", ballot, highestN: ballot[0], promises: [], proposal: null, accepted: [] },
    out,
  };
}

function onReply(context: ImportContext, state: ImportState, from: NodeId, reply: MemberReply): Step {
  switch (reply.type) {
    case "import-promise":
      return isCurrent(state, reply.ballot, "prepare")
        ? judged(context, noted(state, from, reply.report, { vote: reply.vote, first: reply.first }))
        : { state, out: [] };
    case "unimported":
      return state.phase === "prepare" ? judged(context, noted(state, from, reply.report)) : { state, out: [] };
    case "import-accepted":
      return onAccepted(context, state, from, reply.ballot, reply.valueId);
    case "import-refused":
      return onRefused(context, state, from, reply.ballot, reply.promised, reply.vote);
    case "not-lapsed": {
      if (!sameBallot(reply.ballot, state.ballot) || state.proposal === null) return { state, out: [] };
      return { state: { ...state, refused: [...state.refused, nameOf(state.proposal)] }, out: [{ type: "retry" }] };
    }
    case "ahead":
      return { state: { ...state, phase: "done" }, out: [{ type: "ahead", snapshot: reply.snapshot }] };
    case "unsealed":
      return { state, out: [{ type: "unsealed", member: from }] };
    default:
      return { state, out: [] };
  }
}

/** @param word null where the reply is no promise: a sealed report alone */
function noted(
  state: ImportState,
  from: NodeId,
  report: SealedReport | null,
  word: ImportWord | null = null,
): ImportState {
  const isNoted = word === null || state.promises.some((promise) => promise.from === from);
  const isReported = report === null || state.reports.some((known) => known.from === from);
  return {
    ...state,
    promises: isNoted ? state.promises : [...state.promises, { from, ...word }],
    reports: isReported ? state.reports : [...state.reports, { from, ...report }],
  };
}

function judged(context: ImportContext, state: ImportState): Step {
  const pick = pickImport(context, state.promises, state.reports, new Set(state.refused));
  if (pick.type === "more") return { state, out: [] };
  const { base } = pick;
  const value = pick.type === "forced" ? pick.value : freeValue(context, state, pick.collided);
  if (value === null) return { state: { ...state, phase: "done" }, out: [{ type: "idle", snapshot: base }] };
  const proposal = { base, value };
  // The own vote comes first: a restarted process finds it, and sends no second value in this ballot.
  return {
    state: { ...state, phase: "own-accept", proposal },
    out: [sendAccept(context, context.me, state.ballot, proposal)],
  };
}

function freeValue({ machine, me, value }: ImportContext, state: ImportState, collided: readonly Value[]) {
  const others = collided.filter(({ id }) => id !== value?.id);
  const mine = value === null ? [] : [value];
  // Named after the ballot, so that no two attempts give one id to two values.
  return others.length === 0 ? value : batchValues(machine, `${state.ballot[1]}/i${state.ballot[0]}`, me, [
    ...mine,
    ...others,
  ]);
}

function onAccepted(
  context: ImportContext,
  state: ImportState,
  from: NodeId,
  ballot: Ballot,
  valueId: string,
): Step {
  const { proposal } = state;
  if (proposal === null || !sameBallot(ballot, state.ballot) || proposal.value.id !== valueId) {
    return { state, out: [] };
  }
  const { next, me } = context;
  if (state.phase === "own-accept" ? from !== me : state.phase !== "accept" || state.accepted.includes(from)) {
    return { state, out: [] };
  }
  const accepted = [...state.accepted, from].sort();
  const others = next.quorums.members.filter((member) => member !== me);
  const out = state.phase === "own-accept" ? others.map((to) => sendAccept(context, to, ballot, proposal)) : [];
  if (!next.quorums.isClassic(new Set(accepted))) return { state: { ...state, phase: "accept", accepted }, out };
  const learn = learnOf(context, ballot, proposal, accepted);
  return { state: { ...state, phase: "done", accepted }, out: [{ type: "decided", proposal, learn }] };
}

function onRefused(
  context: ImportContext,
  state: ImportState,
  from: NodeId,
  ballot: Ballot,
  promised: Ballot,
  vote: ImportVote | null,
): Step {
  const seen = { ...state, highestN: Math.max(state.highestN, promised[0]) };
  if (!sameBallot(ballot, state.ballot)) return { state: seen, out: [] };
  // A twin of ours voted in this ballot on our record first: its value is the ballot's only one.
  if (state.phase === "own-accept" && from === context.me && vote !== null && sameBallot(vote.ballot, ballot)) {
    const proposal = { base: vote.base, value: vote.value };
    return { state: { ...seen, proposal }, out: [sendAccept(context, from, ballot, proposal)] };
  }
  return { state: seen, out: [{ type: "retry" }] };
}

function learnOf(
  { key, next }: ImportContext,
  ballot: Ballot,
  { base, value }: ImportValue,
  acceptors: readonly NodeId[],
): ImportLearn {
  const { instance } = base;
  return importLearn(key, next.number, base, { instance, ballot, kind: "classic", valueId: value.id, acceptors });
}

/** What tells those that voted for it that the import, or the standing ballot of a fresh key, is decided. */
export function importLearn(key: string, epoch: number, base: Snapshot, certificate: Certificate): ImportLearn {
  return { type: "import-learn", key, epoch, certificate, baseHash: base.stateHash };
}

/** What tells all others: where the key stands since. */
export function stateLearn(
  { machine, next }: Epochs,
  { base, value }: ImportValue,
  { key, certificate }: ImportLearn,
): Learn {
  const instance = certificate.instance + 1;
  const state = stateIn(next, machine.apply(base.state, certificate.instance, value));
  const after = { instance, state, stateHash: machine.hash(state), decidedBy: certificate };
  const snapshot = sentSnapshot(machine, after);
  return { type: "learn", key, epoch: next.number, instance, certificate: null, snapshot };
}

function sendAccept({ key, next }: ImportContext, to: NodeId, ballot: Ballot, proposal: ImportValue): ImportOutput {
  return send(to, { type: "import-accept", key, epoch: next.number, ballot, ...proposal });
}

function send(to: NodeId, message: ImportPrepare | ImportAccept | Read): ImportOutput {
  return { type: "send", to, message };
}

function isCurrent(state: ImportState, ballot: Ballot, phase: ImportState["phase"]): boolean {
  return state.phase === phase && sameBallot(state.ballot, ballot);
}
