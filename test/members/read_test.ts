import { assertEquals } from "@std/assert";
import { judgeMemberRead, type MemberView } from "../../src/members/read.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { Vote } from "../../src/paxos/message.ts";
import { ballotOf, fast, snapshotAfter, valueOf, voteFor } from "../paxos/samples.ts";
import { AFTER_A, EMPTY, epochsOf, reportOf } from "./samples.ts";

function unimported(from: string, more: Partial<MemberView> = {}): MemberView {
  return { from, promised: STANDING, vote: null, first: null, report: null, ...more } as MemberView;
}

function reporting(from: string, snapshot = EMPTY, vote: Vote | null = null): MemberView {
  const { from: _, ...report } = reportOf(from, snapshot, vote);
  return unimported(from, { report });
}

function judged(views: readonly MemberView[], first: number | null = null): string {
  const judgement = judgeMemberRead(epochsOf(first), views);
  if (judgement === null) return "more";
  if (judgement.type === "state") return `state ${judgement.snapshot.instance}`;
  if (judgement.type === "chosen") return `chosen ${judgement.chosen.value.id}`;
  return judgement.type;
}

const RECORD = snapshotAfter(fast("d"), [valueOf("a"), valueOf("b")], null);

Deno.test("read: members of e+1 and sealed reports of e must be a quorum both", () => {
  assertEquals(judged([]), "more");
  assertEquals(judged([reporting("a")]), "more");
  assertEquals(judged([unimported("d"), reporting("a")]), "more");
  assertEquals(judged([reporting("c"), reporting("a")]), "more");
  assertEquals(judged([reporting("a"), reporting("b")]), "state 1");
  assertEquals(judged([unimported("d"), reporting("a"), reporting("c", AFTER_A)]), "state 2");
});

Deno.test("read: what the reports force has to be imported first", () => {
  assertEquals(judged([reporting("a", EMPTY, voteFor(valueOf("a"))), reporting("b")]), "import");
});

Deno.test("read: a vote in an import is finished, whatever the reports say", () => {
  const vote = { ballot: ballotOf(1, "d"), kind: "classic", base: EMPTY, value: valueOf("d") } as const;
  assertEquals(judged([reporting("a"), reporting("b"), unimported("d", { vote, promised: vote.ballot })]), "import");
});

Deno.test("read: a record of e+1 counts, and who has none has no vote beside it and no state", () => {
  const record = { from: "a", snapshot: RECORD, vote: null };
  const vote = { ballot: ballotOf(1, "d"), kind: "classic", base: EMPTY, value: valueOf("d") } as const;
  assertEquals(judged([record, unimported("d", { vote })]), "state 3");
  assertEquals(judged([record, unimported("d", { first: 9 })], 9), "state 3");
  assertEquals(judged([record]), "more");
  // b may have decided with a.
  assertEquals(judged([{ ...record, vote: voteFor(valueOf("b", 3)) }, unimported("d")]), "unsettled");
});

Deno.test("read: a fresh key is read only from members that know that e is retired and have promised nothing", () => {
  const known = (from: string) => unimported(from, { first: 8 });
  assertEquals(judged([known("a"), known("d")], 8), "state 8");
  assertEquals(judged([known("a"), known("d")]), "state 8");
  assertEquals(judged([known("a"), unimported("d")], 8), "import");
  assertEquals(judged([known("a"), unimported("d", { first: 8, promised: ballotOf(1, "a") })], 8), "import");
  // Those that do not know of it still give reports, and these are as true as ever.
  assertEquals(judged([reporting("a"), reporting("b")], 8), "state 1");
});
