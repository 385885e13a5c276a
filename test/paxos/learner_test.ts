import { assert, assertEquals } from "@std/assert";
import { STANDING, STANDING_RECOVERY } from "../../src/paxos/ballot.ts";
import { chosenValue, judgeRead, type View, votersOf } from "../../src/paxos/learner.ts";
import type { Report, Snapshot, Vote } from "../../src/paxos/message.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import {
  ballotOf,
  certificateOf,
  directValue,
  fast,
  frozen,
  nodesOf,
  openingOf,
  reportsOf,
  snapshotAfter,
  subsets,
  valueOf,
} from "./samples.ts";

function chosen(n: number, reports: readonly Report[]): string | null {
  return chosenValue(new QuorumSystem(nodesOf(n)), 1, frozen(reports))?.value.id ?? null;
}

Deno.test("a classic quorum of one classic ballot chooses", () => {
  const reports = reportsOf("a:a b:a", ballotOf(1, "a"));
  const result = chosenValue(new QuorumSystem(nodesOf(3)), 4, reports);
  assertEquals(result, {
    value: valueOf("a"),
    certificate: certificateOf(4, valueOf("a"), "classic", "ab", ballotOf(1, "a")),
  });
  assertEquals(chosen(3, reportsOf("a:a b:-", ballotOf(1, "a"))), null);
});

Deno.test("a fast ballot takes an open quorum; an inclusive one is for its proposer alone to conclude from", () => {
  assertEquals(chosen(3, reportsOf("a:a b:a")), null);
  assertEquals(chosen(3, reportsOf("a:a b:a c:a")), "a/v/1");
  assertEquals(chosen(5, reportsOf("a:a b:a c:a")), null);
  assertEquals(chosen(5, reportsOf("a:x b:x c:x d:x e:a")), "x");
});

Deno.test("an uncoordinated ballot takes an open quorum too", () => {
  assertEquals(chosen(5, reportsOf("a:a b:a c:a", STANDING_RECOVERY, "uncoordinated")), null);
  const enough = reportsOf("a:a b:a c:a d:a", STANDING_RECOVERY, "uncoordinated");
  assertEquals(chosenValue(new QuorumSystem(nodesOf(5)), 1, enough)?.certificate.kind, "open");
});

Deno.test("votes are never added across ballots, values or repeats", () => {
  assertEquals(chosen(3, [...reportsOf("a:a"), ...reportsOf("b:a", ballotOf(1, "a"))]), null);
  assertEquals(
    chosen(3, [...reportsOf("a:a", ballotOf(1, "a")), ...reportsOf("b:a", ballotOf(1, "b"))]),
    null,
  );
  assertEquals(chosen(3, reportsOf("a:a b:b", ballotOf(1, "a"))), null);
  assertEquals(chosen(3, [...reportsOf("a:a", ballotOf(1, "a")), ...reportsOf("a:a", ballotOf(1, "a"))]), null);
  assertEquals(chosen(3, reportsOf("a:a y:a z:a", ballotOf(1, "a"))), null);
});

Deno.test("an older ballot may be the one that chose, whatever lies above it", () => {
  const reports = [...reportsOf("c:a", ballotOf(2, "c")), ...reportsOf("a:a b:a", ballotOf(1, "a"))];
  const result = chosenValue(new QuorumSystem(nodesOf(3)), 1, reports);
  assertEquals(result?.certificate.ballot, ballotOf(1, "a"));
});

Deno.test("voters are those of exactly this ballot and value", () => {
  const reports = [...reportsOf("a:a b:b"), ...reportsOf("c:a", STANDING_RECOVERY)];
  assertEquals(votersOf(reports, STANDING, "a/v/1"), new Set(["a"]));
  assertEquals(votersOf(reports, [0, "", 0], "b/v/1"), new Set(["b"]));
});

// Reads

const FAST = fast("c");
const OLD = openingOf(FAST);
const NEW = snapshotAfter(FAST, [valueOf("a", 9)], certificateOf(1, valueOf("a", 9), "open", "abc"));

function views(snapshot: Snapshot, text: string, ballot = STANDING): View[] {
  return reportsOf(text, ballot).map(({ from, vote }) => ({ from, snapshot, vote }));
}

function judged(n: number, seen: readonly View[]): string | null {
  const judgement = judgeRead(new QuorumSystem(nodesOf(n)), frozen(seen));
  if (judgement === null || judgement.type === "contradicted") return judgement?.type ?? null;
  return `${judgement.type} ${judgement.snapshot.instance}`;
}

Deno.test("read: too few views say nothing, however often one answers", () => {
  assertEquals(judged(3, views(OLD, "a:-")), null);
  assertEquals(judged(5, views(OLD, "a:- b:-")), null);
  assertEquals(judged(3, views(OLD, "a:- a:-")), null);
  assertEquals(judged(3, views(OLD, "a:- y:- z:-")), null);
});

Deno.test("read: no vote at the newest instance, so its opening state is the newest decided one", () => {
  assertEquals(judged(3, views(OLD, "a:- b:-")), "state 1");
  assertEquals(judged(3, [...views(OLD, "a:-"), ...views(NEW, "b:-")]), "state 2");
});

