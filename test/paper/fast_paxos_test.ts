/**
 * One test per statement of Lamport, *Fast Paxos* (2006, MSR-TR-2005-112), that this project rests on, in the order of
 * the paper. Where the project widens a rule (proposer-inclusive quorums, PROTOCOL.md §2) the tests of src/paxos say so.
 */
import { assert, assertEquals } from "@std/assert";
import { stepAcceptor } from "../../src/paxos/acceptor.ts";
import { type Ballot, compareBallots, type NodeId, STANDING, STANDING_RECOVERY } from "../../src/paxos/ballot.ts";
import { chosenValue } from "../../src/paxos/learner.ts";
import type { AcceptorMessage, AcceptorRecord, AcceptorReply, Mode, Value } from "../../src/paxos/message.ts";
import { pickValue } from "../../src/paxos/pick_value.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import { at, both, Cluster, collisions, of, replies } from "../paxos/cluster.ts";
import {
  ballotOf,
  classic,
  command,
  directValue,
  fast,
  fresh,
  KEY,
  nodesOf,
  reportsOf,
  rulesOf,
  subsets,
  valueOf,
  voteFor,
} from "../paxos/samples.ts";

const ADDRESS = { key: KEY, epoch: 0, instance: 1 } as const;

/** Acceptor `c` of three. */
function acceptor(mode: Mode) {
  const rules = rulesOf("c", 3);
  let record: AcceptorRecord = fresh(mode);
  const hear = (message: AcceptorMessage, from: NodeId | ""): AcceptorReply => {
    const next = stepAcceptor(rules, record, message, { from, seenMs: {} });
    record = next.record;
    return next.reply;
  };
  return {
    get record() {
      return record;
    },
    phase1a: (ballot: Ballot, from: NodeId) => hear({ type: "prepare", ...ADDRESS, ballot }, from),
    phase2a: (ballot: Ballot, value: Value, from: NodeId | "") =>
      hear({ type: "accept", ...ADDRESS, ballot, value }, from),
  };
}

function pick(n: number, reports: ReturnType<typeof reportsOf>): string {
  const result = pickValue(new QuorumSystem(nodesOf(n)), reports, new Set(reports.map(({ from }) => from)));
  return result.type === "forced" ? result.value.id : result.type;
}

// §2.2 Safety: the basic algorithm of Classic Paxos

Deno.test("§2.2: a value is chosen iff a quorum of acceptors voted for it in one round", () => {
  const quorums = new QuorumSystem(nodesOf(5));
  for (const voters of subsets(nodesOf(5))) {
    const reports = voters.map((from) => ({ from, vote: voteFor(valueOf("a"), ballotOf(1, "a")) }));
    assertEquals(chosenValue(quorums, 1, reports) !== null, voters.length >= 3, voters.join());
  }
});

Deno.test("§2.2: rounds are totally ordered, and no two coordinators share one", () => {
  const rounds: Ballot[] = [STANDING, STANDING_RECOVERY, ballotOf(1, "a"), ballotOf(1, "b"), ballotOf(2, "a")];
  rounds.forEach((a, i) =>
    rounds.forEach((b, j) => assertEquals(Math.sign(compareBallots(a, b)), Math.sign(i - j), `${a} ${b}`))
  );
  assertEquals(acceptor(fast("a")).phase1a(ballotOf(1, "a"), "b").type, "rejected");
});

Deno.test("§2.2.1, phase 1b: an acceptor joins round i only if i > rnd, and reports vrnd and vval", () => {
  const c = acceptor(fast("a"));
  c.phase2a(STANDING, valueOf("a"), "a");
  const reply = c.phase1a(ballotOf(2, "b"), "b");
  assert(reply.type === "promise");
  assertEquals(reply.vote, voteFor(valueOf("a")));
  assertEquals(c.record.promised, ballotOf(2, "b"));
  assertEquals(c.phase1a(ballotOf(1, "a"), "a").type, "refused");
  assertEquals(c.record.promised, ballotOf(2, "b"));
});

Deno.test("§2.2.1, phase 2b: an acceptor votes in round i only if i ≥ rnd, and sets rnd = vrnd = i, vval = v", () => {
  const c = acceptor(fast("a"));
  c.phase1a(ballotOf(2, "b"), "b");
  assertEquals(c.phase2a(ballotOf(1, "a"), valueOf("a"), "a").type, "refused");
  assertEquals(c.record.vote, null);
  // Also in a round it took no part in before.
  assertEquals(c.phase2a(ballotOf(3, "a"), valueOf("a"), "a").type, "accepted");
  assertEquals(c.record.promised, ballotOf(3, "a"));
  assertEquals(c.record.vote, voteFor(valueOf("a"), ballotOf(3, "a"), "classic"));
});

