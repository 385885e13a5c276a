import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { InvariantError } from "../../src/assert.ts";
import { quorumSizes, QuorumSystem } from "../../src/paxos/quorum.ts";
import { nodesOf, subsets } from "./samples.ts";

/** PROTOCOL.md §2, written out. */
const TABLE = [
  { n: 1, classic: 1, open: 1, inclusive: 1 },
  { n: 3, classic: 2, open: 3, inclusive: 2 },
  { n: 4, classic: 3, open: 3, inclusive: 3 },
  { n: 5, classic: 3, open: 4, inclusive: 3 },
  { n: 6, classic: 4, open: 5, inclusive: 4 },
  { n: 7, classic: 4, open: 6, inclusive: 5 },
  { n: 8, classic: 5, open: 6, inclusive: 5 },
  { n: 9, classic: 5, open: 7, inclusive: 6 },
] as const;

/** Sets of acceptors as bit masks, so that every pair and triple can be tried. */
function quorumMasks(n: number, isQuorum: (set: ReadonlySet<string>) => boolean): number[] {
  const members = nodesOf(n);
  const masks: number[] = [];
  for (let mask = 0; mask < 1 << n; mask++) {
    if (isQuorum(new Set(members.filter((_, i) => (mask >> i & 1) === 1)))) masks.push(mask);
  }
  return masks;
}

function sizeOf(mask: number): number {
  let size = 0;
  for (let rest = mask; rest > 0; rest &= rest - 1) size++;
  return size;
}

/** Others that must have a store on record before it votes. */
const WITNESSES: Readonly<Record<number, number>> = { 1: 0, 3: 2, 4: 2, 5: 3, 6: 4, 7: 5, 8: 5, 9: 6 };

for (const { n, classic, open, inclusive } of TABLE) {
  const quorums = new QuorumSystem(nodesOf(n));

  Deno.test(`n=${n}: sizes are those of the table`, () => {
    assertEquals(quorumSizes(n), {
      f: n - classic,
      classic,
      openFast: open,
      inclusiveFast: inclusive,
      witnesses: WITNESSES[n]!,
    });
  });

  Deno.test(`n=${n}: a second life meets a witness of the first though f stores were lost, and with one fewer would not`, () => {
    const { f, witnesses } = quorumSizes(n);
    const others = 2 ** (n - 1);
    const sets = (size: number) => Array.from({ length: others }, (_, mask) => mask).filter((m) => sizeOf(m) === size);
    const isFound = (size: number) =>
      sets(Math.max(0, f - 1)).every((lost) =>
        sets(size).every((first) => sets(size).every((second) => (first & second & ~lost) !== 0))
      );
    if (n > 1) assertEquals([isFound(witnesses), isFound(witnesses - 1)], [true, false]);
    const [me, ...rest] = nodesOf(n);
    assertEquals(quorums.areWitnesses(new Set(rest.slice(0, witnesses)), me!), true);
    if (n > 1) assertEquals(quorums.areWitnesses(new Set([me!, ...rest.slice(1, witnesses)]), me!), false);
  });

  Deno.test(`n=${n}: every set of acceptors is judged as a naive count judges it`, () => {
    for (const subset of subsets(nodesOf(n))) {
      const set = new Set(subset);
      assertEquals(quorums.isPhase1(set), subset.length >= classic, subset.join());
      assertEquals(quorums.isClassic(set), subset.length >= classic, subset.join());
      assertEquals(quorums.isOpenFast(set), subset.length >= open, subset.join());
      for (const proposer of nodesOf(n)) {
        const naive = subset.includes(proposer) && subset.length >= inclusive;
        assertEquals(quorums.isInclusiveFast(set, proposer), naive, `${subset.join()} of ${proposer}`);
      }
    }
  });

  Deno.test(`n=${n}: any phase-1 quorum meets any classic one`, () => {
    const phase1 = quorumMasks(n, (set) => quorums.isPhase1(set));
    const classics = quorumMasks(n, (set) => quorums.isClassic(set));
    for (const q of phase1) for (const r of classics) assert((q & r) !== 0);
  });

  Deno.test(`n=${n}: any two open fast quorums and any phase-1 quorum share a member (Fast Paxos §3.1)`, () => {
    const phase1 = quorumMasks(n, (set) => quorums.isPhase1(set));
    const fast = quorumMasks(n, (set) => quorums.isOpenFast(set));
    for (const q of phase1) {
      for (const r1 of fast) for (const r2 of fast) assert((q & r1 & r2) !== 0, `${q} ${r1} ${r2}`);
    }
  });

  Deno.test(`n=${n}: f acceptors down leave a phase-1 quorum; one fewer vote than a quorum is none`, () => {
    assert(quorums.isPhase1(new Set(nodesOf(n).slice(quorums.sizes.f))));
    assertFalse(quorums.isPhase1(new Set(nodesOf(n).slice(quorums.sizes.f + 1))));
  });

  Deno.test(`n=${n}: two proposers outside a phase-1 quorum never both have enough votes in it (R3)`, () => {
    const members = nodesOf(n);
    const phase1 = quorumMasks(n, (set) => quorums.isPhase1(set));
    const all = (1 << n) - 1;
    for (const [p, bp] of members.map((_, i) => [i, 1 << i] as const)) {
      for (const [q, bq] of members.map((_, i) => [i, 1 << i] as const)) {
        if (p >= q) continue;
        for (const quorum of phase1.filter((mask) => (mask & (bp | bq)) === 0)) {
          const outside = all & ~quorum;
          // Votes for p's value: those in the quorum, and everybody outside but q, who by R1 voted its own.
          for (let forP = quorum; forP >= 0; forP = forP === 0 ? -1 : (forP - 1) & quorum) {
            const forQ = quorum & ~forP;
            const p1 = sizeOf(forP | outside & ~bq) >= inclusive;
            const q1 = sizeOf(forQ | outside & ~bp) >= inclusive;
            assertFalse(p1 && q1, `Q ${quorum}, ${members[p]} ${forP}, ${members[q]} ${forQ}`);
          }
        }
      }
    }
  });

  Deno.test(`n=${n}: an inclusive quorum and an open one of different values never fit, whatever the quorum saw`, () => {
    // p outside the quorum and an open quorum of another value: the same acceptor would have to vote twice.
    const opens = quorumMasks(n, (set) => quorums.isOpenFast(set));
    for (const [i, p] of nodesOf(n).entries()) {
      const inclusives = quorumMasks(n, (set) => quorums.isInclusiveFast(set, p));
      for (const a of opens) for (const b of inclusives) assert((a & b) !== 0, `${i}: ${a} ${b}`);
    }
  });
}

