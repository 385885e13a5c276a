import { assert, assertEquals, assertNotEquals, assertStrictEquals } from "@std/assert";
import { isUnimported, unimported } from "../../src/members/epoch.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { AcceptorMessage } from "../../src/paxos/message.ts";
import {
  ballotOf,
  certificateOf,
  fast,
  KEY,
  logOf,
  machine,
  recordAt,
  snapshotAfter,
  valueOf,
  voteFor,
} from "../paxos/samples.ts";
import { accept, AFTER_A, EMPTY, epochsOf, importedOf, learnImport, Member, prepare, voted } from "./samples.ts";

const inE = { key: KEY, epoch: 0, instance: 1 } as const;
const OF_E: readonly AcceptorMessage[] = [
  { ...inE, type: "read" },
  { ...inE, type: "accept", ballot: STANDING, value: valueOf("b") },
  { ...inE, type: "prepare", ballot: ballotOf(1, "b") },
  { ...inE, type: "decide", certificate: certificateOf(1, valueOf("a"), "inclusive", "ab") },
  { ...inE, type: "learn", certificate: certificateOf(1, valueOf("a"), "classic", "ab") },
  { ...inE, type: "learn", instance: 2, certificate: null, snapshot: AFTER_A },
  { ...inE, type: "lapsed?", leases: [] },
];
const READ = { type: "read", key: KEY, epoch: 1, instance: 0 } as const;

Deno.test("member: until it is sealed it is an acceptor of e like others, and takes nothing of e+1", () => {
  const member = new Member("b", unimported(null), epochsOf(), false);
  const reply = member.get({ ...inE, type: "accept", ballot: STANDING, value: valueOf("a") }, "a");
  assertEquals(reply.type, "accepted");
  assert(isUnimported(member.record) && member.record.old?.vote?.value.id === valueOf("a").id);
  const before = member.record;
  for (const message of [READ, prepare("a"), accept("a")]) {
    assertEquals(member.get(message, "a"), { type: "unsealed", epoch: 1 });
    assertStrictEquals(member.record, before);
  }
});

Deno.test("member: sealed, it answers moved to every message of e, reads too, and its record of e never changes", () => {
  for (const message of OF_E) {
    const member = new Member("a", unimported(voted()));
    const before = member.record;
    assertEquals(member.get(message, "b"), { type: "moved", epoch: 1 }, message.type);
    assertStrictEquals(member.record, before);
  }
});

Deno.test("member: its sealed report is its record of e, or that it had none, whatever is promised or voted in e+1", () => {
  const member = new Member("b", unimported(voted()));
  const report = { snapshot: EMPTY, vote: voted().vote };
  assertEquals(member.get(READ), { type: "unimported", promised: STANDING, vote: null, first: null, report });
  const promise = member.get(prepare("a"), "a");
  assert(promise.type === "import-promise");
  assertEquals(promise.report, report);
  assertEquals(member.get(accept("a"), "a").type, "import-accepted");
  const reply = member.get(READ);
  assert(reply.type === "unimported");
  assertEquals(reply.report, report);
  const none = new Member("b").get(READ);
  assert(none.type === "unimported");
  assertEquals(none.report, { snapshot: null, vote: null });
});

Deno.test("member: who was no member of e reports nothing, nor who has stopped, nor anybody once e is retired", () => {
  const members = [
    new Member("d"),
    new Member("a", unimported({ ...voted(), stopped: "x" })),
    new Member("a", unimported(voted()), epochsOf(7)),
  ];
  for (const member of members) {
    const reply = member.get(READ);
    assert(reply.type === "unimported");
    assertEquals(reply.report, null);
  }
  assertEquals(new Member("d", unimported(null), epochsOf(), false).get(OF_E[1]!, "b"), {
    type: "rejected",
    reason: "no member of this epoch",
  });
});

Deno.test("member: one that leaves gives its report, and takes no part in an import", () => {
  const member = new Member("c", unimported(voted()));
  const reply = member.get(READ);
  assert(reply.type === "unimported" && reply.report?.vote?.value.id === valueOf("a").id);
  for (const message of [prepare("a"), accept("a"), learnImport("ab", "a")]) {
    assertEquals(member.get(message, "a"), { type: "rejected", reason: "no member of this epoch" });
  }
});

Deno.test("member: an epoch that is neither e nor e+1 is refused", () => {
  const member = new Member("a");
  assertEquals(member.get({ ...READ, epoch: 2 }), { type: "rejected", reason: "another epoch" });
  assertEquals(member.get({ ...prepare("a"), epoch: 0 }, "a"), { type: "rejected", reason: "another epoch" });
});

Deno.test("import: prepared and proposed by its owner alone, a member of e+1, in an explicit ballot", () => {
  for (const from of ["", "b", "c"]) {
    const member = new Member("a");
    assertEquals(member.get(prepare("d"), from).type, "rejected");
    assertEquals(member.get(accept("d"), from).type, "rejected");
  }
  const member = new Member("a");
  assertEquals(member.get(prepare("c"), "c").type, "rejected");
  assertEquals(member.get({ type: "import-prepare", key: KEY, epoch: 1, ballot: STANDING }, "").type, "rejected");
  assertEquals(member.get({ ...accept("d"), base: { ...EMPTY, stateHash: "another" } } as never, "d"), {
    type: "rejected",
    reason: "the base's hash is not its state's",
  });
  assertEquals(member.record, unimported(null));
});