Deno.test("§2.2.1: an acceptor that has voted in round i will not vote in it again", () => {
  const c = acceptor(fast("a"));
  c.phase2a(STANDING, valueOf("a"), "a");
  assertEquals(c.phase2a(STANDING, valueOf("b"), "b").type, "refused");
  assertEquals(c.phase2a(STANDING, directValue("x"), "").type, "refused");
  assertEquals(c.record.vote?.value, valueOf("a"));
});

Deno.test("§2.2.2: in a classic round only one value is voted for: its coordinator sends one", () => {
  const cluster = new Cluster(3, classic("a"));
  const twin = cluster.propose("a", valueOf("a", 2));
  const a = cluster.propose("a", valueOf("a", 1));
  cluster.settle(of(a));
  cluster.settle(of(twin));
  assertEquals(new Set(cluster.nodes.map((node) => cluster.record(node).vote?.value.id)), new Set(["a/v/1"]));
});

Deno.test("§2.2.2, Quorum Requirement: any two quorums have a non-empty intersection", () => {
  for (const n of [1, 3, 4, 5, 6, 7]) {
    const quorums = new QuorumSystem(nodesOf(n));
    const all = [...subsets(nodesOf(n))].filter((set) => quorums.isClassic(new Set(set)));
    for (const q of all) for (const r of all) assert(q.some((member) => r.includes(member)));
  }
});

Deno.test("§2.2.2, CP: with no vote in Q the coordinator may pick any value", () => {
  assertEquals(pick(5, reportsOf("a:- b:- c:-")), "free");
});

Deno.test("§2.2.2, CP: with k the largest vrnd in Q, it must pick the value voted for in k", () => {
  const reports = [...reportsOf("a:a", ballotOf(1, "z")), ...reportsOf("b:b", ballotOf(2, "z")), ...reportsOf("c:x")];
  assertEquals(pick(5, reports), "b/v/1");
});

Deno.test("§2.2.2: no value but the one chosen in a round below is chosen in any later one", () => {
  const cluster = new Cluster(5, { kind: "prepare" });
  const a = cluster.propose("a", valueOf("a"));
  cluster.step(a, { type: "prepare", nonce: "1" });
  cluster.settle(at("abc"));
  assertEquals(cluster.decisions[0]?.value, valueOf("a"));
  cluster.drop();
  const e = cluster.propose("e", valueOf("e"));
  cluster.step(e, { type: "prepare", nonce: "1" });
  cluster.settle(at("cde"));
  assertEquals(cluster.decisions[1]?.value, valueOf("a"));
});

// §2.3 Progress

Deno.test("§2.3: a coordinator that meets a higher round starts one above it", () => {
  const cluster = new Cluster(3, { kind: "prepare" });
  const a = cluster.propose("a", valueOf("a"));
  const b = cluster.propose("b", valueOf("b"));
  for (const nonce of ["1", "2", "3"]) cluster.step(b, { type: "prepare", nonce });
  cluster.settle((flight) => flight.kind === "request" && flight.message.type === "prepare");
  cluster.step(a, { type: "prepare", nonce: "1" });
  cluster.settle(of(a));
  assertEquals(a.told.at(-1), "retry");
  cluster.step(a, { type: "prepare", nonce: "2" });
  assertEquals(a.state.ballot[0], 4);
  cluster.settle(of(a));
  assertEquals(a.told.at(-1), "decided");
});

// §2.4 Implementation considerations

Deno.test("§2.4.1: with one stable coordinator phases 1a and 1b are left out, for all instances to come", () => {
  const cluster = new Cluster(3, classic("a"));
  for (let instance = 1; instance <= 3; instance++) {
    cluster.propose("a", valueOf("a", instance));
    cluster.settle();
    cluster.tellEverybody(cluster.decisions.at(-1)!);
  }
  assertEquals(cluster.decisions.map(({ certificate }) => certificate.ballot), [STANDING, STANDING, STANDING]);
  assertEquals(cluster.sentOf("prepare"), 0);
});

// §3.1 Making Paxos fast: the basic algorithm

Deno.test("§3.1, Any: in a fast round an acceptor votes for whichever proposed value it hears first", () => {
  for (const [first, from] of [[valueOf("a"), "a"], [valueOf("b"), "b"], [directValue("x"), ""]] as const) {
    const c = acceptor(fast("a"));
    assertEquals(c.phase2a(STANDING, first, from), {
      type: "accepted",
      instance: 1,
      ballot: STANDING,
      kind: "fast",
      valueId: first.id,
    });
  }
});

