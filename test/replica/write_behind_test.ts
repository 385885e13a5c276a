/** What a node learned of a value that it had voted for, before and after it is written (PROTOCOL.md §5). */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { LEARN_SAVE_MS, UNSAVED_MAX_KEYS } from "../../src/limits.ts";
import type { SentReply } from "../../src/members/message.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { Value } from "../../src/paxos/message.ts";
import type { BallotStore } from "../../src/ports.ts";
import { AcceptorHost } from "../../src/replica/acceptor_host.ts";
import { LOG } from "../../src/store/key_space.ts";
import { openOwnerStore } from "../../src/store/kv_ballot_store.ts";
import { MemoryDisk, openMemoryStore } from "../../src/store/memory_ballot_store.ts";
import {
  ballotOf,
  certificateOf,
  classic,
  command,
  KEY,
  logOf,
  machine,
  snapshotAfter,
  valueOf,
} from "../paxos/samples.ts";
import { TestKv } from "../store/test_kv.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { fastClock, until } from "./clocks.ts";
import { acceptorHost } from "./acceptor_parts.ts";
import { caller, memoryCluster, request } from "./memory_cluster.ts";

const IDENTITY = { cluster: "test", id: "a", incarnation: "i", config: "{}" };
/** Standing classic ballots of c, so that c may send anything. */
const MODE = classic("c");

function vote(host: AcceptorHost, instance = 1, value = valueOf("c", instance), key = KEY): Promise<SentReply> {
  const decided = instance === 1 ? {} : { decided: certificate(instance - 1) };
  return host.handle({ type: "accept", key, epoch: 0, instance, ballot: STANDING, value, ...decided }, "c");
}

function certificate(instance: number, value: Value = valueOf("c", instance)) {
  return certificateOf(instance, value, "classic", "ac", STANDING);
}

function learn(host: AcceptorHost, instance = 1, from = "c", value = valueOf("c", instance), key = KEY) {
  return host.handle(
    { type: "learn", key, epoch: 0, instance, certificate: certificate(instance, value), value },
    from,
  );
}

function hostOn(store: BallotStore, clock = new ManualClock()): AcceptorHost {
  return acceptorHost({ store, clock, modeOf: () => MODE });
}

async function rig(schedule?: () => Promise<void>) {
  const disk = new MemoryDisk();
  const store = await openMemoryStore({ disk, run: () => "run-1", ...(schedule === undefined ? {} : { schedule }) });
  await store.init(IDENTITY);
  const clock = new ManualClock();
  const host = hostOn(store, clock);
  const onDisk = (key = KEY) => (JSON.parse(disk.records.get(key)!) as { instance: number }).instance;
  return { disk, store, clock, host, onDisk };
}

/** Real Deno KV, which a second store may be opened on as after a crash: the first one never says anything again. */
async function realKv() {
  const kv = new TestKv(await Deno.openKv(":memory:"));
  let runs = 0;
  const open = () =>
    openOwnerStore({
      path: "",
      allowEphemeral: true,
      kv: kv.asKv(),
      apply: machine.apply,
      run: () => `run-${++runs}`,
      cachedKeys: 1,
    });
  const logRows = async () => (await Array.fromAsync(kv.asKv().list({ prefix: LOG }))).length;
  const store = await open();
  await store.init(IDENTITY);
  return { kv, open, logRows, store, [Symbol.dispose]: () => kv.asKv().close() };
}

Deno.test("write behind: a peer's Learn of what this node voted for costs no commit, and is seen at once", async () => {
  using db = await realKv();
  const host = hostOn(db.store);
  await vote(host);
  const before = { atomics: db.kv.atomics, rows: await db.logRows() };
  const told: number[] = [];
  host.onMove(KEY, (_key, { instance }) => told.push(instance));
  const unsaved = { run: "run-1", last: 1, saved: 0 };
  assertEquals(await learn(host), { type: "learned", instance: 2, unsaved });
  assertEquals(await learn(host), { type: "learned", instance: 2, unsaved }, "whoever else tells it hears the same");
  const { snapshot, vote: at2 } = await host.view(KEY);
  assertEquals([snapshot.instance, logOf(snapshot.state), at2, told], [2, ["c1"], null, [2]]);
  assertEquals({ atomics: db.kv.atomics, rows: await db.logRows() }, before);
});

