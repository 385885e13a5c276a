import { assert, assertEquals } from "@std/assert";
import { STANDING, STANDING_RECOVERY } from "../../src/paxos/ballot.ts";
import {
  type CoordinatorContext,
  type CoordinatorInput,
  type CoordinatorOutput,
  type CoordinatorState,
  initialCoordinator,
  stepCoordinator,
} from "../../src/paxos/coordinator.ts";
import type { AcceptorReply, Collision, Report, Snapshot, Value } from "../../src/paxos/message.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import { at, both, Cluster, collisions, of } from "./cluster.ts";
import { ballotOf, certificateOf, fast, frozen, KEY, nodesOf, reportsOf, snapshotAfter, valueOf } from "./samples.ts";

/** The coordinator `c`, and what it sends. */
class Coordinator {
  readonly context: CoordinatorContext;
  state: CoordinatorState = initialCoordinator;
  out: readonly CoordinatorOutput[] = [];

  constructor(n: number, me = "c") {
    const quorums = new QuorumSystem(nodesOf(n));
    this.context = { me, key: KEY, epoch: 0, instance: 1, ballot: STANDING, quorums, freshId: "c/c/1" };
  }

  #step(input: CoordinatorInput): readonly CoordinatorOutput[] {
    const { state, out } = stepCoordinator(this.context, frozen(this.state), frozen(input));
    this.state = state;
    this.out = [...this.out, ...out];
    return out;
  }

  collide(reports: readonly Report[], more: Partial<Collision> = {}): readonly CoordinatorOutput[] {
    return this.#step({
      type: "collision",
      message: { type: "collision", key: KEY, epoch: 0, instance: 1, ballot: STANDING, reports, ...more },
    });
  }

  hear(from: string, reply: AcceptorReply, opening: Snapshot | null = null): readonly CoordinatorOutput[] {
    return this.#step({ type: "reply", from, reply, opening });
  }

  picks(value: Value): readonly CoordinatorOutput[] {
    return this.hear("c", { type: "picked", instance: 1, ballot: STANDING_RECOVERY, value });
  }
}

function accepted(value: Value, ballot = STANDING_RECOVERY, instance = 1): AcceptorReply {
  return { type: "accepted", instance, ballot, kind: "classic", valueId: value.id };
}

function shown(out: readonly CoordinatorOutput[]): string[] {
  return out.map((output) => output.type === "send" ? `${output.message.type} ${output.to}` : output.type);
}

const A = valueOf("a");

Deno.test("collision → pick and own vote → accept → decided: Fast Paxos's recovery in one more round trip", () => {
  const coordinator = new Coordinator(3);
  const reports = reportsOf("a:a b:b");
  const [pick] = coordinator.collide(reports);
  assertEquals(pick, {
    type: "send",
    to: "c",
    message: { type: "recover", key: KEY, epoch: 0, instance: 1, ballot: STANDING, reports, freshId: "c/c/1" },
  });
  assertEquals(shown(coordinator.picks(A)), ["accept a", "accept b"]);
  const [decided] = coordinator.hear("a", accepted(A));
  assertEquals(decided, {
    type: "decided",
    value: A,
    certificate: certificateOf(1, A, "classic", "ac", STANDING_RECOVERY),
    losers: [valueOf("b")],
  });
  assertEquals(coordinator.hear("b", accepted(A)), []);
});

Deno.test("n=1: its own vote is the quorum", () => {
  const coordinator = new Coordinator(1, "a");
  coordinator.state = { ...initialCoordinator, phase: "pick" };
  const picked = { type: "picked", instance: 1, ballot: STANDING_RECOVERY, value: A } as const;
  assertEquals(shown(coordinator.hear("a", picked)), ["decided"]);
});

Deno.test("less than a phase-1 quorum with itself waits for more", () => {
  const coordinator = new Coordinator(5);
  assertEquals(coordinator.collide(reportsOf("a:a")), []);
  assertEquals(coordinator.collide(reportsOf("a:a")), []);
  assertEquals(shown(coordinator.collide(reportsOf("b:b"))), ["recover c"]);
});

