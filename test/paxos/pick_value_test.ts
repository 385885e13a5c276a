import { assert, assertEquals, assertThrows } from "@std/assert";
import { InvariantError } from "../../src/assert.ts";
import { type NodeId, STANDING, STANDING_RECOVERY } from "../../src/paxos/ballot.ts";
import type { Report, Value, VoteKind } from "../../src/paxos/message.ts";
import { type Pick, pickAvoiding, pickValue } from "../../src/paxos/pick_value.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import { ballotOf, directValue, nodesOf, reportsOf, subsets, valueOf, voteFor } from "./samples.ts";

function systemOf(n: number): QuorumSystem {
  return new QuorumSystem(nodesOf(n));
}

function all(reports: readonly Report[]): ReadonlySet<NodeId> {
  return new Set(reports.map(({ from }) => from));
}

/** `"free"`, `"free a,b"`, `"forced a"` or `"ambiguous"`, values by the name `reportsOf` gives them. */
function show(pick: Pick): string {
  const name = (value: Value) => value.proposer === "" ? value.id : value.proposer;
  switch (pick.type) {
    case "free":
      return pick.collided.length === 0 ? "free" : `free ${pick.collided.map(name).join()}`;
    case "forced":
      return `forced ${name(pick.value)}`;
    case "ambiguous":
      return "ambiguous";
  }
}

function picked(n: number, text: string, promised: string | "all" = "all", kind: VoteKind = "fast"): string {
  const ballot = kind === "uncoordinated" ? STANDING_RECOVERY : STANDING;
  const reports = reportsOf(text, ballot, kind);
  return show(pickValue(systemOf(n), reports, promised === "all" ? all(reports) : new Set(promised.split(""))));
}

Deno.test("rule 1: nobody voted, so the pick is free", () => {
  assertEquals(picked(3, "a:- b:-"), "free");
});

Deno.test("rule 1: a classic vote in the highest ballot forces its value, one vote or many", () => {
  const classic = reportsOf("a:a", ballotOf(2, "a"));
  const below = [...reportsOf("b:b c:b"), ...classic];
  assertEquals(show(pickValue(systemOf(3), below, all(below))), "forced a");
});

Deno.test("rule 1: the highest ballot counts, compared in full: n, then owner, then step", () => {
  for (
    const [low, high] of [
      [STANDING, STANDING_RECOVERY],
      [STANDING_RECOVERY, ballotOf(1, "a")],
      [ballotOf(1, "a"), ballotOf(1, "b")],
      [ballotOf(1, "c"), ballotOf(2, "a")],
    ] as const
  ) {
    const reports = [
      { from: "a", vote: voteFor(valueOf("a"), low, "classic") },
      { from: "b", vote: voteFor(valueOf("b"), high, "classic") },
    ];
    assertEquals(show(pickValue(systemOf(3), reports, all(reports))), "forced b");
    assertEquals(show(pickValue(systemOf(3), reports.toReversed(), all(reports))), "forced b");
  }
});

Deno.test("rule 2: one value at the highest ballot is the pick, however few voted for it", () => {
  assertEquals(picked(5, "a:a b:- c:-"), "forced a");
  assertEquals(picked(5, "a:x b:- c:- d:- e:-"), "forced x");
});

Deno.test("rule 2: also if an uncoordinated ballot took it from a lower one, where others have votes too", () => {
  const reports = [
    ...reportsOf("a:a", STANDING_RECOVERY, "uncoordinated"),
    ...reportsOf("b:b c:b d:b"),
  ];
  assertEquals(show(pickValue(systemOf(5), reports, all(reports))), "forced a");
});

Deno.test("rule 3: a value that those outside can complete to an open quorum is forced", () => {
  // c, outside, may have voted for it: three of n=4 are an open quorum.
  assertEquals(picked(4, "a:x b:x d:d"), "forced x");
  assertEquals(picked(4, "a:x1 b:x2 d:-"), "free x1,x2");
});

