/**
 * What is searched (PROTOCOL.md §10). F: the standing fast ballot; C, U: its coordinated or
 * uncoordinated recovery; X: one explicit
 * ballot after a Prepare. Small plans hide bugs: each mutant names the plan that must catch it.
 */
export type PlanActor =
  | {
    readonly role: "proposer";
    readonly node: string;
    /** Proposes a value of its own in F; otherwise it only finishes what others left. */
    readonly proposes: boolean;
    readonly explicitBallots: number;
  }
  | { readonly role: "coordinator" };

export type Plan = {
  readonly name: string;
  readonly n: number;
  /** Of the standing ballot; coordinated where absent. */
  readonly recovery?: "uncoordinated";
  /** The node that owns the recovery of the standing ballot. */
  readonly coordinator: string;
  readonly actors: readonly PlanActor[];
};

const proposer = (node: string, explicitBallots = 0): PlanActor => ({
  role: "proposer",
  node,
  proposes: true,
  explicitBallots,
});
const finisher = (node: string): PlanActor => ({ role: "proposer", node, proposes: false, explicitBallots: 1 });

export const PLANS = {
  "FX n=3, a finishes": {
    n: 3,
    coordinator: "c",
    actors: [proposer("a", 1), proposer("b")],
  },
  "FX n=3, c finishes": {
    n: 3,
    coordinator: "c",
    actors: [proposer("a"), proposer("b"), finisher("c")],
  },
  "FCX n=3, c coordinates, a finishes": {
    n: 3,
    coordinator: "c",
    actors: [proposer("a", 1), proposer("b"), { role: "coordinator" }],
  },
  "FCX n=3, b coordinates, a finishes": {
    n: 3,
    coordinator: "b",
    actors: [proposer("a", 1), proposer("b"), { role: "coordinator" }],
  },
  "FUX n=3, a finishes": {
    n: 3,
    coordinator: "c",
    recovery: "uncoordinated",
    actors: [proposer("a", 1), proposer("b")],
  },
  "FUX n=3, c finishes": {
    n: 3,
    coordinator: "c",
    recovery: "uncoordinated",
    actors: [proposer("a"), proposer("b"), finisher("c")],
  },
  "FX n=5, a finishes": {
    n: 5,
    coordinator: "c",
    actors: [proposer("a", 1), proposer("b")],
  },
  "FCX n=5, c coordinates, a finishes": {
    n: 5,
    coordinator: "c",
    actors: [proposer("a", 1), proposer("b"), { role: "coordinator" }],
  },
} as const satisfies Record<string, Omit<Plan, "name">>;

export type PlanName = keyof typeof PLANS;

export function planNamed(name: PlanName): Plan {
  return { name, ...PLANS[name] };
}