Deno.test("its own report comes from its own record only, and only votes of the standing ballot are reports", () => {
  const coordinator = new Coordinator(5);
  coordinator.collide(reportsOf("c:a a:a"));
  coordinator.collide(reportsOf("b:-"));
  coordinator.collide(reportsOf("b:b d:b", ballotOf(1, "b")));
  assertEquals(coordinator.out, []);
  coordinator.collide(reportsOf("b:b"));
  const [recover] = coordinator.out;
  assert(recover?.type === "send" && recover.message.type === "recover");
  assertEquals(recover.message.reports, reportsOf("a:a b:b"));
});

Deno.test("one vote per acceptor: the first word about it is the only one", () => {
  const coordinator = new Coordinator(5);
  coordinator.collide(reportsOf("a:a"));
  coordinator.collide(reportsOf("a:b b:b"));
  const [recover] = coordinator.out;
  assert(recover?.type === "send" && recover.message.type === "recover");
  assertEquals(recover.message.reports, reportsOf("a:a b:b"));
});

Deno.test("another instance's collision is not this one's", () => {
  const coordinator = new Coordinator(3);
  assertEquals(coordinator.collide(reportsOf("a:a b:b"), { instance: 2 }), []);
});

Deno.test("undecided: more reports are gathered, and then it picks again", () => {
  const coordinator = new Coordinator(5);
  coordinator.collide(reportsOf("a:a b:b"));
  // While the pick is under way nothing is sent twice.
  assertEquals(coordinator.collide(reportsOf("a:a b:b")), []);
  assertEquals(coordinator.hear("c", { type: "undecided", instance: 1 }), []);
  assertEquals(shown(coordinator.collide(reportsOf("d:b"))), ["recover c"]);
});

Deno.test("votes are counted by sender, value, full ballot and instance; a repeated one once", () => {
  const coordinator = new Coordinator(5);
  coordinator.collide(reportsOf("a:a b:b"));
  coordinator.picks(A);
  for (let i = 0; i < 4; i++) coordinator.hear("a", accepted(A));
  for (const from of ["b", "d", "e"]) {
    coordinator.hear(from, accepted(A, STANDING));
    coordinator.hear(from, accepted(A, ballotOf(1, "c")));
    coordinator.hear(from, accepted(A, STANDING_RECOVERY, 2));
    coordinator.hear(from, accepted(valueOf("b")));
  }
  coordinator.hear("z", accepted(A));
  assertEquals(coordinator.state.phase, "accept");
  assertEquals(coordinator.state.accepted.filter((from) => from === "a").length, 1);
  assertEquals(shown(coordinator.hear("b", accepted(A))), ["decided"]);
});

Deno.test("a pick is its own record's to make: nobody else's word for it counts", () => {
  const coordinator = new Coordinator(3);
  coordinator.collide(reportsOf("a:a b:b"));
  const picked = { type: "picked", instance: 1, ballot: STANDING_RECOVERY, value: A } as const;
  assertEquals(coordinator.hear("a", picked), []);
  assertEquals(coordinator.hear("c", { ...picked, instance: 2 }), []);
  assertEquals(shown(coordinator.hear("c", picked)), ["accept a", "accept b"]);
  // Told twice, it sends once.
  assertEquals(coordinator.hear("c", picked), []);
});

Deno.test("it gives up where its own record may not or is past it, and only there", () => {
  const refused = {
    type: "refused",
    instance: 1,
    ballot: STANDING_RECOVERY,
    promised: ballotOf(1, "a"),
    vote: null,
  } as const;
  const ahead = { type: "ahead", snapshot: snapshotAfter(fast("c"), [A], null) } as const;
  for (
    const reply of [
      refused,
      ahead,
      { type: "behind", instance: 0 },
      { type: "rejected", reason: "" },
      { type: "stopped", reason: "" },
      { type: "not-lapsed", instance: 1, ballot: STANDING_RECOVERY, remainingMs: 5 },
    ] as const
  ) {
    const coordinator = new Coordinator(3);
    coordinator.collide(reportsOf("a:a b:b"));
    if (reply.type !== "behind") assertEquals(coordinator.hear("a", reply), []);
    assertEquals(shown(coordinator.hear("c", reply)), ["given-up"], reply.type);
    assertEquals(coordinator.collide(reportsOf("a:a b:b")), []);
  }
});

