import { assert, assertEquals } from "@std/assert";
import { type ImportPick, pickImport, pickSealed } from "../../src/members/pick_import.ts";
import type { ImportVote } from "../../src/members/message.ts";
import { type Ballot, STANDING } from "../../src/paxos/ballot.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import { ballotOf, fast, nodesOf, snapshotAfter, subsets, valueOf, voteFor } from "../paxos/samples.ts";
import { AFTER_A, EMPTY, epochsOf, reportOf } from "./samples.ts";

const NOBODY: ReadonlySet<string> = new Set();
const V = (node: string, n = 1) => voteFor(valueOf(node, n));

function show(pick: ImportPick): string {
  if (pick.type === "more") return "more";
  const at = `${pick.base.instance}`;
  if (pick.type === "forced") return `forced ${pick.value.id} at ${at}`;
  return `free at ${at}${pick.collided.map(({ id }) => ` ${id}`).join("")}`;
}

function importVote(ballot: Ballot, value = valueOf("d"), base = EMPTY): ImportVote {
  return { ballot, kind: ballot[0] === 0 ? "fast" : "classic", base, value };
}

const said = (from: string, vote: ImportVote | null = null, first: number | null = null) => ({ from, vote, first });

Deno.test("sealed reports: fewer than a phase-1 quorum of e's members settle nothing", () => {
  assertEquals(show(pickSealed(epochsOf(), [])), "more");
  assertEquals(show(pickSealed(epochsOf(), [reportOf("a", EMPTY, V("a"))])), "more");
  // d is no member of e.
  assertEquals(show(pickSealed(epochsOf(), [reportOf("a", EMPTY), reportOf("d", EMPTY)])), "more");
});

Deno.test("sealed reports: no record counts as the first instance of e without a vote", () => {
  assertEquals(show(pickSealed(epochsOf(), [reportOf("a", null), reportOf("b", null)])), "free at 1");
  assertEquals(show(pickSealed(epochsOf(), [reportOf("a", null), reportOf("b", EMPTY, V("a"))])), "forced a/v/1 at 1");
  assertEquals(show(pickSealed(epochsOf(), [reportOf("a", null), reportOf("b", AFTER_A)])), "free at 2");
});

Deno.test("sealed reports: who has no record has none that is newer, wherever fresh keys begin in e", () => {
  const epochs = epochsOf();
  const late = { ...epochs, old: { ...epochs.old, first: 100 } };
  assertEquals(show(pickSealed(late, [reportOf("a", null), reportOf("b", AFTER_A)])), "free at 2");
  assertEquals(show(pickSealed(late, [reportOf("a", null), reportOf("b", AFTER_A, V("a", 2))])), "forced a/v/2 at 2");
  assertEquals(show(pickSealed(late, [reportOf("a", null), reportOf("b", null)])), "free at 100");
});

Deno.test("sealed reports: an import into e that nobody has heard the end of may be decided, so its vote is followed", () => {
  const entering = (from: string, vote: ImportVote) => ({ ...reportOf(from, null), importVote: vote });
  const low = entering("a", importVote(ballotOf(1, "a"), valueOf("a"), AFTER_A));
  const high = entering("b", importVote(ballotOf(2, "b"), valueOf("b")));
  assertEquals(show(pickSealed(epochsOf(), [low, reportOf("c", null)])), "forced a/v/1 at 2");
  // The ballot says which, not the instance of its base.
  assertEquals(show(pickSealed(epochsOf(), [low, high])), "forced b/v/1 at 1");
  // A record of e is where the import has led to.
  assertEquals(show(pickSealed(epochsOf(), [high, reportOf("c", AFTER_A)])), "free at 2");
  assertEquals(show(pickSealed(epochsOf(), [low])), "more");
});

Deno.test("sealed reports: the highest instance counts, and votes below it are over", () => {
  const low = reportOf("b", EMPTY, V("b"));
  assertEquals(show(pickSealed(epochsOf(), [low, reportOf("a", AFTER_A)])), "free at 2");
  assertEquals(show(pickSealed(epochsOf(), [low, reportOf("a", AFTER_A, V("a", 2))])), "forced a/v/2 at 2");
});

Deno.test("sealed reports: who is sealed has promised; whose proposer is not may have decided", () => {
  // b has voted otherwise, and a, which is sealed, never decides its value any more.
  assertEquals(
    show(pickSealed(epochsOf(), [reportOf("a", EMPTY, V("a")), reportOf("b", EMPTY, V("b"))])),
    "free at 1 a/v/1 b/v/1",
  );
  // c is not sealed, and may decide its value with b's vote.
  assertEquals(
    show(pickSealed(epochsOf(), [reportOf("a", EMPTY, V("a")), reportOf("b", EMPTY, V("c"))])),
    "forced c/v/1 at 1",
  );
});

