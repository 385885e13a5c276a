/**
 * The coordinator of a fast ballot's collision at one instance of one key: coordinated recovery
 * (Fast Paxos §3.2; PROTOCOL.md §4). Its pick and its own vote are one write of its acceptor.
 */
import { type Ballot, type NodeId, recoveryOf, sameBallot } from "./ballot.ts";
import type {
  AcceptorMessage,
  AcceptorReply,
  Alignment,
  Certificate,
  Collision,
  Command,
  Report,
  Snapshot,
  Value,
} from "./message.ts";
import type { QuorumSystem } from "./quorum.ts";

export type CoordinatorContext = {
  readonly me: NodeId;
  readonly key: string;
  readonly epoch: number;
  readonly instance: number;
  /** The fast ballot that collided. */
  readonly ballot: Ballot;
  readonly quorums: QuorumSystem;
  /** Id for the value of a free pick. */
  readonly freshId: string;
};

export type CoordinatorState = {
  readonly phase: "gather" | "pick" | "accept" | "done";
  readonly reports: readonly Report[];
  /** How many of them the last pick was asked with. */
  readonly asked: number;
  /** What a member that is behind needs, as far as the reporters sent it. */
  readonly alignment: Alignment;
  readonly value: Value | null;
  /** What collided and the pick left out. */
  readonly losers: readonly Value[];
  readonly accepted: readonly NodeId[];
};

export type CoordinatorInput =
  | { readonly type: "collision"; readonly message: Collision }
  | { readonly type: "reply"; readonly from: NodeId; readonly reply: AcceptorReply; readonly opening: Snapshot | null };

export type CoordinatorOutput =
  | { readonly type: "send"; readonly to: NodeId; readonly message: AcceptorMessage }
  /** `losers` go on at the next instance: the coordinator has their bytes (§4). */
  | {
    readonly type: "decided";
    readonly value: Value;
    readonly certificate: Certificate;
    readonly losers: readonly Value[];
  }
  /** Somebody else has taken the instance further, or this acceptor may not. */
  | { readonly type: "given-up" };

type Step = { readonly state: CoordinatorState; readonly out: readonly CoordinatorOutput[] };

export const initialCoordinator: CoordinatorState = {
  phase: "gather",
  reports: [],
  asked: 0,
  alignment: {},
  value: null,
  losers: [],
  accepted: [],
};

export function stepCoordinator(context: CoordinatorContext, state: CoordinatorState, input: CoordinatorInput): Step {
  if (state.phase === "done") return { state, out: [] };
  if (input.type === "collision") return onCollision(context, state, input.message);
  return onReply(context, state, input.from, input.reply, input.opening);
}

function onCollision(context: CoordinatorContext, state: CoordinatorState, message: Collision): Step {
  if (!isOfThis(context, message) || state.phase === "accept") return { state, out: [] };
  const known = new Set(state.reports.map(({ from }) => from));
  // The own report comes from the own record, in the write of the pick.
  const fresh = message.reports.filter(({ from, vote }) =>
    from !== context.me && !known.has(from) && vote !== null && sameBallot(vote.ballot, context.ballot)
  );
  const reports = [...state.reports, ...fresh].sort((a, b) => a.from < b.from ? -1 : 1);
  const alignment: Alignment = {
    ...state.alignment,
    ...(message.decided === undefined ? {} : { decided: message.decided }),
    ...(message.snapshot === undefined ? {} : { snapshot: message.snapshot }),
  };
  const next: CoordinatorState = { ...state, reports, alignment };
  // While a pick is under way more reports only wait: its reply says whether they are needed.
  if (state.phase !== "gather" || !isEnough(context, reports)) return { state: next, out: [] };
  return pick(context, next);
}

function isOfThis({ instance, ballot }: CoordinatorContext, message: Collision): boolean {
  return message.instance === instance && sameBallot(message.ballot, ballot);
}

function isEnough({ me, quorums }: CoordinatorContext, reports: readonly Report[]): boolean {
  return quorums.isPhase1(new Set([me, ...reports.map(({ from }) => from)]));
}