Deno.test("rule 3: a value that its proposer outside may still decide is forced", () => {
  // b is outside; with a it would be an inclusive quorum of n=3, and c's value has no more than c.
  assertEquals(picked(3, "a:b c:c"), "forced b");
});

Deno.test("rule 3: a proposer that has promised will never decide", () => {
  // a itself is in the quorum; b, outside, might make it two votes, but a's guard is closed.
  assertEquals(picked(3, "a:a c:c"), "free a,c");
});

Deno.test("rule 3: an open quorum is there whoever promised", () => {
  assertEquals(picked(4, "a:a b:a c:x"), "forced a");
});

Deno.test("rule 3: an acceptor outside whose own value was voted for has voted for that (R1)", () => {
  // d and e are outside. e's value has a vote, so e voted for it, and x cannot have e's vote: 2 + d is no open quorum.
  assertEquals(picked(5, "a:x b:x c:e"), "forced e");
  assertEquals(picked(4, "a:x b:x c:d"), "free d,x");
  // Without R1's proof, c's own vote for its value leaves d free to have voted x.
  assertEquals(picked(4, "a:x b:x c:c"), "forced x");
});

Deno.test("rule 3: in an uncoordinated ballot a vote proves nothing about its proposer", () => {
  assertEquals(picked(4, "a:x b:x c:d", "all", "uncoordinated"), "forced x");
  // And an inclusive quorum says nothing there: b may have voted, but b cannot decide.
  assertEquals(picked(3, "a:b c:c", "all", "uncoordinated"), "free b,c");
});

Deno.test("rule 3: none choosable is free, with all values of all ballots to batch, in one fixed order", () => {
  const reports = [
    ...reportsOf("c:x2 a:x1", STANDING_RECOVERY, "uncoordinated"),
    ...reportsOf("b:b"),
  ];
  const pick = pickValue(systemOf(5), reports, all(reports));
  assertEquals(show(pick), "free b,x1,x2");
  assertEquals(show(pickValue(systemOf(5), reports.toReversed(), all(reports))), "free b,x1,x2");
});

Deno.test("without promises both of two proposers at n=3 may win: ambiguous, never a guess", () => {
  assertEquals(picked(3, "a:a b:b", ""), "ambiguous");
  assertEquals(picked(3, "a:a b:b", "a"), "forced b");
  assertEquals(picked(3, "a:a b:b", "ab"), "free a,b");
});

Deno.test("a pick from less than a phase-1 quorum, or with two reports of one acceptor, is a bug of the caller", () => {
  assertThrows(() => picked(5, "a:a b:b"), InvariantError, "phase-1");
  assertThrows(() => picked(3, "a:a a:a b:b"), InvariantError, "one report");
});

Deno.test("strangers make no phase-1 quorum", () => {
  assertThrows(() => picked(3, "a:a y:- z:-"), InvariantError, "phase-1");
});

/** Quorum sizes of PROTOCOL.md §2, as numbers of their own. */
const SIZES: Readonly<Record<number, { phase1: number; open: number; inclusive: number }>> = {
  3: { phase1: 2, open: 3, inclusive: 2 },
  4: { phase1: 3, open: 3, inclusive: 3 },
  5: { phase1: 3, open: 4, inclusive: 3 },
  6: { phase1: 4, open: 5, inclusive: 4 },
  7: { phase1: 4, open: 6, inclusive: 5 },
};

type Votes = Readonly<Record<NodeId, Value | null>>;

function* assignments(
  members: readonly NodeId[],
  values: readonly (Value | null)[],
): Generator<Record<NodeId, Value | null>> {
  const [first, ...rest] = members;
  if (first === undefined) return yield {};
  for (const value of values) for (const others of assignments(rest, values)) yield { [first]: value, ...others };
}

/** R1: a vote for p's value is there only where p voted for it, as far as p's vote is in `votes`. */
function keepsR1(votes: Votes): boolean {
  return Object.values(votes).every((value) => {
    if (value === null || value.proposer === "") return true;
    const own = votes[value.proposer];
    return own === undefined || own === value;
  });
}