Deno.test("write behind: the vote after it carries the move in its own commit, and both are there after a crash", async () => {
  using db = await realKv();
  const host = hostOn(db.store);
  await vote(host);
  await learn(host);
  const { atomics } = db.kv;
  assertEquals((await vote(host, 2)).type, "accepted");
  assertEquals(db.kv.atomics, atomics + 1);
  assertEquals(await learn(host), { type: "learned", instance: 2 }, "nothing is unsaved any more");
  const { snapshot, vote: kept } = await hostOn(await db.open()).view(KEY);
  assertEquals([snapshot.instance, logOf(snapshot.state), kept?.value.id], [2, ["c1"], "c/v/2"]);
});

Deno.test("write behind: a vote that rests on such a move is told only when both are committed", async () => {
  let gate = Promise.resolve();
  const { store, disk, host, onDisk } = await rig(() => gate);
  await vote(host);
  await learn(host);
  const { promise, resolve } = Promise.withResolvers<void>();
  gate = promise;
  let reply: SentReply | null = null;
  const voting = vote(host, 2).then((said) => reply = said);
  await settled();
  assertEquals([reply, onDisk()], [null, 1]);
  // It dies: what the disk has is a vote at 1, which may be told, and nothing of 2.
  store.crash();
  resolve();
  await settled();
  assertEquals([reply, onDisk()], [null, 1]);
  void voting;
  const again = hostOn(await openMemoryStore({ disk }));
  const { snapshot, vote: kept } = await again.view(KEY);
  assertEquals([snapshot.instance, kept?.value.id], [1, "c/v/1"]);
  assertEquals((await vote(again, 2)).type, "accepted", "its own vote and the word that it won bring it on again");
});

Deno.test("write behind: what this node did not vote for is durable before it says that it has learned it", async () => {
  const { host, onDisk } = await rig();
  await vote(host, 1, valueOf("c", 1));
  const value = valueOf("b", 1);
  const other = certificateOf(1, value, "classic", "bc", ballotOf(1, "b"));
  const word = { type: "learn", key: KEY, epoch: 0, instance: 1, certificate: other, value } as const;
  assertEquals(await host.handle(word, "b"), { type: "learned", instance: 2 });
  assertEquals(onDisk(), 2);
});

/** What a has decided itself by a proposer-inclusive quorum, or counted as an open one. */
function decided(host: AcceptorHost, kind: "inclusive" | "open", instance = 1): Promise<SentReply> {
  const value = valueOf("c", instance);
  const certificate = certificateOf(instance, value, kind, kind === "open" ? "abc" : "ac", STANDING);
  return host.handle({ type: "learn", key: KEY, epoch: 0, instance, certificate, value }, "a");
}

Deno.test("write behind: what only its proposer may conclude is durable first: nobody would tell it again", async () => {
  const { host, onDisk } = await rig();
  await vote(host);
  assertEquals(await decided(host, "inclusive"), { type: "learned", instance: 2 });
  assertEquals(onDisk(), 2);
});

Deno.test("write behind: what this node decided by votes that anybody may count is written with its next vote, in one commit", async () => {
  for (const learned of [(host: AcceptorHost) => learn(host, 1, "a"), (host: AcceptorHost) => decided(host, "open")]) {
    await writtenWithTheNextVote(learned);
  }
});

async function writtenWithTheNextVote(learned: (host: AcceptorHost) => Promise<SentReply>): Promise<void> {
  using db = await realKv();
  const host = hostOn(db.store);
  await vote(host);
  const { atomics } = db.kv;
  assertEquals((await learned(host)).type, "learned");
  assertEquals([db.kv.atomics - atomics, (await host.view(KEY)).snapshot.instance], [0, 2]);
  assertEquals((await vote(host, 2)).type, "accepted");
  assertEquals(db.kv.atomics - atomics, 1);
  const { snapshot, vote: kept } = await hostOn(await db.open()).view(KEY);
  assertEquals([snapshot.instance, logOf(snapshot.state), kept?.value.id], [2, ["c1"], "c/v/2"]);
}

Deno.test("write behind: a vote that is not durable yet moves on with its own commit, not before", async () => {
  let gate = Promise.resolve();
  const { host, onDisk } = await rig(() => gate);
  const { promise, resolve } = Promise.withResolvers<void>();
  gate = promise;
  const replies: string[] = [];
  const both = [vote(host), learn(host)].map((reply) => reply.then(({ type }) => replies.push(type)));
  await settled();
  assertEquals(replies, []);
  resolve();
  await Promise.all(both);
  assertEquals([replies, onDisk()], [["accepted", "learned"], 1]);
});

