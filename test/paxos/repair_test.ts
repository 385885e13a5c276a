/** How far a record that was lost may have voted, and what may take its place. */
import { assertEquals } from "@std/assert";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import { freshRecord, sentSnapshot, snapshotOf } from "../../src/paxos/record.ts";
import { lastVoted, recordAnew, type Standing, stateAbove } from "../../src/paxos/repair.ts";
import { fast, machine } from "./samples.ts";

const quorumsOf = (n: number) => new QuorumSystem([..."abcdefghi".slice(0, n)]);
const opening = sentSnapshot(machine, snapshotOf(freshRecord(machine, fast("c"))));
const at = (from: string, instance: number, stateHash = opening.stateHash): Standing => ({
  from,
  snapshot: { ...opening, instance, stateHash },
});

Deno.test("repair: fewer others than a phase-1 quorum tell nothing, and the own record is none of them", () => {
  for (let n = 3; n <= 9; n++) {
    const quorums = quorumsOf(n);
    const [me, ...others] = quorums.members;
    const some = others.slice(0, quorums.sizes.classic).map((from, i) => at(from, 4 + i));
    const newest = 3 + quorums.sizes.classic;
    assertEquals(lastVoted(quorums, me!, some), newest + 1, `${n}`);
    assertEquals(lastVoted(quorums, me!, some.slice(1)), null, `${n}`);
    assertEquals(lastVoted(quorums, me!, [...some.slice(1), at(me!, 20)]), null, `${n}`);
    assertEquals(lastVoted(quorums, me!, [...some, at(me!, 20)]), newest + 1, `${n}`);
    assertEquals(lastVoted(quorums, me!, [...some.slice(1), some[1]!, at("z", 1)]), null, `${n}`);
  }
  assertEquals(lastVoted(quorumsOf(1), "a", [at("a", 3)]), null);
});

/** Its record stood at J once J−1 was decided: every quorum for that shares a member with every set of others that is asked. */
Deno.test("repair: whoever decided with the lost record is among those that are asked, exhaustively", () => {
  for (let n = 3; n <= 9; n++) {
    const quorums = quorumsOf(n);
    const me = quorums.members[0]!;
    const sets = Array.from({ length: 2 ** n }, (_, mask) => quorums.members.filter((_, i) => (mask >> i & 1) === 1));
    const deciding = sets.filter((set) => quorums.isClassic(new Set(set)));
    const asked = sets.filter((set) => !set.includes(me) && quorums.isPhase1(new Set(set)));
    // The smallest of each are enough: what is larger shares no less.
    const smallest = (some: string[][]) => some.filter(({ length }) => length === quorums.sizes.classic);
    for (const decided of smallest(deciding)) {
      const others = new Set(decided.filter((member) => member !== me));
      assertEquals(smallest(asked).every((set) => set.some((member) => others.has(member))), true, `${n}`);
    }
  }
});

Deno.test("repair: a state is taken that enough others have at one instance above all votes, and none has another of", () => {
  const quorums = quorumsOf(5);
  const three = (instance: number) => ["b", "c", "d"].map((from) => at(from, instance));
  assertEquals(stateAbove(quorums, "a", 4, three(4)), null);
  assertEquals(stateAbove(quorums, "a", 4, three(5))?.instance, 5);
  assertEquals(stateAbove(quorums, "a", 4, [...three(5), ...three(6)])?.instance, 6);
  assertEquals(stateAbove(quorums, "a", 4, [at("b", 6), at("c", 6), at("a", 6)]), null);
  assertEquals(stateAbove(quorums, "a", 4, [at("b", 6), at("c", 6), at("c", 6), at("d", 7)]), null);
  assertEquals(stateAbove(quorums, "a", 4, [...three(5), at("e", 5, "other")]), null);
  assertEquals(stateAbove(quorums, "a", 4, [...three(5), ...three(6), at("e", 6, "other")])?.instance, 5);
});

Deno.test("repair: the record has the state, no vote and no promise; what its hashes are not of is refused", () => {
  const record = recordAnew(machine, 0, { ...opening, instance: 7 });
  assertEquals([record?.instance, record?.vote, record?.promised, record?.stopped], [7, null, [0, "", 0], undefined]);
  assertEquals(recordAnew(machine, 0, { ...opening, stateHash: "other" }), null);
  assertEquals(recordAnew(machine, 0, { ...opening, contentHash: "other" }), null);
});