Deno.test("import: a promise never sinks, one vote in a ballot, and what is repeated gets its first answer", () => {
  const member = new Member("a");
  const promise = member.get(prepare("d", 2), "d");
  assertEquals(promise.type, "import-promise");
  assertEquals(member.get(prepare("d", 2), "d"), promise);
  assertEquals(member.get(prepare("b", 1), "b").type, "import-refused");
  assertEquals(member.get(accept("b", 1), "b").type, "import-refused");
  const accepted = member.get(accept("d", 2), "d");
  assertEquals(accepted, { type: "import-accepted", ballot: ballotOf(2, "d"), valueId: valueOf("d").id });
  assertEquals(member.get(accept("d", 2), "d"), accepted);
  assertEquals(member.get(prepare("d", 2), "d").type, "import-refused");
  assertEquals(member.get(accept("d", 2, AFTER_A), "d"), { type: "rejected", reason: "two values in an import" });
  const higher = member.get(prepare("b", 3), "b");
  assert(higher.type === "import-promise" && higher.vote?.base.instance === 1);
});

Deno.test("import: a twin of the owner gets the vote that was cast before it", () => {
  const member = new Member("a");
  member.get(accept("a", 1), "a");
  const reply = member.get(accept("a", 1, AFTER_A), "a");
  assert(reply.type === "import-refused" && reply.vote?.base.instance === 1);
});

Deno.test("import: a claim is voted for only once it was seen to run out", () => {
  const value = valueOf("a", 1, { commands: [{ subject: "s", id: "l", born: 1, op: { type: "lease" } }] });
  const base = snapshotAfter(fast("c"), [value], null);
  const claim = valueOf("d", 1, { claims: [{ id: "l", by: value.id }] });
  const member = new Member("a");
  const early = member.get(accept("d", 1, base, claim), "d");
  assert(early.type === "not-lapsed" && early.remainingMs === 1_010);
  assertEquals(member.record, unimported(null));
  const seen = { [`l@${value.id}`]: 1_010 };
  assertEquals(member.get(accept("d", 1, base, claim), "d", seen).type, "import-accepted");
});

Deno.test("import: who voted for it applies it by its certificate, and its mode names a member", () => {
  const member = new Member("a");
  member.get(accept("d"), "d");
  assertEquals(member.get(learnImport("ad", "d")), { type: "learned", instance: 2 });
  const record = importedOf(member);
  assertEquals([record.epoch, record.instance, record.promised, record.vote], [1, 2, STANDING, null]);
  assertEquals(logOf(record.state), ["d1"]);
  // c coordinated, and is no member any more.
  assertEquals(record.state.mode, fast("d"));
  assertEquals(record.stateHash, machine.hash(record.state));
});

Deno.test("import: a certificate of another base, value, instance or too few moves nobody on", () => {
  const other = { ...EMPTY, stateHash: "another" };
  for (
    const message of [
      learnImport("ad", "d", 1, other),
      learnImport("ad", "d", 1, AFTER_A),
      learnImport("ad", "d", 1, EMPTY, valueOf("b")),
      learnImport("d", "d"),
      { type: "learn", key: KEY, epoch: 1, instance: 1, certificate: certificateOf(1, valueOf("d"), "classic", "ad") },
    ] as const
  ) {
    const member = new Member("a");
    member.get(accept("d"), "d");
    const before = member.record;
    assertNotEquals(member.get(message, "d").type, "learned");
    assertStrictEquals(member.record, before);
  }
});

Deno.test("import: one that is counted among its voters without a record of that stops the key", () => {
  const member = new Member("a");
  member.get(accept("d", 1), "d");
  const state = snapshotAfter(
    fast("d"),
    [valueOf("d")],
    certificateOf(1, valueOf("d"), "classic", "ab", ballotOf(2, "b")),
  );
  const learn = { type: "learn", key: KEY, epoch: 1, instance: 2, certificate: null, snapshot: state } as const;
  assertEquals(member.get(learn).type, "stopped");
  assertEquals(member.get(READ).type, "stopped");
});

Deno.test("e+1: without a record there is no instance: no vote, no promise, neither behind nor ahead", () => {
  const placed = { key: KEY, epoch: 1, instance: 1 } as const;
  const messages: readonly AcceptorMessage[] = [
    { ...placed, type: "accept", ballot: STANDING, value: valueOf("d") },
    { ...placed, type: "prepare", ballot: ballotOf(1, "d") },
    { ...placed, type: "any", ballot: ballotOf(1, "d"), recovery: "coordinated" },
    { ...placed, type: "decide", certificate: certificateOf(1, valueOf("d"), "inclusive", "ad") },
    // What is nobody's yet: nothing has decided it.
    { ...placed, type: "accept", ballot: STANDING, value: valueOf("d"), snapshot: EMPTY },
  ];
  for (const epochs of [epochsOf(), epochsOf(1)]) {
    for (const message of messages) {
      const member = new Member("a", unimported(voted()), epochs);
      const before = member.record;
      assertEquals(member.get(message, "d").type, "unimported", message.type);
      assertStrictEquals(member.record, before);
    }
  }
});