Deno.test("sealed reports: two states of the newest instance settle nothing, unless a quorum has the same", () => {
  const other = snapshotAfter(fast("c"), [valueOf("b")], null);
  assertEquals(show(pickSealed(epochsOf(), [reportOf("a", AFTER_A), reportOf("b", other)])), "more");
  const agreed = [reportOf("a", AFTER_A), reportOf("b", other), reportOf("c", AFTER_A)];
  assertEquals(show(pickSealed(epochsOf(), agreed)), "free at 2");
});

Deno.test("sealed reports: no set of them is ambiguous, whoever voted for what, n = 3 to 5", () => {
  for (const n of [3, 4, 5]) {
    const nodes = nodesOf(n);
    const epochs = epochsOf(null, "abd", nodes.join(""));
    const { sizes } = new QuorumSystem(nodes);
    const proposers = [null, ...nodes.slice(0, 3)];
    for (const some of subsets(nodes)) {
      if (some.length < sizes.classic) continue;
      for (let code = 0; code < proposers.length ** some.length; code++) {
        const reports = some.map((from, i) => {
          const by = proposers[Math.floor(code / proposers.length ** i) % proposers.length]!;
          return reportOf(from, EMPTY, by === null ? null : V(by));
        });
        // By R1 a vote for a member's value is there only if the member voted for it.
        const isReal = reports.every(({ from, vote }) =>
          reports.every((other) => other.vote?.value.proposer !== from || vote?.value.proposer === from)
        );
        if (isReal) assert(pickSealed(epochs, reports).type !== "more");
      }
    }
  }
});

Deno.test("import: without promises of a phase-1 quorum of e+1 nothing is proposed", () => {
  const reports = [reportOf("a", EMPTY), reportOf("b", EMPTY)];
  assertEquals(show(pickImport(epochsOf(), [said("a")], reports, NOBODY)), "more");
  assertEquals(show(pickImport(epochsOf(), [said("a"), said("c")], reports, NOBODY)), "more");
  assertEquals(show(pickImport(epochsOf(), [said("a"), said("d")], reports, NOBODY)), "free at 1");
  assertEquals(show(pickImport(epochsOf(), [said("a"), said("d")], reports.slice(1), NOBODY)), "more");
});

Deno.test("import: the vote of the highest ballot is followed, its base too, whatever the reports say", () => {
  const reports = [reportOf("a", EMPTY, V("a")), reportOf("b", EMPTY, V("a"))];
  const promises = [
    said("a", importVote(ballotOf(1, "a"), valueOf("d"), AFTER_A)),
    said("b", importVote(ballotOf(2, "b"))),
  ];
  assertEquals(show(pickImport(epochsOf(), promises, reports, NOBODY)), "forced d/v/1 at 1");
  assertEquals(show(pickImport(epochsOf(), promises.toReversed(), [], NOBODY)), "forced d/v/1 at 1");
});

Deno.test("import: one promise that says e is retired is enough to build on nothing of e", () => {
  const reports = [reportOf("a", AFTER_A), reportOf("b", AFTER_A)];
  assertEquals(show(pickImport(epochsOf(), [said("a"), said("d", null, 8)], reports, NOBODY)), "free at 8");
  assertEquals(show(pickImport(epochsOf(8), [said("a"), said("d")], reports, NOBODY)), "free at 8");
});

Deno.test("import: votes of the fresh ballot are picked from as those of every fast ballot, with e+1's sizes", () => {
  const base = { ...EMPTY, instance: 8 };
  const fresh = (node: string) => importVote(STANDING, valueOf(node), base);
  const one = [said("a", null, 8), said("d", fresh("d"), 8)];
  assertEquals(show(pickImport(epochsOf(8), one, [], NOBODY)), "forced d/v/1 at 8");
  const two = [said("a", fresh("a"), 8), said("d", fresh("d"), 8)];
  assertEquals(show(pickImport(epochsOf(8), two, [], NOBODY)), "free at 8 a/v/1 d/v/1");
  // b's own vote is its own value's (R1), and b has promised nothing: it may have decided with a.
  const outside = [said("a", fresh("b"), 8), said("d", fresh("d"), 8)];
  assertEquals(show(pickImport(epochsOf(8), outside, [], NOBODY)), "forced b/v/1 at 8");
});

Deno.test("import: a claim that somebody refuses gives way where a quorum does not force it", () => {
  const vote = importVote(ballotOf(1, "a"));
  const refused = new Set([`${vote.value.id} on 1 ${EMPTY.stateHash}`]);
  const promises = [said("a", vote), said("b"), said("d")];
  const reports = [reportOf("a", null), reportOf("b", null)];
  assertEquals(show(pickImport(epochsOf(), promises, reports, NOBODY)), "forced d/v/1 at 1");
  assertEquals(show(pickImport(epochsOf(), promises, reports, refused)), "free at 1");
  // On another base it is another thing.
  const other = new Set([`${vote.value.id} on 2 ${EMPTY.stateHash}`]);
  assertEquals(show(pickImport(epochsOf(), promises, reports, other)), "forced d/v/1 at 1");
});
