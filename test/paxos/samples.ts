/** Nodes, values and records as the tests of the roles need them, and a machine small enough to read at a glance. */
import { type Ballot, explicitBallot, type NodeId, STANDING, STANDING_RECOVERY } from "../../src/paxos/ballot.ts";
import type {
  AcceptorRecord,
  Certificate,
  Command,
  LeaseTerm,
  Machine,
  Mode,
  Report,
  Snapshot,
  State,
  Value,
  Vote,
  VoteKind,
} from "../../src/paxos/message.ts";
import { type AcceptorRules, freshRecord, snapshotOf } from "../../src/paxos/record.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";

export const KEY = "k";

export function nodesOf(n: number): readonly NodeId[] {
  return "abcdefghi".slice(0, n).split("");
}

export function fast(coordinator: NodeId, recovery: "coordinated" | "uncoordinated" = "coordinated"): Mode {
  return { kind: "fast", recovery, coordinator };
}

export function classic(coordinator: NodeId): Mode {
  return { kind: "classic", coordinator };
}

type Log = State & { readonly log: readonly string[]; readonly leases: readonly LeaseTerm[] };

/** S is the list of applied command ids. An op of type "lease" makes a lease of one second; a claim ends its own. */
export const machine: Machine = {
  init: (mode): Log => ({ mode, log: [], leases: [] }),
  apply: (state, _instance, value): Log => {
    const { mode, log, leases } = state as Log;
    const ended = new Set((value.claims ?? []).map(({ id }) => id));
    const made = value.commands.filter(({ op }) => op.type === "lease")
      .map(({ id }) => ({ id, by: value.id, ttlMs: 1_000 }));
    return {
      mode: value.nextMode ?? mode,
      log: [...log, ...value.commands.map(({ id }) => id)],
      leases: [...leases.filter(({ id }) => !ended.has(id)), ...made],
    };
  },
  leases: (state) => (state as Log).leases,
  contentHash: () => null,
  hash: (state) => JSON.stringify(state),
  order: (commands) => [...commands].sort((a, b) => a.id < b.id ? -1 : 1),
};

export function logOf(state: State): readonly string[] {
  return (state as Log).log;
}

export function command(id: string, type = "x"): Command {
  return { subject: "s", id, born: 1, op: { type } };
}

/** The n-th value of a node; its command bears the same id. */
export function valueOf(node: NodeId, n = 1, more: Partial<Value> = {}): Value {
  return { id: `${node}/v/${n}`, proposer: node, commands: [command(`${node}${n}`)], ...more };
}

/** A value anybody may send: a client's. */
export function directValue(id: string): Value {
  return { id, proposer: "", commands: [command(id)] };
}

export function rulesOf(me: NodeId, n: number): AcceptorRules {
  return { me, quorums: new QuorumSystem(nodesOf(n)), machine };
}

export function fresh(mode: Mode): AcceptorRecord {
  return freshRecord(machine, mode);
}

/** S(instance − 1) after the given values, as `decidedBy` says. */
export function snapshotAfter(mode: Mode, values: readonly Value[], decidedBy: Certificate | null): Snapshot {
  const state = values.reduce((state, value, i) => machine.apply(state, i + 1, value), machine.init(mode));
  return { instance: values.length + 1, state, stateHash: machine.hash(state), decidedBy };
}

export function recordAt(snapshot: Snapshot): AcceptorRecord {
  return { epoch: 0, ...snapshot, promised: STANDING, vote: null };
}

export function openingOf(mode: Mode): Snapshot {
  return snapshotOf(fresh(mode));
}

export function voteFor(value: Value, ballot: Ballot = STANDING, kind: VoteKind = kindAt(ballot)): Vote {
  return { ballot, kind, value };
}

function kindAt(ballot: Ballot): VoteKind {
  return ballot === STANDING ? "fast" : "classic";
}

/** `"a:a b:a c:-"`: a and b voted for a's value in `ballot`, c for none; `x` stands for a client's value. */
export function reportsOf(text: string, ballot: Ballot = STANDING, kind: VoteKind = kindAt(ballot)): Report[] {
  return text.split(" ").map((part) => {
    const [from, what] = part.split(":") as [string, string];
    if (what === "-") return { from, vote: null };
    const value = what.startsWith("x") ? directValue(what) : valueOf(what);
    return { from, vote: { ballot, kind, value } };
  });
}

export function certificateOf(
  instance: number,
  value: Value,
  kind: Certificate["kind"],
  acceptors: string,
  ballot: Ballot = kind === "classic" ? STANDING_RECOVERY : STANDING,
): Certificate {
  return { instance, ballot, kind, valueId: value.id, acceptors: acceptors.split("") };
}

export function ballotOf(n: number, node: NodeId): Ballot {
  return explicitBallot(n, node, "t");
}

/** A role that wrote to what it was given would not be pure; frozen, it throws. */
export function frozen<T>(thing: T): T {
  if (typeof thing === "object" && thing !== null && !Object.isFrozen(thing) && !isClass(thing)) {
    Object.freeze(thing);
    Object.values(thing).forEach(frozen);
  }
  return thing;
}

function isClass(thing: object): boolean {
  return thing instanceof QuorumSystem || thing instanceof Set || thing instanceof Map;
}

/** Every subset of `items`. */
export function* subsets<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let mask = 0; mask < 1 << items.length; mask++) yield items.filter((_, i) => (mask >> i & 1) === 1);
}