/** Every value that some way the acceptors outside voted, or will vote, has chosen or may yet choose. */
function naiveChoosable(
  n: number,
  seen: Votes,
  values: readonly Value[],
  closed: (proposer: NodeId) => boolean,
  kind: VoteKind,
): Set<string> {
  const { open, inclusive } = SIZES[n]!;
  const outside = nodesOf(n).filter((node) => seen[node] === undefined);
  const choosable = new Set<string>();
  for (const unseen of assignments(outside, [null, ...values])) {
    const votes = { ...seen, ...unseen };
    if (kind === "fast" && !keepsR1(votes)) continue;
    for (const value of values) {
      const voters = nodesOf(n).filter((node) => votes[node] === value);
      const byProposer = kind === "fast" && value.proposer !== "" && voters.includes(value.proposer) &&
        !closed(value.proposer) && voters.length >= inclusive;
      if (voters.length >= open || byProposer) choosable.add(value.id);
    }
  }
  return choosable;
}

type Sweep = { readonly cases: number; readonly picks: Readonly<Record<Pick["type"], number>> };

/** Every phase-1 quorum, every assignment of votes to it that R1 allows; `promised` of the quorum holds back. */
function sweep(
  n: number,
  values: readonly Value[],
  kind: VoteKind,
  promisedOf: (quorum: readonly NodeId[]) => readonly ReadonlySet<NodeId>[],
  admits: (seen: Votes, promised: ReadonlySet<NodeId>) => boolean = () => true,
): Sweep {
  const quorums = systemOf(n);
  const picks = { free: 0, forced: 0, ambiguous: 0 };
  const ballot = kind === "fast" ? STANDING : STANDING_RECOVERY;
  let cases = 0;
  for (const quorum of subsets(nodesOf(n))) {
    if (quorum.length < SIZES[n]!.phase1) continue;
    for (const seen of assignments(quorum, [null, ...values])) {
      if (kind === "fast" && !keepsR1(seen)) continue;
      const reports = quorum.map((from) => {
        const value = seen[from]!;
        return { from, vote: value === null ? null : { ballot, kind, value } };
      });
      const distinct = new Set(Object.values(seen).filter((value) => value !== null)).size;
      for (const promised of promisedOf(quorum)) {
        if (!admits(seen, promised)) continue;
        const choosable = naiveChoosable(n, seen, values, (p) => promised.has(p), kind);
        const pick = pickValue(quorums, reports, promised);
        const what = `n=${n} ${quorum.map((from) => `${from}:${seen[from]?.id ?? "-"}`).join(" ")}`;
        cases++;
        picks[pick.type]++;
        if (pick.type === "forced") {
          assert([...choosable].every((id) => id === pick.value.id), what);
          // With several values seen, a pick is forced for no other reason than that it may be chosen.
          if (distinct > 1) assertEquals([...choosable], [pick.value.id], what);
        } else if (pick.type === "free") {
          // With no vote seen at all, nothing that the unseen can do makes a quorum either.
          assertEquals([...choosable], [], what);
        } else {
          assert(choosable.size > 1, what);
        }
      }
    }
  }
  return { cases, picks };
}

const everybody = (quorum: readonly NodeId[]) => [new Set(quorum)];

for (
  const [n, nodes, direct] of [[3, "abc", 1], [4, "abc", 1], [5, "abc", 1], [6, "abc", 1], [7, "ab", 1]] as const
) {
  const values = [...nodes].map((node) => valueOf(node));
  const all = direct === 1 ? [...values, directValue("x")] : values;
  const who = `${nodes.split("").join(", ")}${direct === 1 ? " and a client" : ""}`;

  Deno.test(`n=${n}, real Promises: with proposers ${who}, the pick is what every completion allows, never ambiguous`, () => {
    const { cases, picks } = sweep(n, all, "fast", everybody);
    assert(cases > 20);
    assertEquals(picks.ambiguous, 0);
    assert(picks.free > 0 && picks.forced > 0);
  });
}