Deno.test("e+1: a state that was decided there is taken over, whatever import the member voted for, and then all is as ever", () => {
  const certificate = certificateOf(1, valueOf("b"), "classic", "bd", ballotOf(2, "b"));
  const state = snapshotAfter(fast("d"), [valueOf("b")], certificate);
  for (const vote of [null, accept("d", 1), accept("d", 1, AFTER_A)]) {
    const member = new Member("a");
    if (vote !== null) member.get(vote, "d");
    const placed = { key: KEY, epoch: 1, instance: 2, snapshot: state } as const;
    const reply = member.get({ ...placed, type: "accept", ballot: STANDING, value: valueOf("d", 2) }, "d");
    assertEquals(reply.type, "accepted");
    const before = importedOf(member);
    assertEquals(before.instance, 2);
    // An import is over, in both its messages.
    for (const late of [prepare("b", 9), accept("b", 9)]) {
      const ahead = member.get(late, "b");
      assert(ahead.type === "ahead" && ahead.snapshot.instance === 2);
      assertStrictEquals(member.record, before);
    }
    assertEquals(member.get(OF_E[0]!), { type: "moved", epoch: 1 });
  }
  const wrong = { ...state, stateHash: "another" };
  const learn = { type: "learn", key: KEY, epoch: 1, instance: 2, certificate: null, snapshot: wrong } as const;
  assertEquals(new Member("a").get(learn).type, "rejected");
});

Deno.test("fresh: once e is retired a key without a record has a standing ballot, which is marked as that", () => {
  const freshAccept = (value = valueOf("d"), instance = 8) =>
    ({
      type: "fresh",
      key: KEY,
      epoch: 1,
      message: { type: "accept", key: KEY, epoch: 1, instance, ballot: STANDING, value },
    }) as const;
  // Not known to be retired; at another instance; in an explicit ballot.
  assertEquals(new Member("a").get(freshAccept(), "d").type, "unimported");
  assertEquals(
    new Member("a", unimported(null), epochsOf(8)).get(freshAccept(valueOf("d"), 7), "d").type,
    "unimported",
  );

  const member = new Member("d", unimported(null), epochsOf(8));
  const reply = member.get(freshAccept(), "d");
  assert(reply.type === "fresh" && reply.reply.type === "accepted");
  assert(isUnimported(member.record) && member.record.vote?.base.instance === 8);
  const certificate = certificateOf(8, valueOf("d"), "inclusive", "ad");
  const decide = { type: "decide", key: KEY, epoch: 1, instance: 8, certificate } as const;
  // Not without the mark.
  assertEquals(member.get(decide, "d").type, "unimported");
  const decided = member.get({ type: "fresh", key: KEY, epoch: 1, message: decide }, "d");
  assert(decided.type === "fresh" && decided.reply.type === "decided");
  assertEquals(importedOf(member).instance, 9);

  // A record of e+1 may have that number too: it takes no part in what is fresh.
  const imported = new Member(
    "a",
    { ...recordAt(snapshotAfter(fast("d"), [valueOf("b")], null)), epoch: 1 },
    epochsOf(2),
  );
  assertEquals(imported.get(freshAccept(valueOf("d"), 2), "d").type, "ahead");
});

Deno.test("fresh: its ballot is one of the import: a promise or vote above it ends it, and is told of it", () => {
  const message = { type: "accept", key: KEY, epoch: 1, instance: 8, ballot: STANDING, value: valueOf("d") } as const;
  const fresh = { type: "fresh", key: KEY, epoch: 1, message } as const;
  const promised = new Member("a", unimported(null), epochsOf(8));
  promised.get(prepare("b"), "b");
  const refused = promised.get(fresh, "d");
  assert(refused.type === "fresh" && refused.reply.type === "refused");
  const voted = new Member("a", unimported(null), epochsOf(8));
  voted.get(accept("b"), "b");
  assertEquals(voted.get(fresh, "d").type, "unimported");
  const told = new Member("a", unimported(null), epochsOf(8));
  told.get(fresh, "d");
  // Another's value meets the vote, as it would in a record: the base is not told, since it is everybody's.
  const met = told.get({ ...fresh, message: { ...message, value: valueOf("b") } }, "b");
  assert(met.type === "fresh" && met.reply.type === "refused");
  assertEquals(met.reply.vote, voteFor(valueOf("d")));
  const promise = told.get(prepare("b"), "b");
  assert(promise.type === "import-promise");
  assertEquals([promise.first, promise.vote?.base.instance, promise.vote?.value.id], [8, 8, valueOf("d").id]);
});