Deno.test("write behind: where the commit of a vote is not made, what was learned of it in the same turn is not there either", async () => {
  let gate = Promise.resolve();
  const { host, store, onDisk } = await rig(() => gate);
  await vote(host);
  await decided(host, "inclusive");
  const { promise, resolve } = Promise.withResolvers<void>();
  gate = promise;
  const value = valueOf("c", 2);
  // Decided without this node's vote.
  const others = certificateOf(2, value, "classic", "bc", STANDING);
  const word = { type: "learn", key: KEY, epoch: 0, instance: 2, certificate: others, value } as const;
  const replies = [vote(host, 2), host.handle(word, "c")].map((reply) => reply.then(({ type }) => type));
  await settled();
  store.failNext = "conflict";
  // Asked while that commit is under way, and so before it is tried again.
  const asked = host.handle({ type: "read", key: KEY, epoch: 0, instance: 2 }, "b");
  resolve();
  const view = await asked;
  assertEquals(view.type === "view" && [view.snapshot.instance, view.vote], [2, null]);
  assertEquals(await Promise.all(replies), ["accepted", "learned"]);
  assertEquals([(await host.view(KEY)).snapshot.instance, onDisk()], [3, 2]);
});

Deno.test("write behind: who saw what was learned in a turn whose commit failed says nothing of it", async () => {
  let during = () => {};
  const { store, host, onDisk } = await rig(() => {
    during();
    return Promise.resolve();
  });
  await vote(host);
  const seen = Promise.withResolvers<SentReply>();
  during = () => {
    during = () => {};
    learn(host, 1, "b").then(seen.resolve, seen.reject);
  };
  store.failNext = "unknown-applied";
  const turn = [
    host.handle({ type: "prepare", key: KEY, epoch: 0, instance: 1, ballot: ballotOf(1, "b") }, "b"),
    learn(host),
  ];
  for (const told of [...turn, seen.promise]) {
    assertEquals((await assertRejects(() => told, QuorateError)).code, "not-ready");
  }
  assertEquals(onDisk(), 1);
  const again = await learn(host);
  assert(again.type === "learned" && again.unsaved !== undefined && again.unsaved.saved < again.unsaved.last);
});

Deno.test("write behind: what nobody uses again is written after a while, together, and then counts as saved", async () => {
  const { host, clock, store, onDisk } = await rig();
  for (const key of ["k", "l"]) {
    await vote(host, 1, valueOf("c"), key);
    await learn(host, 1, "c", valueOf("c"), key);
  }
  await clock.pass(LEARN_SAVE_MS - 1);
  assertEquals([onDisk("k"), onDisk("l")], [1, 1]);
  const seq = store.seq();
  await clock.pass(1);
  assertEquals([onDisk("k"), onDisk("l"), store.seq(), clock.timers], [2, 2, seq + 1, 0]);
  assertEquals(await learn(host), { type: "learned", instance: 2 });
  await vote(host, 2);
  await vote(host, 2, valueOf("c", 2), "l");
  assertEquals(await learn(host, 2), { type: "learned", instance: 3, unsaved: { run: "run-1", last: 3, saved: 2 } });
  const second = await learn(host, 2, "c", valueOf("c", 2), "l");
  assertEquals(second, { type: "learned", instance: 3, unsaved: { run: "run-1", last: 4, saved: 2 } });
});

Deno.test("write behind: a node that is closed has written all, and writes the rest at once", async () => {
  using db = await realKv();
  const clock = new ManualClock();
  const host = hostOn(db.store, clock);
  await vote(host);
  await learn(host);
  await vote(host, 1, valueOf("c"), "other");
  host.close();
  assertEquals(await learn(host, 1, "c", valueOf("c"), "other"), { type: "learned", instance: 2 });
  assertEquals(clock.timers, 0);
  // Behind the write of the first one, which nobody waits for.
  await db.store.update(KEY, () => ({ record: null, reply: null }));
  const again = hostOn(await db.open());
  for (const key of [KEY, "other"]) assertEquals((await again.view(key)).snapshot.instance, 2);
});