Deno.test("one acceptor's refusal is only one vote less", () => {
  const coordinator = new Coordinator(3);
  coordinator.collide(reportsOf("a:a b:b"));
  coordinator.picks(A);
  coordinator.hear("a", {
    type: "refused",
    instance: 1,
    ballot: STANDING_RECOVERY,
    promised: ballotOf(1, "a"),
    vote: null,
  });
  assertEquals(shown(coordinator.hear("b", accepted(A))), ["decided"]);
});

Deno.test("a member that is behind gets the state; without the state nothing", () => {
  const coordinator = new Coordinator(3);
  coordinator.collide(reportsOf("a:a b:b"));
  coordinator.picks(A);
  const opening = snapshotAfter(fast("c"), [], null);
  assertEquals(coordinator.hear("b", { type: "behind", instance: 0 }), []);
  const [again] = coordinator.hear("b", { type: "behind", instance: 0 }, opening);
  assert(again?.type === "send" && again.message.type === "accept");
  assertEquals([again.to, again.message.snapshot, again.message.ballot], ["b", opening, STANDING_RECOVERY]);
});

Deno.test("what the reporters sent to align by is passed on, to its own record and to the others", () => {
  const coordinator = new Coordinator(3);
  const decided = certificateOf(0, A, "open", "abc");
  const [recover] = coordinator.collide(reportsOf("a:a b:b"), { decided });
  assert(recover?.type === "send" && recover.message.type === "recover");
  assertEquals(recover.message.decided, decided);
  const [accept] = coordinator.picks(A);
  assert(accept?.type === "send" && accept.message.type === "accept");
  assertEquals(accept.message.decided, decided);
});

Deno.test("a recovery that an explicit ballot overtakes decides nothing else than that", () => {
  const cluster = new Cluster(3, fast("c"));
  const a = cluster.propose("a", valueOf("a"));
  cluster.settle(both(at("a"), of(a)));
  cluster.step(a, { type: "suspect" });
  cluster.deliver(collisions);
  const coordinator = cluster.coordinator("c", 1);
  cluster.settle(both(at("c"), of(coordinator)));
  assertEquals(coordinator.state.phase, "accept");
  // b prepares before anything of the recovery gets through, with c's vote in it.
  const b = cluster.propose("b", null);
  cluster.step(b, { type: "prepare", nonce: "1" });
  cluster.settle(of(b));
  cluster.settle();
  assertEquals(b.told.at(-1), "decided");
  assertEquals(cluster.disagreement(), null);
});

Deno.test("a twin of the coordinator takes the pick of the first: one value in its ballot", () => {
  const cluster = new Cluster(3, fast("c"));
  const recover = (reports: readonly Report[], freshId: string) =>
    cluster.hear("c", { type: "recover", key: KEY, epoch: 0, instance: 1, ballot: STANDING, reports, freshId }, "c");
  const first = recover(reportsOf("a:a"), "c/1");
  const second = recover(reportsOf("a:a b:b"), "c/2");
  assert(first.type === "picked" && second.type === "picked");
  assertEquals(first.value, second.value);
});

Deno.test("reports that come in during an undecided pick are used at once: nobody will report them again", () => {
  const coordinator = new Coordinator(5);
  coordinator.collide(reportsOf("a:a b:b"));
  coordinator.collide(reportsOf("d:b"));
  // They came in while the pick was under way; nobody will report them again.
  // What it was asked with did not settle it; what it has now may.
  assertEquals(shown(coordinator.hear("c", { type: "undecided", instance: 1 })), ["recover c"]);
});