Deno.test("§3.1: different acceptors may vote for different values in one fast round, each for one at most", () => {
  const cluster = new Cluster(3, fast("c"));
  const a = cluster.propose("a", valueOf("a"));
  const b = cluster.propose("b", valueOf("b"));
  cluster.deliver(both(at("a"), of(a)));
  cluster.deliver(both(at("b"), of(b)));
  assertEquals(["a", "b"].map((node) => cluster.record(node).vote?.value.id), ["a/v/1", "b/v/1"]);
});

Deno.test("§3.1: without an Any there is no fast round", () => {
  for (const mode of [classic("a"), { kind: "prepare" } as const]) {
    assertEquals(acceptor(mode).phase2a(STANDING, directValue("x"), "").type, "rejected");
    assertEquals(acceptor(mode).phase2a(STANDING, valueOf("b"), "b").type, "rejected");
  }
  assertEquals(acceptor(fast("a")).phase2a(ballotOf(1, "b"), valueOf("a"), "a").type, "rejected");
});

Deno.test("§3.1: in the calm case two message delays: a proposal to all acceptors, their votes, no coordinator", () => {
  const cluster = new Cluster(5, fast("e"));
  cluster.propose("a", valueOf("a"));
  cluster.settle(at("abcd"));
  assertEquals(cluster.decisions[0]?.by, "a");
  assertEquals(cluster.sent.filter(at("e")).length, 1);
  assertEquals(cluster.sentOf("prepare"), 0);
});

Deno.test("§3.1, Fast Quorum Requirement: a quorum of any round and two fast quorums share an acceptor", () => {
  for (const n of [1, 3, 4, 5, 6, 7]) {
    const quorums = new QuorumSystem(nodesOf(n));
    const all = [...subsets(nodesOf(n))];
    const any = all.filter((set) => quorums.isClassic(new Set(set)));
    const fasts = all.filter((set) => quorums.isOpenFast(new Set(set)));
    for (const q of any) {
      for (const r1 of fasts) {
        for (const r2 of fasts) assert(q.some((member) => r1.includes(member) && r2.includes(member)));
      }
    }
  }
});

Deno.test("§3.1: a learner needs a fast quorum of a fast round; a classic one there chooses nothing", () => {
  const quorums = new QuorumSystem(nodesOf(5));
  assertEquals(chosenValue(quorums, 1, reportsOf("a:x b:x c:x")), null);
  assertEquals(chosenValue(quorums, 1, reportsOf("a:x b:x c:x d:x"))?.value.id, "x");
});

Deno.test("§3.1, figure 2: no vote in Q: any value; one value in V: that value", () => {
  assertEquals(pick(4, reportsOf("a:- b:- c:-")), "free");
  assertEquals(pick(4, reportsOf("a:x b:- c:-")), "x");
});

Deno.test("§3.1, O4(v): several values in V, and all of R ∩ Q voted v for some fast quorum R: v", () => {
  assertEquals(pick(4, reportsOf("a:x1 b:x1 c:x2")), "x1");
  assertEquals(pick(5, reportsOf("a:x1 b:x1 c:x1 d:x2")), "x1");
});

Deno.test("§3.1, O4: several values in V and none that satisfies it: any value", () => {
  assertEquals(pick(4, reportsOf("a:x1 b:x1 c:x2 d:x2")), "free");
  assertEquals(pick(5, reportsOf("a:x1 b:x2 c:x3")), "free");
});

Deno.test("§3.1: at most one value satisfies O4, whatever was voted (clients' values, all n ≤ 6)", () => {
  for (const n of [3, 4, 5, 6]) {
    const quorums = new QuorumSystem(nodesOf(n));
    for (const quorum of subsets(nodesOf(n))) {
      if (!quorums.isPhase1(new Set(quorum))) continue;
      for (const first of subsets(quorum)) {
        const reports = reportsOf(quorum.map((node) => `${node}:${first.includes(node) ? "x1" : "x2"}`).join(" "));
        const outside = nodesOf(n).filter((node) => !quorum.includes(node));
        const satisfies = (name: string) => {
          const voted = reports.filter(({ vote }) => vote?.value.id === name).map(({ from }) => from);
          return voted.length > 0 && quorums.isOpenFast(new Set([...voted, ...outside]));
        };
        const o4 = ["x1", "x2"].filter(satisfies);
        assert(o4.length <= 1);
        const values = new Set(reports.map(({ vote }) => vote?.value.id));
        if (values.size > 1) assertEquals(pick(n, reports), o4[0] ?? "free");
      }
    }
  }
});

