/** Any(N, I, Recovery): an explicit ballot that its owner opens to everybody's values (Fast Paxos §3.1; PROTOCOL.md §3). */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { stepAcceptor } from "../../src/paxos/acceptor.ts";
import { type Ballot, type NodeId, recoveryOf, STANDING } from "../../src/paxos/ballot.ts";
import type { AcceptorMessage, AcceptorRecord, AcceptorReply, Any, Value } from "../../src/paxos/message.ts";
import { fastBallotOf } from "../../src/paxos/record.ts";
import { at, both, Cluster, of, seeded } from "../paxos/cluster.ts";
import {
  ballotOf,
  classic,
  directValue,
  fast,
  fresh,
  frozen,
  KEY,
  reportsOf,
  rulesOf,
  valueOf,
} from "../paxos/samples.ts";

const AT = { key: KEY, epoch: 0, instance: 1 } as const;
const OPEN = ballotOf(1, "a");
const ANY: Any = { type: "any", ...AT, ballot: OPEN, recovery: "coordinated" };
const A = valueOf("a");
const B = valueOf("b");

/** One acceptor that hears some messages, each from somebody. */
function heard(me: NodeId, ...messages: readonly (readonly [AcceptorMessage, NodeId | ""])[]) {
  let record: AcceptorRecord = fresh(fast("c"));
  let reply: AcceptorReply | null = null;
  for (const [message, from] of messages) {
    ({ record, reply } = stepAcceptor(rulesOf(me, 3), frozen(record), frozen(message), { from, seenMs: {} }));
  }
  return { record, reply: reply! };
}

function accept(ballot: Ballot, value: Value, any?: "coordinated" | "uncoordinated"): AcceptorMessage {
  return { type: "accept", ...AT, ballot, value, ...(any === undefined ? {} : { any }) };
}

Deno.test("an acceptor opens a ballot for its owner, once promised that far, and gives the same answer again", () => {
  const { record, reply } = heard("b", [ANY, "a"]);
  assertEquals(reply, { type: "opened", instance: 1, ballot: OPEN });
  assertEquals([record.promised, record.any, record.vote], [OPEN, { ballot: OPEN, recovery: "coordinated" }, null]);
  assertEquals(fastBallotOf(record)?.coordinator, "a");
  const again = stepAcceptor(rulesOf("b", 3), frozen(record), ANY, { from: "a", seenMs: {} });
  assertStrictEquals(again.record, record);
  assertEquals(again.reply, reply);
});

Deno.test("only its owner opens a ballot, a member, and never the standing one or a recovery", () => {
  for (
    const [message, from] of [
      [ANY, "b"],
      [ANY, ""],
      [{ ...ANY, ballot: STANDING }, "a"],
      [{ ...ANY, ballot: recoveryOf(OPEN) }, "a"],
      [{ ...ANY, ballot: ballotOf(1, "z") }, "z"],
    ] as const
  ) assertEquals(heard("b", [message, from]).reply.type, "rejected");
  const promised: AcceptorMessage = { type: "prepare", ...AT, ballot: ballotOf(2, "b") };
  assertEquals(heard("c", [promised, "b"], [ANY, "a"]).reply.type, "refused");
});

Deno.test("a ballot is opened or has its owner's value, never both, whichever comes first", () => {
  assertEquals(heard("a", [ANY, "a"], [accept(OPEN, A), "a"]).reply.type, "rejected");
  const { record, reply } = heard("a", [accept(OPEN, A), "a"], [ANY, "a"]);
  assertEquals([reply.type, record.any, record.vote?.kind], ["refused", undefined, "classic"]);
});

Deno.test("in an opened ballot everybody's values get a fast vote: one each, R1 as in the standing ballot", () => {
  assertEquals(heard("c", [ANY, "a"], [accept(OPEN, B, "coordinated"), "b"]).record.vote, {
    ballot: OPEN,
    kind: "fast",
    value: B,
  });
  assertEquals(heard("c", [ANY, "a"], [accept(OPEN, directValue("x")), ""]).record.vote?.kind, "fast");
  assertEquals(heard("c", [ANY, "a"], [accept(OPEN, B, "coordinated"), "a"]).reply.type, "rejected");
  assertEquals(
    heard("c", [ANY, "a"], [accept(OPEN, B, "coordinated"), "b"], [accept(OPEN, A, "coordinated"), "a"]).reply.type,
    "refused",
  );
});

Deno.test("Any lost: a member's value opens the ballot with it, a client's does not", () => {
  // Its owner's own value too: without the word it would pass for the value of a classic ballot.
  const { record } = heard("c", [accept(OPEN, A, "coordinated"), "a"]);
  assertEquals([record.any?.ballot, record.vote?.kind], [OPEN, "fast"]);
  assertEquals(heard("c", [accept(OPEN, directValue("x")), ""]).reply.type, "rejected");
  assertEquals(heard("c", [accept(OPEN, directValue("x"), "coordinated"), ""]).reply.type, "rejected");
  assertEquals(heard("c", [accept(STANDING, B, "coordinated"), "b"]).reply.type, "rejected");
});

