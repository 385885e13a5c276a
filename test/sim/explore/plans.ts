/**
 * What is searched (PROTOCOL.md §10), as data: who proposes, and the ballots of each instance in their order.
 * F: the standing fast ballot, K: a standing classic one; C, U: the coordinated or uncoordinated recovery of F;
 * X: an explicit ballot of the node named; where it is the first, nobody proposes before one is opened. O: an explicit
 * ballot that is open from the beginning. Small plans hide bugs: each mutant names the plan that must catch it.
 */
import type { Mode, NodeId } from "../../../src/paxos/mod.ts";

/** What a search has to have seen, or it has not looked where it should. */
export const SOMETIMES = [
  /** Decided in the fast ballot by a proposer-inclusive quorum, guarded. */
  "inclusive",
  /** Decided in the fast ballot by an open quorum. */
  "open",
  "collision",
  /** A vote in the recovery of the standing ballot. */
  "recovery",
  /** Decided by that recovery. */
  "recovered",
  /** Decided in an explicit or standing classic ballot. */
  "classic",
  /** An explicit ballot opened to everybody's values. */
  "opened",
  /** A value of a fast ballot decided in a classic one above. */
  "carried",
  "ahead",
  "behind",
  /** A record that took over a state. */
  "installed",
  "later instance decided",
  /** A linearizable read answered, from views alone or by a ballot of its own. */
  "read",
  "read settled",
  /** A record that was damaged, and one that was taken in its place. */
  "damaged",
  "repaired",
  /** A value that left before the own vote for it was durable, and a process that died so. */
  "casting",
  "died",
] as const;
export type Sometimes = typeof SOMETIMES[number];

/** An explicit ballot is opened to everybody's values if its owner has none; `then` says how that is recovered. */
export type PlanBallot = "F" | "K" | "C" | "U" | Explicit;
export type Explicit = {
  readonly x: NodeId;
  readonly then?: "C" | "U";
  /** At every acceptor, before the search begins: its owner has nothing more to do. */
  readonly isOpen?: true;
};

export type Plan = {
  readonly n: number;
  readonly ballots: readonly [PlanBallot, ...PlanBallot[]];
  /** The node named in the mode. */
  readonly coordinator: NodeId;
  /** Processes that act as the coordinator at once: a restarted one and its predecessor's messages are two. */
  readonly coordinators?: 2;
  /** Nodes with a value of their own, a new one in each instance. */
  readonly proposers: readonly NodeId[];
  /** Direct clients, each with one value for instance 1, sent to every acceptor. */
  readonly clients: number;
  readonly instances: 1 | 2 | 3;
  /** Said by the values of instance 1: the mode of instance 2. */
  readonly nextMode?: Mode;
  /** An acceptor may die before it has written what it learned of the value that it voted for, and after it has spoken of it. */
  readonly forgets?: true;
  /**
   * Proposers send their values while their own votes are being written, and a node may die at any time before such a vote is
   * durable, or before it has written what it learned of the value that it voted for.
   */
  readonly overlaps?: true;
  /** This node's record may be found damaged at any time, once, and is then repaired from the others'. */
  readonly damages?: NodeId;
  /** All instances but the last were decided without this node before the search begins. */
  readonly behind?: NodeId;
  /** All instances but the last were decided by all before the search begins, and of the newest this node knows in memory only. */
  readonly learned?: NodeId;
  /** A linearizable read through this node, which settles by an explicit ballot what it must. */
  readonly reader?: NodeId;
  readonly sometimes: readonly Sometimes[];
};

const FAST: readonly Sometimes[] = ["inclusive", "open", "collision", "ahead"];
const CARRIED: readonly Sometimes[] = ["classic", "carried"];
const RECOVERED: readonly Sometimes[] = ["recovery", "recovered"];
const FOLLOWED: readonly Sometimes[] = ["behind", "installed", "later instance decided"];
const READ: readonly Sometimes[] = ["read", "read settled"];
const OVERLAPPED: readonly Sometimes[] = ["casting", "died"];
const REPAIRED: readonly Sometimes[] = ["damaged", "repaired"];

const x = (node: NodeId, then?: "C" | "U"): PlanBallot => then === undefined ? { x: node } : { x: node, then };
const o = (node: NodeId, then?: "C" | "U"): PlanBallot => ({
  x: node,
  isOpen: true,
  ...(then === undefined ? {} : { then }),
});

