/** Which life of each member a node knows, on stores of one process and on one that many share. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { STANDING } from "../../src/paxos/ballot.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import { Lives } from "../../src/replica/lives.ts";
import {
  type BallotStore,
  type Mark,
  NO_MARK,
  PeerError,
  SHARED_RUN,
  StoreError,
  type WireMessage,
} from "../../src/ports.ts";
import { MemoryDisk, openMemoryStore } from "../../src/store/memory_ballot_store.ts";
import { openSharedStore } from "../../src/store/shared_store.ts";
import { VoteGate } from "../../src/replica/vote_gate.ts";
import { IDENTITY_ROW } from "../../src/store/key_space.ts";
import { encodeIdentity } from "../../src/store/rows.ts";
import { makeRecord } from "../store/ballot_store_contract.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { type Answers, peersAnswering } from "./answering.ts";
import { valueOf } from "../paxos/samples.ts";
import { realClock, realRandomness } from "../../src/compose/world.ts";
import { memoryCluster } from "./memory_cluster.ts";

const QUORUMS = new QuorumSystem(["a", "b", "c"]);
const OWNER = { cluster: "test", id: "a", incarnation: "mine", config: "{}" } as const;
const FIRST: Mark = { incarnation: "first", boot: 2, run: "r2", seq: 9 };
const SECOND: Mark = { incarnation: "second", boot: 1, run: "r1", seq: 90 };

async function livesOf(store: BallotStore): Promise<Lives> {
  if (store.identity() === null) await store.init(OWNER);
  return new Lives(store, QUORUMS);
}

Deno.test("lives: of a second life nothing is taken, neither what it asks nor what it answers, and it is told once", async () => {
  const lines: string[] = [];
  const cluster = await memoryCluster(3, { report: (id, line) => id === "a" && lines.push(line) });
  try {
    const node = cluster.node("a");
    const known = cluster.store("a").marks()["b"]!;
    const at = { key: "lock/x", epoch: 0, instance: 1 } as const;
    const messages: readonly WireMessage[] = [
      { type: "accept", ...at, ballot: STANDING, value: valueOf("b") },
      { type: "read", ...at },
      { type: "marks", of: "b" },
    ];
    for (const mark of [SECOND, { ...SECOND, boot: 0 }, { ...SECOND, boot: 0, run: SHARED_RUN }]) {
      const [accept, read, marks] = await node.receive("b", "acceptor", messages, mark);
      assertEquals([accept?.type, read?.type], ["unavailable", "unavailable"]);
      // What it has to hear of itself it is told.
      assertEquals(marks?.type === "marks" && marks.mark?.incarnation, known.incarnation);
      await assertRejects(() => node.note("b", mark), PeerError, "another life of b");
    }
    assertEquals(cluster.store("a").marks()["b"]?.incarnation, known.incarnation);
    const told = node.status().members.filter(({ fault }) => fault !== undefined);
    assertEquals(told.map(({ id, fault }) => [id, fault?.cause]), [["b", "other-life"]]);
    assertEquals(lines.map((line) => line.split(":").slice(0, 2)), [["b", " other-life"]]);
    const [again] = await node.receive("b", "acceptor", messages.slice(0, 1), known);
    assertEquals(again?.type, "accepted", "the first is heard as before");
    assertEquals(lines.at(-1), "b: all is well again");
  } finally {
    cluster.close();
  }
});

Deno.test("lives: another life of a member is refused; who has no store, and who is no member, is let by", async () => {
  const lives = await livesOf(await openMemoryStore());
  assertEquals(await lives.meet("b", FIRST), null);
  for (const incarnation of ["second", "second", "third"]) {
    assertMatch((await lives.meet("b", { ...SECOND, incarnation }))!, /^another life of b/);
  }
  assertEquals(await lives.meet("b", NO_MARK), null);
  for (const mark of [FIRST, SECOND]) assertEquals(await lives.meet("learner", mark), null);
});

Deno.test("lives: what cannot be looked up is refused, and is not called another life", async () => {
  const lines: string[] = [];
  const cluster = await memoryCluster(3, { report: (id, line) => id === "a" && lines.push(line) });
  try {
    const store = cluster.store("a");
    Object.defineProperty(store, "isShared", { value: true });
    store.recall = () => Promise.reject(new StoreError("it is gone", { fault: "the store fails" }));
    const error = await assertRejects(() => cluster.node("a").note("b", FIRST), PeerError);
    assertEquals([error.why, error.message], [null, "the store fails"]);
    assertEquals(cluster.node("a").status().members.filter(({ fault }) => fault?.cause === "other-life"), []);
    assertEquals(lines.filter((line) => /other-life/.test(line)), []);
  } finally {
    cluster.close();
  }
});

Deno.test("lives: what comes before a life is confirmed is no evidence, and a store that is nobody's keeps none", async () => {
  const store = await openMemoryStore();
  const lives = new Lives(store, QUORUMS);
  await lives.meet("b", FIRST);
  assertEquals(store.marks(), {});
  await store.init(OWNER);
  await lives.meet("b", { ...FIRST, boot: 0 });
  assertEquals(store.marks(), {});
  await lives.meet("b", FIRST);
  assertEquals(store.marks(), { b: FIRST });
});

Deno.test("lives: a process of a shared store refuses what another process of it has the first life of on record", async () => {
  const path = await Deno.makeTempFile({ prefix: "quorate-lives-", suffix: ".sqlite" });
  const open = async (run: string) => {
    const kv = await Deno.openKv(path);
    return await openSharedStore({ kv, name: "a", run, clock: realClock, random: realRandomness });
  };
  const [one, two, three] = [await open("one"), await open("two"), await open("three")];
  try {
    const first = await livesOf(one);
    await two.recall("b");
    await first.meet("b", FIRST);
    await one.flush();
    const second = await livesOf(two);
    assertEquals(typeof await second.meet("b", SECOND), "string");
    assertEquals(await second.meet("b", FIRST), null);
    // Also where this process met the second life first.
    const third = await livesOf(three);
    two.note("c", SECOND);
    one.note("c", FIRST);
    await one.flush();
    assertEquals(await second.meet("c", FIRST), null);
    assertEquals(typeof await third.meet("c", SECOND), "string");
  } finally {
    await Promise.all([one.close(), two.close(), three.close()]);
    await Deno.remove(path);
  }
});

const INCARNATION = "life-1";
const OLD: Mark = { incarnation: INCARNATION, boot: 2, run: "run-2", seq: 2 };
const MEMBER = { id: "a", cluster: "test", config: null };

/** A store of member a that an init just made, and how its transport sees it. */
async function newborn(answers: Answers, edit: (meta: string) => string = (meta) => meta) {
  const disk = new MemoryDisk();
  const first = await openMemoryStore({ disk, run: () => "run-1" });
  await first.init({ cluster: "test", id: "a", incarnation: INCARNATION, config: "{}" });
  if (disk.meta !== edit(disk.meta!)) await first.confirm();
  first.crash();
  disk.meta = edit(disk.meta!);
  const store = await openMemoryStore({ disk, run: () => "run-2" });
  const clock = new ManualClock();
  const lines: string[] = [];
  const quorums = new QuorumSystem(["a", ...Object.keys(answers)]);
  const it = new VoteGate(MEMBER, quorums, store, peersAnswering(answers), clock, (line) => lines.push(line));
  void it.confirm();
  await settled();
  return { it, store, clock, lines, disk };
}