// §3.2 Collision recovery

function collided(): Cluster {
  const cluster = new Cluster(4, fast("d"));
  const a = cluster.propose("a", valueOf("a"));
  const b = cluster.propose("b", valueOf("b"));
  cluster.settle(both(at("a"), of(a)));
  cluster.settle(both(at("b"), of(b)));
  cluster.settle(both(at("c"), of(a)));
  cluster.settle(both(at("d"), of(b)));
  cluster.settle((flight) => !collisions(flight));
  return cluster;
}

Deno.test("§3.2, collision: a fast round in which no value can be chosen any more is noticed, and nobody has decided", () => {
  const cluster = collided();
  assertEquals(cluster.decisions, []);
  const reports = nodesOf(4).map((from) => ({ from, vote: cluster.record(from).vote }));
  assertEquals(chosenValue(cluster.quorums, 1, reports), null);
  assert(cluster.flights.every(collisions));
});

Deno.test("§3.2, coordinated recovery: 2b of round i are read as 1b of i+1, so phase 2a follows at once", () => {
  const cluster = collided();
  cluster.settle();
  assertEquals(cluster.sentOf("prepare"), 0);
  const [decision] = cluster.decisions;
  assertEquals(decision?.by, "d");
  assertEquals(decision?.certificate.ballot, STANDING_RECOVERY);
  assertEquals(decision?.certificate.kind, "classic");
  assertEquals(decision?.value.commands, [command("a1"), command("b1")]);
});

Deno.test("§3.2: round i+1 follows i: nothing can be promised between them", () => {
  const between = [ballotOf(1, "a"), ballotOf(1, ""), STANDING, STANDING_RECOVERY].filter((ballot) =>
    compareBallots(ballot, STANDING) > 0 && compareBallots(ballot, STANDING_RECOVERY) < 0
  );
  assertEquals(between, []);
  assertEquals(acceptor(fast("a")).phase1a(STANDING_RECOVERY, "a").type, "rejected");
});

Deno.test("§3.2: only the coordinator of the round acts in coordinated recovery", () => {
  const c = acceptor(fast("a"));
  assertEquals(c.phase2a(STANDING_RECOVERY, valueOf("b"), "b").type, "rejected");
  assertEquals(c.phase2a(STANDING_RECOVERY, valueOf("b"), "a").type, "accepted");
});

Deno.test("§3.2: a vote in i+1 ends the acceptor's part in i", () => {
  const c = acceptor(fast("a"));
  c.phase2a(STANDING_RECOVERY, valueOf("b"), "a");
  assertEquals(c.phase2a(STANDING, valueOf("a"), "a").type, "refused");
});

Deno.test("§3.2, uncoordinated recovery: votes of the fast round i+1 count by fast quorums of i+1 alone", () => {
  const quorums = new QuorumSystem(nodesOf(5));
  const below = reportsOf("d:a e:a");
  const above = reportsOf("a:a b:a c:a", STANDING_RECOVERY, "uncoordinated");
  assertEquals(chosenValue(quorums, 1, [...above, ...below]), null);
  const more = reportsOf("a:a b:a c:a d:a", STANDING_RECOVERY, "uncoordinated");
  assertEquals(chosenValue(quorums, 1, more)?.certificate.ballot, STANDING_RECOVERY);
});

Deno.test("§3.3: if recovery does not end it, a classic round above does", () => {
  const cluster = collided();
  cluster.drop();
  const c = cluster.propose("c", null);
  cluster.step(c, { type: "prepare", nonce: "1" });
  cluster.settle(at("bcd"));
  assertEquals(c.told.at(-1), "decided");
  assertEquals(cluster.decisions[0]?.value.commands, [command("a1"), command("b1")]);
  assertEquals(cluster.sent.filter(replies("promise")).length, 3);
});

Deno.test("§3.4.1: the quorum sizes meet n > 2e + f and n > 2f", () => {
  for (const n of [1, 3, 4, 5, 6, 7, 8, 9]) {
    const { f, classic, openFast } = new QuorumSystem(nodesOf(n)).sizes;
    const e = n - openFast;
    assertEquals(classic, n - f);
    assert(n > 2 * f && n > 2 * e + f, `n=${n}`);
    // And are the smallest that do, with as many failures as can be.
    assert(n <= 2 * (f + 1) && (e === f || n <= 2 * (e + 1) + f), `n=${n}`);
  }
});