/** Two nodes that propose, at one instance, unless said otherwise. */
function plan(n: number, ballots: Plan["ballots"], coordinator: NodeId, more: Partial<Plan> = {}): Plan {
  const isFast = ballots[0] !== "K";
  const recovers = ballots.some((ballot) =>
    ballot === "C" || ballot === "U" || (typeof ballot === "object" && ballot.then)
  );
  const isExplicit = ballots.some((ballot) => typeof ballot === "object" && !ballot.isOpen);
  const { instances = 1, learned, reader, damages, overlaps, proposers = ["a", "b"] } = more;
  const opens = isFast &&
    ballots.some((ballot) => typeof ballot === "object" && !ballot.isOpen && !proposers.includes(ballot.x));
  return {
    n,
    ballots,
    coordinator,
    proposers,
    clients: 0,
    instances,
    sometimes: [
      // With four acceptors every fast quorum is an open one: nobody needs a guarded decision, so no record is ahead.
      ...(isFast ? n === 4 ? ["open" as const, "collision" as const] : FAST : ["classic" as const]),
      ...(recovers ? RECOVERED : []),
      ...(isFast && isExplicit ? CARRIED : []),
      ...(opens ? ["opened" as const] : []),
      ...(learned !== undefined ? ["later instance decided" as const] : instances > 1 ? FOLLOWED : []),
      ...(overlaps === undefined ? [] : OVERLAPPED),
      ...(reader === undefined ? [] : READ),
      // It takes what is above the instance after the one at which the others are found.
      ...(damages === undefined ? [] : instances > 1 ? REPAIRED : ["damaged" as const]),
    ],
    ...more,
  };
}