Deno.test("write behind: what a commit that failed did not write is tried again until it is written", async () => {
  const { host, store, clock, onDisk } = await rig();
  await vote(host);
  await learn(host);
  store.failNext = "unknown-lost";
  await clock.pass(LEARN_SAVE_MS);
  assertEquals(onDisk(), 1);
  store.failNext = "unknown-lost";
  await assertRejects(() => vote(host, 2), Error, "the store of this node failed");
  assertEquals((await host.view(KEY)).snapshot.instance, 2, "the word that it was decided is not lost with a write");
  await clock.pass(LEARN_SAVE_MS);
  assertEquals([onDisk(), clock.timers], [2, 0]);
});

Deno.test("write behind: a record that left the store's memory moves on again from what is on disk", async () => {
  using db = await realKv();
  const host = hostOn(db.store);
  await vote(host);
  await learn(host);
  for (const key of ["l", "m"]) await vote(host, 1, valueOf("c"), key);
  const { reads } = db.kv;
  assertEquals((await host.view(KEY)).snapshot.instance, 2);
  assert(db.kv.reads > reads, "it was read again");
  assertEquals((await vote(host, 2)).type, "accepted");
});

Deno.test("write behind: a state that somebody sends replaces what was held", async () => {
  using db = await realKv();
  const host = hostOn(db.store);
  await vote(host);
  await learn(host);
  const values = [1, 2, 3].map((n) => valueOf("c", n));
  const snapshot = snapshotAfter(MODE, values, certificate(3));
  const sent = { type: "learn", key: KEY, epoch: 0, instance: 4, certificate: null, snapshot } as const;
  assertEquals(await host.handle(sent, "c"), { type: "learned", instance: 4 });
  const again = await hostOn(await db.open()).view(KEY);
  assertEquals([again.snapshot.instance, logOf(again.snapshot.state)], [4, ["c1", "c2", "c3"]]);
});

Deno.test(`write behind: of more than ${UNSAVED_MAX_KEYS} names what is learned is written at once`, async () => {
  const { host, clock } = await rig();
  const keys = Array.from({ length: UNSAVED_MAX_KEYS + 1 }, (_, i) => `k${i}`);
  await Promise.all(keys.map((key) => vote(host, 1, valueOf("c"), key)));
  const replies = await Promise.all(keys.map((key) => learn(host, 1, "c", valueOf("c"), key)));
  assertEquals(replies.map((reply) => "unsaved" in reply), keys.map((_, i) => i < UNSAVED_MAX_KEYS));
  host.close();
  assertEquals(clock.timers, 0);
});

Deno.test("write behind: a lease is timed from the vote that made it, whether or not its record is written", async () => {
  const { host, clock } = await rig();
  const leasing = valueOf("c", 1, { commands: [command("l1", "lease")] });
  await vote(host, 1, leasing);
  await clock.pass(50);
  await learn(host, 1, "c", leasing);
  const leases = [{ id: "l1", by: leasing.id }];
  const ask = async () => {
    const reply = await host.handle({ type: "lapsed?", key: KEY, epoch: 0, instance: 1, leases }, "c");
    return reply.type === "lapsed" ? Math.round(reply.remainingMs) : reply;
  };
  assertEquals(await ask(), 960);
  await clock.pass(LEARN_SAVE_MS);
  assertEquals(await ask(), 960 - LEARN_SAVE_MS);
});

Deno.test("learning: a node that died before it had written what it learned is told again", async () => {
  // So slow that nothing is written in time.
  const cluster = await memoryCluster(3, {
    clock: fastClock(10),
    clockOf: (id) => id === "c" ? fastClock(0.01) : null,
  });
  const instance = (text = "") => text === "" ? 1 : (JSON.parse(text) as { instance: number }).instance;
  const onDisk = () => instance(cluster.disk("c").records.get("lock/x"));
  try {
    await cluster.node("a").locks.acquire("x", request("me", { ttlMs: 600_000 }), caller());
    const holders = async () => {
      const { body } = await cluster.node("c").locks.get("x", { stale: true, timeoutMs: 60_000 });
      return body.holders.length;
    };
    await until("it has learned it", async () => await holders() === 1);
    assertEquals(onDisk(), 1);
    cluster.kill("c");
    await cluster.restart("c");
    assertEquals(onDisk(), 1);
    await until("it is told again, though nobody uses the name", async () => await holders() === 1);
  } finally {
    cluster.close();
  }
});
