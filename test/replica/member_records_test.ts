/** An acceptor's host while keys go from one epoch into the next: what it keeps, shows and says of each. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import type { SentMessage } from "../../src/members/message.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import type { AcceptorHost } from "../../src/replica/acceptor_host.ts";
import type { EpochPair } from "../../src/replica/epoch_pair.ts";
import { MemberRecords } from "../../src/replica/member_records.ts";
import { MemoryDisk, openMemoryStore } from "../../src/store/memory_ballot_store.ts";
import { ballotOf, fast, KEY, machine, openingOf, recordAt, valueOf, voteFor } from "../paxos/samples.ts";
import { acceptorHost } from "./acceptor_parts.ts";

const MODES = { initial: () => fast("c"), next: () => null };
const RECORD = recordAt(openingOf(fast("c")));

function pairOf(number = 1, before = "abc", members = "abd", first: number | null = null): EpochPair {
  const quorums = new QuorumSystem([...members]);
  return {
    old: { number: number - 1, quorums: new QuorumSystem([...before]), modes: MODES, first: 1 },
    next: { number, quorums },
    first: () => first,
  };
}

async function hostOf(me: string, disk: MemoryDisk, pair = pairOf()): Promise<AcceptorHost> {
  disk.owner?.crash();
  const store = await openMemoryStore({ disk });
  const rules = { me, quorums: pair.next.quorums, machine };
  const members = new MemberRecords(me, machine, pair, () => fast("d"));
  return acceptorHost({ store, rules, members, modeOf: () => fast("d") });
}

function diskWith(record: object): MemoryDisk {
  const disk = new MemoryDisk();
  disk.records.set(KEY, JSON.stringify(record));
  return disk;
}

const PREPARE: SentMessage = { type: "import-prepare", key: KEY, epoch: 1, ballot: ballotOf(1, "b") };
const READ: SentMessage = { type: "read", key: KEY, epoch: 1, instance: 1 };
const accept = (owner = "b", base = openingOf(fast("c"))): SentMessage => {
  return { type: "import-accept", key: KEY, epoch: 1, ballot: ballotOf(1, owner), base, value: valueOf(owner) };
};
const stored = (disk: MemoryDisk) => JSON.parse(disk.records.get(KEY)!);

Deno.test("member records: the record of e stays under promise and vote of an import, and outlives a restart with them", async () => {
  const disk = diskWith({ ...RECORD, vote: voteFor(valueOf("a")) });
  const host = await hostOf("a", disk);
  const promise = await host.handle(PREPARE, "b");
  assert(promise.type === "import-promise");
  assertEquals([promise.vote, promise.report?.vote?.value.id], [null, valueOf("a").id]);
  assertEquals((await host.handle(accept(), "b")).type, "import-accepted");
  assertEquals(stored(disk).importing.vote.value.id, valueOf("b").id);

  const again = await hostOf("a", disk);
  const view = await again.handle(READ, "b");
  assert(view.type === "unimported");
  assertEquals([view.promised, view.vote?.value.id], [ballotOf(1, "b"), valueOf("b").id]);
  assertEquals([view.report?.snapshot?.instance, view.report?.vote], [1, voteFor(valueOf("a"))]);
  const late = await again.handle({ ...PREPARE, ballot: ballotOf(1, "a") }, "a");
  assertEquals(late.type, "import-refused");
});

Deno.test("member records: a read of a key that nobody has used writes nothing, and is no view", async () => {
  const disk = new MemoryDisk();
  const host = await hostOf("d", disk);
  const reply = await host.handle(READ, "b");
  assertEquals([reply.type, host.viewNow(KEY), disk.records.size], ["unimported", null, 0]);
  const { snapshot, vote } = await host.shown(KEY);
  assertEquals([snapshot.instance, vote, disk.records.size], [1, null, 0]);
  await assertRejects(() => host.view(KEY), QuorateError, "not imported it yet");
});

Deno.test("member records: what e has is shown, and proposed on only once it is imported, which whoever listens is told of", async () => {
  const disk = diskWith(RECORD);
  const host = await hostOf("a", disk);
  const moves: number[] = [];
  host.onMove(KEY, (_key, { instance }) => void moves.push(instance));
  host.onUnimported(async () => {
    await host.handle(PREPARE, "b");
    await host.handle(accept(), "b");
    const certificate = {
      instance: 1,
      ballot: ballotOf(1, "b"),
      kind: "classic",
      valueId: valueOf("b").id,
      acceptors: ["a", "b"],
    } as const;
    const baseHash = openingOf(fast("c")).stateHash;
    await host.handle({ type: "import-learn", key: KEY, epoch: 1, certificate, baseHash }, "b");
  });
  assertEquals((await host.shown(KEY)).snapshot.instance, 1);
  assertEquals((await host.view(KEY)).snapshot.instance, 2);
  assertEquals([stored(disk).epoch, stored(disk).importing, moves], [1, undefined, [2]]);
  // An import that comes late is answered with the record, and is no news.
  assertEquals((await host.handle(accept("a"), "a")).type, "ahead");
  assertEquals([moves, host.viewNow(KEY)?.snapshot.instance], [[2], 2]);
});

Deno.test("member records: who leaves gives its report to reads, and votes for nothing; who votes in neither epoch reports nothing", async () => {
  const host = await hostOf("c", diskWith({ ...RECORD, vote: voteFor(valueOf("c")) }));
  const reply = await host.handle(READ, "b");
  assert(reply.type === "unimported");
  assertEquals(reply.report?.vote, voteFor(valueOf("c")));
  for (const message of [PREPARE, accept()]) assertEquals((await host.handle(message, "b")).type, "rejected");
  const snapshot = {
    ...openingOf(fast("c")),
    instance: 5,
    decidedBy: { instance: 4, ballot: STANDING, kind: "open", valueId: "v", acceptors: ["a", "b", "d"] },
  } as const;
  const learn = { type: "learn", key: KEY, epoch: 1, instance: 5, certificate: null, snapshot } as const;
  assertEquals((await host.handle(learn, "b")).type, "rejected");

  const learner = await hostOf("v", diskWith(RECORD));
  assertEquals((await learner.handle(READ, "b")).type, "rejected");
  assertEquals(await learner.handle(learn, "b"), { type: "learned", instance: 5 });
  assertEquals((await learner.view(KEY)).snapshot.instance, 5);
});

Deno.test("member records: a vote in an import into e that was not heard the end of is reported to e+1, and kept", async () => {
  const disk = new MemoryDisk();
  const first = await hostOf("b", disk, pairOf(1, "abc", "abd", 1));
  assertEquals((await first.handle(accept("b", openingOf(fast("d"))), "b")).type, "import-accepted");

  const second = await hostOf("b", disk, pairOf(2, "abd", "abe"));
  const report = async () => {
    const reply = await second.handle({ ...READ, epoch: 2 }, "a");
    assert(reply.type === "unimported");
    return [reply.report?.snapshot, reply.report?.importVote?.value.id, reply.vote];
  };
  assertEquals(await report(), [null, valueOf("b").id, null]);
  await second.handle({ ...PREPARE, epoch: 2, ballot: ballotOf(3, "a") }, "a");
  assertEquals(await report(), [null, valueOf("b").id, null]);
});

Deno.test("member records: a promise of who has nothing of e hides no vote that another cast in the import into e", async () => {
  const host = await hostOf("b", new MemoryDisk(), pairOf(2, "abd", "abe"));
  for (const message of [READ, { ...PREPARE, ballot: ballotOf(1, "a") }, READ]) {
    const reply = await host.handle({ ...message, epoch: 2 }, "a");
    assert(reply.type === "unimported" || reply.type === "import-promise");
    assertEquals(reply.report, { snapshot: null, vote: null });
  }
});

Deno.test("member records: a message of e is refused, and so is every change once the node has left", async () => {
  const disk = diskWith(RECORD);
  const host = await hostOf("a", disk);
  const old = await host.handle({
    type: "accept",
    key: KEY,
    epoch: 0,
    instance: 1,
    ballot: STANDING,
    value: valueOf("b"),
  }, "b");
  assertEquals([old.type, stored(disk)], ["rejected", JSON.parse(JSON.stringify(RECORD))]);
  await host.left();
  await assertRejects(() => host.handle(PREPARE, "b"), QuorateError, "goes over");
  assertEquals(host.viewNow(KEY), null);
});

Deno.test("member records: a fresh key is opened as it is, unless something of the epoch before may be under way here", async () => {
  const openings = async (disk: MemoryDisk, first: number | null = 1, me = "d") => {
    const host = await hostOf(me, disk, pairOf(1, "abc", "abd", first));
    host.onUnimported(() => Promise.reject(new Error("to be imported")));
    return await host.opening(KEY).then(({ isFresh, snapshot, vote, fast }) => [
      isFresh,
      snapshot.instance,
      vote?.value.id ?? null,
      fast?.coordinator,
    ], (error: Error) => error.message);
  };
  assertEquals(await openings(new MemoryDisk()), [true, 1, null, "d"]);
  assertEquals(await openings(new MemoryDisk(), 7), [true, 7, null, "d"]);
  assertEquals(await openings(new MemoryDisk(), null), "to be imported");
  // It owns no ballot, or it has a record of e, or it has promised.
  assertEquals(await openings(new MemoryDisk(), 1, "v"), "to be imported");
  assertEquals(await openings(diskWith({ ...RECORD, vote: voteFor(valueOf("c")) }), 1, "a"), "to be imported");
  const promised = new MemoryDisk();
  await (await hostOf("d", promised)).handle(PREPARE, "b");
  assertEquals(await openings(promised), "to be imported");

  // A vote of the ballot itself, also of before a start, is what it meets there.
  const disk = new MemoryDisk();
  const host = await hostOf("d", disk, pairOf(1, "abc", "abd", 1));
  const value = valueOf("d");
  const message = { type: "accept", key: KEY, epoch: 1, instance: 1, ballot: STANDING, value } as const;
  const reply = await host.handle({ type: "fresh", key: KEY, epoch: 1, message }, "d");
  assert(reply.type === "fresh" && reply.reply.type === "accepted");
  assertEquals(await openings(disk), [true, 1, value.id, "d"]);
});

Deno.test("member records: what decided the first value of a key in the epoch is told with the record that it makes", () => {
  const records = new MemberRecords("d", machine, pairOf(1, "abc", "abd", 1), () => fast("d"));
  const value = valueOf("d");
  const at = { key: KEY, epoch: 1, instance: 1 };
  const mark = <M>(message: M) => ({ type: "fresh", key: KEY, epoch: 1, message }) as const;
  const envelope = { from: "d", seenMs: {} };
  const voted = records.step(KEY, null, mark({ type: "accept", ...at, ballot: STANDING, value }), envelope);
  assertEquals([voted.entered, voted.value], [null, null]);
  const certificate = {
    instance: 1,
    ballot: STANDING,
    kind: "inclusive",
    valueId: value.id,
    acceptors: ["a", "d"],
  } as const;
  const decided = records.step(KEY, voted.record, mark({ type: "decide", ...at, certificate }), envelope);
  assertEquals([decided.entered?.instance, decided.value, decided.found.state.mode], [2, value, fast("d")]);
  // A state that somebody sent tells of no value.
  const snapshot = { ...openingOf(fast("d")), instance: 5, decidedBy: { ...certificate, instance: 4 } };
  const learn = { type: "learn", ...at, instance: 5, certificate: null, snapshot } as const;
  const sent = records.step(KEY, voted.record, learn, { from: "a", seenMs: {} });
  assertEquals([sent.entered?.instance, sent.value], [5, null]);
});