Deno.test("the opened ballot's recovery is its owner's; a higher promise ends both", () => {
  const voted = [[ANY, "a"], [accept(OPEN, A, "coordinated"), "a"]] as const;
  const recover: AcceptorMessage = {
    type: "recover",
    ...AT,
    ballot: OPEN,
    reports: reportsOf("b:b", OPEN, "fast"),
    freshId: "a/f/1",
  };
  const { record, reply } = heard("a", ...voted, [recover, "a"]);
  assertEquals([reply.type, record.vote?.ballot, record.vote?.kind], ["picked", recoveryOf(OPEN), "classic"]);
  assertEquals(record.any?.ballot, OPEN, "still known: its owner may come back to its pick");
  // The mode's coordinator has no part in it.
  assertEquals(heard("c", ...voted, [recover, "c"]).reply.type, "rejected");
  const above: AcceptorMessage = { type: "prepare", ...AT, ballot: ballotOf(2, "b") };
  assertEquals(heard("a", ...voted, [above, "b"]).record.any, undefined);
  assertEquals(heard("a", ...voted, [above, "b"], [recover, "a"]).reply.type, "rejected");
});

Deno.test("an opened ballot with uncoordinated recovery is picked up by its acceptors, and by no coordinator", () => {
  const open: Any = { ...ANY, recovery: "uncoordinated" };
  const reports = reportsOf("a:a b:b", OPEN, "fast");
  const pick: AcceptorMessage = { type: "pick", ...AT, ballot: OPEN, reports };
  const voted = [[open, "a"], [accept(OPEN, A, "uncoordinated"), "a"]] as const;
  const { record } = heard("c", ...voted, [pick, "c"]);
  assertEquals([record.vote?.ballot, record.vote?.kind], [recoveryOf(OPEN), "uncoordinated"]);
  const recover: AcceptorMessage = { type: "recover", ...AT, ballot: OPEN, reports, freshId: "a/f/1" };
  assertEquals(heard("a", ...voted, [recover, "a"]).reply.type, "rejected");
  assertEquals(heard("c", ...voted, [accept(recoveryOf(OPEN), A), "a"]).reply.type, "rejected");
});

Deno.test("a phase 1 with nothing to propose gives the instance back: one round trip for the next proposer, from any node", () => {
  for (const n of [3, 4, 5]) {
    const cluster = new Cluster(n, fast("c"));
    const finisher = cluster.proposer("a", null);
    cluster.step(finisher, { type: "prepare", nonce: "t" });
    cluster.settle();
    assertEquals(finisher.told.at(-1), "idle");
    const before = cluster.sent.length;
    const b = cluster.propose("b", B);
    cluster.settle();
    assertEquals(cluster.decisions[0]?.certificate.ballot, OPEN, `n=${n}`);
    assertEquals(b.told.at(-1), "decided");
    const sent = cluster.sent.slice(before).flatMap((flight) => flight.kind === "request" ? [flight.message.type] : []);
    assert(sent.every((type) => type === "accept" || type === "decide"), `no Prepare, no coordinator: ${sent}`);
  }
});

Deno.test("where instances are not fast a phase 1 for nothing opens nothing", () => {
  const cluster = new Cluster(3, classic("c"));
  const finisher = cluster.proposer("a", null);
  cluster.step(finisher, { type: "prepare", nonce: "t" });
  cluster.settle();
  assertEquals(finisher.told.at(-1), "idle");
  assertEquals(cluster.sentOf("any"), 0);
});

Deno.test("a collision in an opened ballot is recovered by its owner, in one more round trip", () => {
  const cluster = new Cluster(4, fast("c"));
  cluster.step(cluster.proposer("a", null), { type: "prepare", nonce: "t" });
  cluster.settle();
  const b = cluster.propose("b", B);
  const d = cluster.propose("d", valueOf("d"));
  cluster.settle(both(of(b), at("b")));
  cluster.settle(both(of(d), at("d")));
  cluster.settle(both(of(b), at("a")));
  cluster.settle(both(of(d), at("c")));
  cluster.settle();
  const [decision] = cluster.decisions;
  assertEquals([decision?.by, decision?.certificate.ballot], ["a", recoveryOf(OPEN)]);
  assertEquals(cluster.disagreement(), null);
});

Deno.test("two fast ballots before a classic one, in random order with loss and repetition: never two values", () => {
  const seen = { openedFast: 0, recovered: 0, later: 0 };
  for (let seed = 1; seed <= 400; seed++) {
    const random = seeded(seed);
    const cluster = new Cluster([3, 4, 5][seed % 3]!, fast("c", seed % 4 === 0 ? "uncoordinated" : "coordinated"));
    const lost = random() * 0.15;
    const churn = (steps: number) => {
      for (let i = 0; i < steps && cluster.flights.length > 0; i++) {
        const flight = cluster.flights[Math.floor(random() * cluster.flights.length)]!;
        if (random() < lost) cluster.drop((other) => other === flight);
        else if (random() < 0.2) cluster.deliverCopy(flight);
        else cluster.deliver((other) => other === flight);
      }
    };
    cluster.propose("a", A);
    cluster.propose("b", B);
    churn(Math.floor(random() * 12));
    const finisher = cluster.proposer("c", null);
    cluster.step(finisher, { type: "prepare", nonce: "t" });
    churn(60);
    // Who knows of the opened ballot proposes in it.
    for (const node of ["a", "b"] as const) cluster.propose(node, node === "a" ? A : B);
    churn(Math.floor(random() * 80));
    const last = cluster.proposer("b", B);
    cluster.step(last, { type: "prepare", nonce: "u" });
    churn(60);
    assertEquals(cluster.disagreement(), null, `seed ${seed}`);
    for (const { certificate: { ballot, kind } } of cluster.decisions) {
      if (ballot[0] > 0 && kind !== "classic") seen.openedFast++;
      else if (ballot[0] > 0 && ballot[2] === 1) seen.recovered++;
      else if (ballot[0] > 0) seen.later++;
    }
  }
  assert(Object.values(seen).every((count) => count > 0), JSON.stringify(seen));
});