/** The name says ballots, n, instances, nodes + clients that propose, and then who does the rest. */
export const PLANS = {
  "FXX n=3 2+0, c opens, a finishes": plan(3, ["F", x("c"), x("a")], "c"),
  "FXcX n=3 2+0, c opens, a finishes": plan(3, ["F", x("c", "C"), x("a")], "c"),
  "FXuX n=3 2+0, c opens, a finishes": plan(3, ["F", x("c", "U"), x("a")], "c"),

  "FX n=3 2+0, a finishes": plan(3, ["F", x("a")], "c"),
  "FC n=3 2+0, b coordinates": plan(3, ["F", "C"], "b"),
  "FC n=3 2+0, c coordinates": plan(3, ["F", "C"], "c"),
  "FC n=3 2+0, c coordinates twice": plan(3, ["F", "C"], "c", { coordinators: 2 }),
  "FXX n=3 2+0, a and b finish": plan(3, ["F", x("a"), x("b")], "c"),
  "FX n=3 2+0 with a read": plan(3, ["F", x("a")], "c", { reader: "c" }),
  "FX n=3 2+0, c finishes": plan(3, ["F", x("c")], "c"),
  "FX n=3 2+1, a finishes": plan(3, ["F", x("a")], "c", { clients: 1 }),
  "FX n=3 2+1, c finishes": plan(3, ["F", x("c")], "c", { clients: 1 }),
  "FX n=3 3+0, a finishes": plan(3, ["F", x("a")], "c", { proposers: ["a", "b", "c"] }),
  "FXX n=3 2+1, a and b finish": plan(3, ["F", x("a"), x("b")], "c", { clients: 1 }),
  "FXX n=3 2+1, a finishes twice": plan(3, ["F", x("a"), x("a")], "c", { clients: 1 }),
  "FXX n=3 2+1, a and c finish": plan(3, ["F", x("a"), x("c")], "c", { clients: 1 }),
  "FCX n=3 2+0, c coordinates, a finishes": plan(3, ["F", "C", x("a")], "c"),
  "FCX n=3 2+0, b coordinates, a finishes": plan(3, ["F", "C", x("a")], "b"),
  "FCX n=3 2+1, c coordinates, a finishes": plan(3, ["F", "C", x("a")], "c", { clients: 1 }),
  "FCX n=3 2+1, a coordinates, b finishes": plan(3, ["F", "C", x("b")], "a", { clients: 1 }),
  "FCX n=3 3+0, c coordinates, a finishes": plan(3, ["F", "C", x("a")], "c", { proposers: ["a", "b", "c"] }),
  "FCXX n=3 2+1, c coordinates, a and b finish": plan(3, ["F", "C", x("a"), x("b")], "c", { clients: 1 }),
  "FUX n=3 2+0, a finishes": plan(3, ["F", "U", x("a")], "c"),
  "FUX n=3 2+1, a finishes": plan(3, ["F", "U", x("a")], "c", { clients: 1 }),
  "FUX n=3 2+1, c finishes": plan(3, ["F", "U", x("c")], "c", { clients: 1 }),
  "FUXX n=3 2+1, a and b finish": plan(3, ["F", "U", x("a"), x("b")], "c", { clients: 1 }),

  "FCX n=3 2+0 with a read": plan(3, ["F", "C", x("a")], "c", { reader: "c" }),
  "FUX n=3 2+0 with a read": plan(3, ["F", "U", x("a")], "c", { reader: "c" }),
  "FUX n=3 2+1 with a read": plan(3, ["F", "U", x("a")], "c", { reader: "c", clients: 1 }),
  "FXX n=3 2+0 with a read": plan(3, ["F", x("a"), x("b")], "c", { reader: "c" }),
  "FU n=3 2+0 with a read": plan(3, ["F", "U"], "c", { reader: "c" }),

  "F n=3 2+0, two instances": plan(3, ["F"], "c", { instances: 2 }),
  "F n=3 2+0, two instances, what is learned is forgotten": plan(3, ["F"], "c", { instances: 2, forgets: true }),
  "KX n=3 2+0, two instances, a coordinates, b finishes, what is learned is forgotten": plan(3, ["K", x("b")], "a", {
    instances: 2,
    forgets: true,
  }),
  "FX n=3 2+0, two instances, a finishes, what is learned is forgotten": plan(3, ["F", x("a")], "c", {
    instances: 2,
    forgets: true,
  }),
  "FC n=3 2+0, two instances, c coordinates": plan(3, ["F", "C"], "c", { instances: 2 }),
  "FU n=3 2+0, two instances": plan(3, ["F", "U"], "c", { instances: 2 }),
  "FX n=3 2+0, two instances, a finishes": plan(3, ["F", x("a")], "c", { instances: 2 }),
  "FCX n=3 2+1, two instances, c coordinates, a finishes": plan(3, ["F", "C", x("a")], "c", {
    instances: 2,
    clients: 1,
  }),
  "FCX n=3 3+0, two instances, c coordinates, a finishes": plan(3, ["F", "C", x("a")], "c", {
    instances: 2,
    proposers: ["a", "b", "c"],
  }),
  "FUX n=3 2+1, two instances, a finishes": plan(3, ["F", "U", x("a")], "c", { instances: 2, clients: 1 }),
  "KX n=3 2+0, two instances, a coordinates, b finishes": plan(3, ["K", x("b")], "a", { instances: 2 }),
  "FX n=3 2+1, two instances, then classic of a": plan(3, ["F", x("b")], "c", {
    instances: 2,
    clients: 1,
    nextMode: { kind: "classic", coordinator: "a" },
  }),

  "FX n=3 2+0, c finishes, a is damaged": plan(3, ["F", x("c")], "c", { damages: "a" }),
  "F n=3 2+0, two instances, a is damaged": plan(3, ["F"], "c", { instances: 2, damages: "a" }),
  "F n=3 2+0, two instances, c is damaged": plan(3, ["F"], "c", { instances: 2, damages: "c" }),
  "F n=3 1+0, three instances, a is damaged": plan(3, ["F"], "c", {
    instances: 3,
    proposers: ["a"],
    damages: "a",
    sometimes: ["inclusive", "open", "ahead", ...FOLLOWED, ...REPAIRED],
  }),
  "F n=3 1+0 of b, three instances, a is damaged": plan(3, ["F"], "c", {
    instances: 3,
    proposers: ["b"],
    damages: "a",
    sometimes: ["inclusive", "open", "ahead", ...FOLLOWED, ...REPAIRED],
  }),
  "F n=3 2+0, the third instance, c is behind, a is damaged": plan(3, ["F"], "c", {
    instances: 3,
    behind: "c",
    damages: "a",
    sometimes: ["inclusive", "collision", "behind", "ahead", "installed", "damaged"],
  }),
  "KX n=3 2+0, two instances, a coordinates, b finishes, a is damaged": plan(3, ["K", x("b")], "a", {
    instances: 2,
    damages: "a",
  }),

  "FX n=3 2+0, c finishes, votes overlap": plan(3, ["F", x("c")], "c", { overlaps: true }),
  "FX n=3 2+0, a finishes, votes overlap": plan(3, ["F", x("a")], "c", { overlaps: true }),
  "FX n=3 2+1, a finishes, votes overlap": plan(3, ["F", x("a")], "c", { clients: 1, overlaps: true }),
  "FCX n=3 2+0, c coordinates, a finishes, votes overlap": plan(3, ["F", "C", x("a")], "c", { overlaps: true }),
  "FCX n=3 2+0, b coordinates, a finishes, votes overlap": plan(3, ["F", "C", x("a")], "b", { overlaps: true }),
  "FUX n=3 2+0, a finishes, votes overlap": plan(3, ["F", "U", x("a")], "c", { overlaps: true }),
  "FX n=3 2+0 with a read, votes overlap": plan(3, ["F", x("a")], "c", { reader: "c", overlaps: true }),
  "FXX n=3 2+0, a and b finish, votes overlap": plan(3, ["F", x("a"), x("b")], "c", { overlaps: true }),
  "F n=3 2+0, two instances, votes overlap": plan(3, ["F"], "c", { instances: 2, overlaps: true }),
  "FC n=3 2+0, two instances, c coordinates, votes overlap": plan(3, ["F", "C"], "c", { instances: 2, overlaps: true }),
  "FX n=3 2+0, the second instance, c finishes, votes overlap": plan(3, ["F", x("c")], "c", {
    instances: 2,
    learned: "a",
    overlaps: true,
  }),
  "FC n=3 2+0, the second instance, c coordinates, votes overlap": plan(3, ["F", "C"], "c", {
    instances: 2,
    learned: "a",
    overlaps: true,
  }),
  "FCX n=3 2+0, the second instance, c coordinates, a finishes, votes overlap": plan(3, ["F", "C", x("a")], "c", {
    instances: 2,
    learned: "a",
    overlaps: true,
  }),
  "FX n=5 2+0, a finishes, votes overlap": plan(5, ["F", x("a")], "a", { overlaps: true }),
  "FC n=5 2+0, a coordinates, votes overlap": plan(5, ["F", "C"], "a", { overlaps: true }),

  "FX n=4 2+1, a finishes": plan(4, ["F", x("a")], "a", { clients: 1 }),
  "FCX n=4 2+1, c coordinates, a finishes": plan(4, ["F", "C", x("a")], "c", { clients: 1 }),
  "FUX n=4 2+1, a finishes": plan(4, ["F", "U", x("a")], "a", { clients: 1 }),
  "FUX n=4 2+0, a finishes": plan(4, ["F", "U", x("a")], "a"),

  "FUX n=4 2+0, c finishes": plan(4, ["F", "U", x("c")], "c"),
  "FUX n=4 2+1, c finishes": plan(4, ["F", "U", x("c")], "c", { clients: 1 }),
  "FUX n=4 3+0, a finishes": plan(4, ["F", "U", x("a")], "a", { proposers: ["a", "b", "c"] }),

  "XX n=3 2+0, c opens, a finishes": plan(3, [x("c"), x("a")], "c"),
  "XcX n=3 2+0, c opens, a finishes": plan(3, [x("c", "C"), x("a")], "c"),
  "XuX n=3 2+0, c opens, a finishes": plan(3, [x("c", "U"), x("a")], "c"),
  "OX n=3 2+0, c opened, a finishes": plan(3, [o("c"), x("a")], "c"),
  "OX n=3 2+0, a opened, c finishes": plan(3, [o("a"), x("c")], "a"),
  "OCX n=3 2+0, c opened and coordinates, a finishes": plan(3, [o("c", "C"), x("a")], "c"),
  "OUX n=3 2+1, c opened, a finishes": plan(3, [o("c", "U"), x("a")], "c", { clients: 1 }),
  "OC n=3 2+0, c opened and coordinates": plan(3, [o("c", "C")], "c"),
  "OC n=5 2+0, c opened and coordinates": plan(5, [o("c", "C")], "c"),
  "OX n=5 2+0, a opened, c finishes": plan(5, [o("a"), x("c")], "a"),

  "FX n=5 2+0, a finishes": plan(5, ["F", x("a")], "a"),
  "FX n=5 2+1, a finishes": plan(5, ["F", x("a")], "a", { clients: 1 }),
  "FC n=5 2+0, a coordinates": plan(5, ["F", "C"], "a"),
  "FCX n=5 2+0, c coordinates, a finishes": plan(5, ["F", "C", x("a")], "c"),
  "FCX n=5 2+0, a coordinates, b finishes": plan(5, ["F", "C", x("b")], "a"),
  "FU n=5 2+0": plan(5, ["F", "U"], "a"),
  "FUX n=5 2+0, a finishes": plan(5, ["F", "U", x("a")], "a"),
  "FU n=5 2+0 with a read": plan(5, ["F", "U"], "a", { reader: "b" }),
  "FC n=5 2+0 with a read": plan(5, ["F", "C"], "a", { reader: "b" }),
  "F n=5 2+0, two instances": plan(5, ["F"], "a", { instances: 2 }),
  "FU n=5 2+0, two instances": plan(5, ["F", "U"], "a", { instances: 2 }),
  "FC n=5 2+0, two instances": plan(5, ["F", "C"], "a", { instances: 2 }),
} as const satisfies Record<string, Plan>;

export type PlanName = keyof typeof PLANS;