Deno.test("read: votes at older instances are of decided ones and count for nothing", () => {
  assertEquals(judged(3, [...views(OLD, "a:a"), ...views(NEW, "b:-")]), "state 2");
  assertEquals(judged(5, [...views(OLD, "a:a c:a d:a e:a"), ...views(NEW, "b:-")]), "state 2");
});

Deno.test("read: a learner's quorum of equal votes is decided", () => {
  const judgement = judgeRead(new QuorumSystem(nodesOf(3)), views(OLD, "a:a b:a c:a"));
  assert(judgement?.type === "chosen");
  assertEquals(judgement.chosen.value, valueOf("a"));
  assertEquals(judgement.chosen.certificate.kind, "open");
  assertEquals(judged(3, views(OLD, "a:a b:a", ballotOf(1, "a"))), "chosen 1");
});

Deno.test("read: one vote may be of a chosen value; that is not settled", () => {
  assertEquals(judged(3, views(OLD, "a:a b:-")), "unsettled 1");
  assertEquals(judged(5, views(OLD, "a:x b:- c:- d:- e:-")), "unsettled 1");
  assertEquals(judged(3, views(OLD, "a:a b:-", ballotOf(1, "a"))), "unsettled 1");
});

Deno.test("read: a view promises nothing: a proposer that answered may decide by its guard afterwards", () => {
  // a's value has an inclusive quorum in a and b.
  assertEquals(judged(3, views(OLD, "a:a b:a")), "unsettled 1");
  assertEquals(judged(3, views(OLD, "a:a b:b")), "unsettled 1");
});

Deno.test("read: where no value can have been chosen the opening state stands", () => {
  assertEquals(judged(4, views(OLD, "a:a b:b c:c d:x")), "state 1");
  assertEquals(judged(5, views(OLD, "a:a b:b c:c d:a e:b")), "state 1");
});

Deno.test("read: judged a state only if no votes beyond those seen could have chosen anything, exhaustively at n=3", () => {
  const names = ["-", "a", "b", "x"];
  let states = 0;
  for (const quorum of subsets(["a", "b", "c"])) {
    if (quorum.length < 2) continue;
    const all = names.flatMap((p) => names.flatMap((q) => names.map((r) => [p, q, r] as const)));
    for (const votes of all) {
      const full: Record<string, string> = { a: votes[0], b: votes[1], c: votes[2] };
      // R1 holds of any run's votes.
      if (Object.values(full).includes("a") && full["a"] !== "a") continue;
      if (Object.values(full).includes("b") && full["b"] !== "b") continue;
      if (judged(3, views(OLD, quorum.map((node) => `${node}:${full[node]}`).join(" "))) !== "state 1") continue;
      states++;
      const count = (name: string) => Object.values(full).filter((vote) => vote === name).length;
      assert(count("x") < 3 && count("a") < 2 && count("b") < 2, `${quorum} of ${votes}`);
    }
  }
  assert(states > 5);
});

Deno.test("read: two states at the newest instance settle nothing, unless a read quorum has the same", () => {
  for (const other of [{ stateHash: "rotten" }, { contentHash: "rotten" }]) judgesTwo(other);
});

function judgesTwo(wrong: Partial<Snapshot>): void {
  const rotten = (text: string) => views({ ...NEW, ...wrong }, text);
  for (const other of ["b:-", "b:b"]) {
    assertEquals(judged(3, [...views(NEW, "a:-"), ...rotten(other)]), "contradicted");
    assertEquals(judged(3, [...rotten(other), ...views(NEW, "a:-"), ...views(OLD, "c:-")]), "contradicted");
    assertEquals(judged(3, [...rotten(other), ...views(NEW, "a:- c:-")]), "state 2");
  }
  assertEquals(judged(5, [...views(NEW, "a:-"), ...rotten("b:-"), ...views(OLD, "c:- d:- e:-")]), "contradicted");
  assertEquals(judged(5, [...views(NEW, "a:- c:-"), ...rotten("b:- d:-"), ...views(OLD, "e:-")]), "contradicted");
  // What is not the newest any more is nobody's answer.
  assertEquals(judged(3, [...views(NEW, "a:-"), ...views({ ...OLD, ...wrong }, "b:-")]), "state 2");
  const seen = [...rotten("a:-"), ...views(NEW, "b:- c:-")];
  const judgement = judgeRead(new QuorumSystem(nodesOf(3)), seen);
  assert(judgement?.type === "state");
  assertEquals(judgement.snapshot, NEW);
}

Deno.test("a client's value with all three votes is read as chosen, with its certificate", () => {
  const vote: Vote = { ballot: STANDING, kind: "fast", value: directValue("x") };
  const seen = nodesOf(3).map((from) => ({ from, snapshot: NEW, vote }));
  const judgement = judgeRead(new QuorumSystem(nodesOf(3)), seen);
  assert(judgement?.type === "chosen");
  assertEquals(judgement.chosen.certificate, certificateOf(2, directValue("x"), "open", "abc"));
});