function pick(context: CoordinatorContext, state: CoordinatorState): Step {
  const { me, key, epoch, instance, ballot, freshId } = context;
  const message = {
    type: "recover",
    key,
    epoch,
    instance,
    ballot,
    reports: state.reports,
    freshId,
    ...state.alignment,
  } as const;
  return { state: { ...state, phase: "pick", asked: state.reports.length }, out: [{ type: "send", to: me, message }] };
}

function onReply(
  context: CoordinatorContext,
  state: CoordinatorState,
  from: NodeId,
  reply: AcceptorReply,
  opening: Snapshot | null,
): Step {
  const { me, instance, quorums } = context;
  switch (reply.type) {
    case "picked": {
      if (state.phase !== "pick" || from !== me || reply.instance !== instance) return { state, out: [] };
      const next: CoordinatorState = {
        ...state,
        phase: "accept",
        reports: [],
        asked: 0,
        value: reply.value,
        losers: losersTo(reply.value, state.reports),
        accepted: [me],
      };
      if (quorums.isClassic(new Set([me]))) return decided(context, next, reply.value, [me]);
      const others = quorums.members.filter((member) => member !== me);
      return { state: next, out: others.map((to) => sendAccept(context, to, reply.value, state.alignment)) };
    }
    case "undecided":
      if (state.phase !== "pick") return { state, out: [] };
      // What came in meanwhile nobody will report again; without news there is nothing to ask again.
      return state.reports.length > state.asked
        ? pick(context, state)
        : { state: { ...state, phase: "gather" }, out: [] };
    case "accepted": {
      const { value } = state;
      const counts = state.phase === "accept" && value !== null && reply.instance === instance &&
        sameBallot(reply.ballot, recoveryOf(context.ballot)) && reply.valueId === value.id &&
        !state.accepted.includes(from);
      if (!counts) return { state, out: [] };
      const accepted = [...state.accepted, from].sort();
      if (quorums.isClassic(new Set(accepted))) return decided(context, state, value, accepted);
      return { state: { ...state, accepted }, out: [] };
    }
    case "behind": {
      if (from === me) return giveUp(state);
      if (state.value === null || opening === null) return { state, out: [] };
      return { state, out: [sendAccept(context, from, state.value, { snapshot: opening })] };
    }
    case "refused":
    case "not-lapsed":
      // Ours was refused: an explicit ballot is under way. Another's is only one vote less.
      return from === me && state.phase === "pick" ? giveUp(state) : { state, out: [] };
    case "ahead":
    case "rejected":
    case "stopped":
      return from === me ? giveUp(state) : { state, out: [] };
    default:
      return { state, out: [] };
  }
}

function decided(
  context: CoordinatorContext,
  state: CoordinatorState,
  value: Value,
  accepted: readonly NodeId[],
): Step {
  const certificate: Certificate = {
    instance: context.instance,
    ballot: recoveryOf(context.ballot),
    kind: "classic",
    valueId: value.id,
    acceptors: accepted,
  };
  return {
    state: { ...state, phase: "done", accepted },
    out: [{ type: "decided", value, certificate, losers: state.losers }],
  };
}

/** Claims are true only of what their own proposer's acceptors saw, so they stay with it. */
function losersTo(winner: Value, reports: readonly Report[]): readonly Value[] {
  const values = new Map(reports.flatMap(({ vote }) => vote === null ? [] : [[vote.value.id, vote.value] as const]));
  const isIn = (command: Command) =>
    winner.commands.some(({ subject, id }) => subject === command.subject && id === command.id);
  return [...values.values()].filter(({ claims, commands }) => claims === undefined && !commands.every(isIn));
}

function giveUp(state: CoordinatorState): Step {
  return { state: { ...state, phase: "done" }, out: [{ type: "given-up" }] };
}

function sendAccept(context: CoordinatorContext, to: NodeId, value: Value, alignment: Alignment): CoordinatorOutput {
  const { key, epoch, instance } = context;
  const ballot = recoveryOf(context.ballot);
  const message = { type: "accept", key, epoch, instance, ballot, value, ...alignment } as const;
  return { type: "send", to, message };
}