const MINE: Mark = { incarnation: INCARNATION, boot: 2, run: "run-2", seq: 3 };

Deno.test("lives: a new store speaks once enough others know of none before, votes once they have noted it, and that is kept", async () => {
  const answers: Answers = { b: null, c: "silent" };
  const { it, store, clock, lines, disk } = await newborn(answers);
  for (let i = 0; i < 60; i++) await clock.pass(100);
  assertEquals([it.speaks, store.lifeConfirmed()], [false, false], "silence is no consent");
  assert(/not yet: c$/.test(`${it.reason()}`), `${it.reason()}`);
  assertEquals(lines, [`this node does not vote: ${it.reason()}`]);
  answers["c"] = null;
  await clock.pass(500);
  await settled();
  assertEquals([it.speaks, store.lifeConfirmed()], [true, false], "what they agree to they may forget");
  assert(/not yet: b, c$/.test(`${it.reason()}`), `${it.reason()}`);
  answers["b"] = MINE;
  for (let i = 0; i < 5; i++) await clock.pass(100);
  assert(it.reason() !== null, "one that noted it is too few of two");
  answers["c"] = MINE;
  await clock.pass(500);
  await settled();
  assertEquals([it.reason(), store.lifeConfirmed()], [null, true]);
  assertEquals(lines.slice(1), ["this node votes now"]);
  store.crash();
  assertEquals((await openMemoryStore({ disk })).lifeConfirmed(), true);
});