Deno.test("two acceptors, none, ten and halves are refused", () => {
  for (const n of [0, -1, 2, 10, 2.5, Number.NaN]) assertThrows(() => quorumSizes(n), InvariantError, "acceptors");
  assertThrows(() => new QuorumSystem(["a", "b"]), InvariantError);
  assertThrows(() => new QuorumSystem("abcdefghij".split("")), InvariantError);
});

Deno.test("a member named twice is refused, not counted twice", () => {
  assertThrows(() => new QuorumSystem(["a", "b", "b"]), InvariantError, "distinct");
});

Deno.test("strangers count for nothing, however many", () => {
  const quorums = new QuorumSystem(["a", "b", "c"]);
  const strangers = ["x", "y", "z", "learner"];
  assertFalse(quorums.isPhase1(new Set(["a", ...strangers])));
  assertFalse(quorums.isClassic(new Set(strangers)));
  assertFalse(quorums.isOpenFast(new Set(["a", "b", ...strangers])));
  assertFalse(quorums.isInclusiveFast(new Set(["x", "a", "b"]), "x"));
  assertFalse(quorums.isMember("x"));
  assert(quorums.isClassic(new Set(["a", "b", ...strangers])));
});

Deno.test("an inclusive quorum needs its proposer, and a proposer that is an acceptor", () => {
  const quorums = new QuorumSystem(nodesOf(5));
  assert(quorums.isInclusiveFast(new Set(["a", "b", "c"]), "a"));
  assertFalse(quorums.isInclusiveFast(new Set(["a", "b", "c", "d"]), "e"));
  assertFalse(quorums.isInclusiveFast(new Set(nodesOf(5)), ""));
  assertFalse(quorums.isInclusiveFast(new Set(["a", "b"]), "a"));
});

Deno.test("members are ordered alike however they were listed", () => {
  assertEquals(new QuorumSystem(["c", "a", "b"]).members, ["a", "b", "c"]);
});