for (const n of [3, 4, 5]) {
  const values = [valueOf("a"), valueOf("b"), directValue("x")];

  Deno.test(`n=${n}, an uncoordinated ballot: only open quorums count, and nobody's vote is known by R1`, () => {
    const { picks } = sweep(n, values, "uncoordinated", everybody);
    assertEquals(picks.ambiguous, 0);
    assert(picks.free > 0 && picks.forced > 0);
  });

  Deno.test(`n=${n}, nobody promised: whatever is not ambiguous is what every completion allows`, () => {
    const { picks } = sweep(n, values, "fast", () => [new Set()]);
    assertEquals(picks.ambiguous > 0, n !== 4);
  });

  Deno.test(`n=${n}, the coordinated shortcut: only the coordinator's own report is a Promise`, () => {
    // The other reports are votes: whoever has none is not among them.
    const onlyVotes = (seen: Votes, promised: ReadonlySet<NodeId>) =>
      Object.entries(seen).every(([node, value]) => value !== null || promised.has(node));
    const { picks } = sweep(n, values, "fast", (quorum) => quorum.map((me) => new Set([me])), onlyVotes);
    assert(picks.free > 0 && picks.forced > 0);
    assertEquals(picks.ambiguous > 0, n === 5);
  });
}

Deno.test("n=3, the coordinated shortcut is never ambiguous, whoever proposes: its own report closes the third guard", () => {
  const values = [...nodesOf(3).map((node) => valueOf(node)), directValue("x")];
  const { cases, picks } = sweep(3, values, "fast", (quorum) => quorum.map((me) => new Set([me])));
  assert(cases > 100);
  assertEquals(picks.ambiguous, 0);
});

Deno.test("n=3, the coordinated shortcut: a coordinator that proposed nothing still leaves no two candidates", () => {
  // Its own report closes its own guard, and of the two others one is seen or known by R1.
  assertEquals(picked(3, "a:a c:b", "c"), "forced b");
  assertEquals(picked(3, "a:a b:b c:-", "c"), "free a,b");
});

const claim: Value = { ...directValue("claim"), claims: [{ id: "hold", by: "v" }] };
const refused = new Set([claim.id]);

function avoiding(n: number, reports: readonly Report[]): string {
  return show(pickAvoiding(systemOf(n), reports, refused));
}

Deno.test("a claim that nobody refused is picked as ever", () => {
  const reports = [{ from: "a", vote: voteFor(claim) }, ...reportsOf("b:- c:- d:-")];
  assertEquals(show(pickAvoiding(systemOf(5), reports, new Set())), "forced claim");
  assertEquals(avoiding(5, reportsOf("a:a b:- c:- d:-")), "forced a");
  assertEquals(avoiding(5, reportsOf("a:- b:- c:-")), "free");
});

Deno.test("a refused claim is avoided if a phase-1 quorum of the promises never saw it", () => {
  const reports = [{ from: "a", vote: voteFor(claim) }, ...reportsOf("b:- c:- d:-")];
  assertEquals(avoiding(5, reports), "free");
});

Deno.test("a refused claim stays forced where every phase-1 quorum forces it", () => {
  const reports = [{ from: "a", vote: voteFor(claim) }, ...reportsOf("b:- c:-")];
  assertEquals(avoiding(5, reports), "forced claim");
});

Deno.test("a refused claim is avoided for another value that a phase-1 quorum forces", () => {
  const reports = [
    { from: "a", vote: voteFor(claim, ballotOf(1, "a")) },
    ...reportsOf("b:b c:b d:b"),
  ];
  assertEquals(avoiding(5, reports), "forced b");
});

Deno.test("what is free without a refused claim does not bring it back into the batch", () => {
  const reports = [
    { from: "a", vote: voteFor(claim, ballotOf(1, "a")) },
    { from: "b", vote: voteFor(claim) },
    ...reportsOf("c:x1 d:-"),
  ];
  assertEquals(avoiding(5, reports), "free x1");
});