Deno.test("lives: a new store that one other holds an earlier life against never votes, whoever else agreed", async () => {
  const answers: Answers = { b: null, c: null };
  const { it, clock } = await newborn(answers);
  assert(it.speaks);
  // Two lives asked at the same time: each of the others noted another one.
  answers["b"] = MINE;
  answers["c"] = { ...MINE, incarnation: "life-2" };
  await clock.pass(100);
  await settled();
  assert(it.reason()?.startsWith("quarantined: c knows another life"), `${it.reason()}`);
});

Deno.test("lives: a store of a version that asked nobody votes as it did, and is put on record once the others are there", async () => {
  const answers: Answers = { b: null, c: "silent" };
  const { it, store, clock } = await newborn(answers, (meta) => meta.replace(',"confirmed":false', ""));
  assertEquals([it.reason(), store.lifeConfirmed()], [null, null]);
  answers["b"] = MINE;
  answers["c"] = MINE;
  await clock.pass(1_000);
  await settled();
  assertEquals([it.reason(), store.lifeConfirmed()], [null, true]);
  it.close();
});

Deno.test("lives: a shared store of such a version votes at once if it has a record, and else asks as a new one", async () => {
  for (const hasRecord of [true, false]) {
    const kv = await Deno.openKv(":memory:");
    // A row that says nothing of it, as 0.1.0 wrote it.
    await kv.set(IDENTITY_ROW, encodeIdentity({ cluster: "test", id: "a", incarnation: INCARNATION, config: "{}" }));
    const store = await openSharedStore({ kv, name: "a", run: "r", clock: realClock, random: realRandomness });
    if (hasRecord) await store.update("lock/x", () => ({ record: makeRecord(1), reply: null }));
    const quorums = new QuorumSystem(["a", "b", "c"]);
    const clock = new ManualClock();
    const it = new VoteGate(MEMBER, quorums, store, peersAnswering({ b: "silent", c: "silent" }), clock, () => {});
    const confirmed = it.confirm();
    if (hasRecord) await confirmed;
    for (let i = 0; i < 10; i++) await clock.pass(100);
    assertEquals([it.reason() === null, it.speaks], [hasRecord, hasRecord]);
    it.close();
    await store.close();
  }
});

Deno.test("lives: a second life that such a version let vote is found out by whoever knew the first", async () => {
  const answers: Answers = { b: null, c: "silent" };
  const { it, clock } = await newborn(answers, (meta) => meta.replace(',"confirmed":false', ""));
  assertEquals(it.reason(), null);
  answers["c"] = { ...OLD, incarnation: "life-0" };
  await clock.pass(1_000);
  await settled();
  assert(it.reason()?.startsWith("quarantined: c knows another life"), `${it.reason()}`);
});

Deno.test("lives: a new store need not be answered by enough others in one round", async () => {
  const answers: Answers = { b: null, c: "silent" };
  const { it, clock } = await newborn(answers);
  for (let i = 0; i < 20; i++) await clock.pass(100);
  assertEquals(it.speaks, false);
  Object.assign(answers, { b: "silent", c: null });
  // The round under way, the pause, and the next one, in which only c answers.
  for (let i = 0; i < 30; i++) await clock.pass(100);
  await settled();
  assertEquals(it.speaks, true);
  it.close();
});
