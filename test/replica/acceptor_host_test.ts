import { sha256Hex } from "../../src/auth/digest.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { SentReply } from "../../src/members/message.ts";
import type { AcceptorMessage, Prepare, Snapshot } from "../../src/paxos/message.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { LeaseClock } from "../../src/replica/lease_clock.ts";
import type { BallotStore, WireMessage } from "../../src/ports.ts";
import { sharedValueId } from "../../src/engine/shared_value.ts";
import { MemoryDisk, openMemoryStore } from "../../src/store/memory_ballot_store.ts";
import { ballotOf, certificateOf, command, fast, KEY, machine, reportsOf, rulesOf, valueOf } from "../paxos/samples.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { memoryCluster } from "./memory_cluster.ts";
import { acceptorHost } from "./acceptor_parts.ts";
import type { AcceptorHostParts } from "../../src/replica/acceptor_host.ts";
import { RaisedMachine } from "../../src/replica/raised_machine.ts";
import { MACHINE_OF_ALL, MACHINE_VERSION, OWN_VERSION } from "../../src/version.ts";

const MODE = fast("c");
const AT = { key: KEY, epoch: 0, instance: 1 } as const;

function acceptOf(node: string, n = 1): AcceptorMessage {
  return { type: "accept", ...AT, ballot: STANDING, value: valueOf(node, n) };
}

function prepareOf(node: string, n = 1): Prepare {
  return { type: "prepare", ...AT, ballot: ballotOf(n, node) };
}

async function rig(more: Partial<AcceptorHostParts> = {}) {
  const disk = new MemoryDisk();
  const gate = { open: Promise.resolve() };
  const store = await openMemoryStore({ disk, schedule: () => gate.open });
  const clock = new ManualClock();
  let whyNot: string | null = null;
  const leases = new LeaseClock(clock, machine);
  const host = acceptorHost({ store, leases, whyNot: () => whyNot, ...more });
  return {
    host,
    store,
    disk,
    clock,
    forbid: (reason: string | null) => whyNot = reason,
    /** Commits wait until the returned function is called. */
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      gate.open = promise;
      return resolve;
    },
  };
}

/** Its outcome so far, without waiting for it. */
function watched<T>(promise: Promise<T>) {
  const seen: { reply: T | null; error: unknown } = { reply: null, error: null };
  promise.then((reply) => seen.reply = reply, (error) => seen.error = error);
  return seen;
}

Deno.test("acceptor host: nothing is said of a vote or promise before its commit", async () => {
  for (const message of [acceptOf("b"), prepareOf("b")]) {
    const { host, disk, hold } = await rig();
    const commit = hold();
    const seen = watched<SentReply>(host.handle(message, "b"));
    await settled();
    assertEquals(seen, { reply: null, error: null });
    assertEquals(disk.records.size, 0);
    commit();
    await settled();
    assertEquals(seen.reply?.type, message.type === "accept" ? "accepted" : "promise");
    assertEquals(disk.records.size, 1);
  }
});

Deno.test("acceptor host: what is at hand is told at once, as a view tells it, and nothing that is refused or not committed", async () => {
  const { host, hold, forbid } = await rig();
  assertEquals(host.viewNow(KEY), await host.view(KEY));
  await host.handle(acceptOf("b"), "b");
  const voted = host.viewNow(KEY);
  assertEquals([voted, voted?.vote?.value.id], [await host.view(KEY), valueOf("b").id]);
  const value = valueOf("b");
  await host.handle({ type: "learn", ...AT, certificate: certificateOf(1, value, "open", "abc"), value }, "b");
  assertEquals(host.viewNow(KEY)?.snapshot.instance, 2);
  const commit = hold();
  const later = host.handle({ ...acceptOf("b", 2), instance: 2 } as AcceptorMessage, "b");
  await settled();
  assertEquals(host.viewNow(KEY), null);
  commit();
  await later;
  assertEquals(host.viewNow(KEY)?.vote?.value.id, valueOf("b", 2).id);
  forbid("not now");
  assertEquals(host.viewNow(KEY), null);
});

Deno.test("acceptor host: neither a view nor a refusal tells of a vote that is not committed", async () => {
  const { host, hold } = await rig();
  const commit = hold();
  watched(host.handle(acceptOf("b"), "b"));
  const view = watched(host.view(KEY));
  const refusal = watched(host.handle(acceptOf("c"), "c"));
  await settled();
  assertEquals([view, refusal], [{ reply: null, error: null }, { reply: null, error: null }]);
  commit();
  await settled();
  assertEquals(view.reply?.vote?.value.id, valueOf("b").id);
  assert(refusal.reply?.type === "refused");
  assertEquals(refusal.reply.vote?.value.id, valueOf("b").id);
});

Deno.test("acceptor host: a process that dies before the commit has said nothing, and its successor may vote anew", async () => {
  const { host, store, disk, hold } = await rig();
  const commit = hold();
  const seen = watched(host.handle(acceptOf("b"), "b"));
  await settled();
  store.crash();
  commit();
  await settled();
  assertEquals(seen, { reply: null, error: null });
  const again = await openMemoryStore({ disk });
  const next = acceptorHost({ store: again });
  assertEquals((await next.handle(acceptOf("c"), "c")).type, "accepted");
});

for (const fault of ["unknown-applied", "unknown-lost"] as const) {
  Deno.test(`acceptor host: a commit of unknown outcome (${fault}) rejects, and what is asked next tells the truth`, async () => {
    const { host, store } = await rig();
    store.failNext = fault;
    const moves: number[] = [];
    host.onMove(KEY, (_key, { instance }) => moves.push(instance));
    await assertRejects(() => host.handle(acceptOf("b"), "b"), Error, "the store of this node failed");
    const { vote } = await host.view(KEY);
    assertEquals(vote?.value.id ?? null, fault === "unknown-applied" ? valueOf("b").id : null);
    // The vote that may have been cast is never another one's.
    const second = await host.handle(acceptOf("c"), "c");
    assertEquals(second.type, fault === "unknown-applied" ? "refused" : "accepted");
    assertEquals(moves, []);
  });
}

Deno.test("acceptor host: a commit that lost its check runs the step again on what is there, and answers from that", async () => {
  const { host, store } = await rig();
  store.failNext = "conflict";
  const reply = await host.handle(acceptOf("b"), "b");
  assertEquals(reply.type, "accepted");
  assertEquals((await host.view(KEY)).vote?.value.id, valueOf("b").id);
});

Deno.test("acceptor host: of two votes that arrive together in one ballot one is cast", async () => {
  const { host } = await rig();
  const replies = await Promise.all([host.handle(acceptOf("b"), "b"), host.handle(acceptOf("c"), "c")]);
  assertEquals(replies.map(({ type }) => type), ["accepted", "refused"]);
});

Deno.test("acceptor host: R1, a node's value from anybody else is not voted for", async () => {
  const { host, disk } = await rig();
  for (const from of ["c", "a", ""]) assertEquals((await host.handle(acceptOf("b"), from)).type, "rejected");
  assertEquals(disk.records.size, 0);
});

Deno.test("acceptor host: a value of nobody is voted for only under the id that its commands make", async () => {
  const { host, disk } = await rig();
  const { commands } = valueOf("b");
  const id = sharedValueId(sha256Hex, KEY, commands);
  const shared = { id, proposer: "" as const, commands };
  const wrong = [
    { ...shared, id: "b/v/1" },
    { ...shared, commands: valueOf("c").commands },
    { ...shared, commands: [] },
    { ...shared, claims: [] },
    { ...shared, nextMode: MODE },
  ];
  for (const value of wrong) {
    const reply = await host.handle({ type: "accept", ...AT, ballot: STANDING, value }, "b");
    assertEquals(reply.type, "rejected", JSON.stringify(value));
  }
  assertEquals(disk.records.size, 0);
  const reply = await host.handle({ type: "accept", ...AT, ballot: STANDING, value: shared }, "b");
  assertEquals(reply.type, "accepted");
});

Deno.test("acceptor host: what needs a newer machine is not voted for, also where a report of it would be recovered", async () => {
  const { host, disk } = await rig();
  const value = { ...valueOf("b"), machine: MACHINE_VERSION + 1 };
  const reports = [...reportsOf("a:- c:-"), { from: "b", vote: { ballot: STANDING, kind: "fast", value } }] as const;
  const messages: readonly AcceptorMessage[] = [
    { type: "accept", ...AT, ballot: STANDING, value },
    { type: "recover", ...AT, ballot: STANDING, reports, freshId: "x" },
    { type: "learn", ...AT, certificate: certificateOf(1, value, "open", "abc"), value },
  ];
  for (const message of messages) {
    const reply = await host.handle(message, "b");
    const wanted = { type: "rejected", reason: `this needs version ${MACHINE_VERSION + 1} of the machine` };
    assertEquals(reply, wanted as SentReply, message.type);
  }
  assertEquals(disk.records.size, 0);
});

Deno.test("acceptor host: a state of a newer machine is not taken either, and it is known from then on that there is one", async () => {
  const raised = new RaisedMachine(OWN_VERSION, () => {});
  const { host, disk } = await rig({ raised });
  const { snapshot } = await host.view(AT.key);
  const newer = {
    ...snapshot,
    instance: 2,
    state: { ...snapshot.state, version: MACHINE_VERSION + 1 } as typeof snapshot.state,
  };
  const message = { type: "prepare", ...AT, instance: 2, ballot: [1, "b/n", 0], snapshot: newer } as const;
  assertEquals(await host.handle(message, "b"), {
    type: "rejected",
    reason: `this needs version ${MACHINE_VERSION + 1} of the machine`,
  });
  assertEquals([disk.records.size, raised.decided], [0, MACHINE_VERSION + 1]);
});

Deno.test("acceptor host: what a client says of a newer machine keeps this node from nothing", async () => {
  const raised = new RaisedMachine(OWN_VERSION, () => {});
  const { host } = await rig({ raised });
  const value = { ...valueOf("b"), proposer: "", machine: MACHINE_VERSION + 1 };
  assertEquals((await host.handle({ type: "accept", ...AT, ballot: STANDING, value }, "")).type, "rejected");
  assertEquals([raised.decided, raised.reason()], [MACHINE_OF_ALL, null]);
});

Deno.test("acceptor host: who may not vote says nothing at all of a record, and writes nothing", async () => {
  const { host, store, disk, forbid } = await rig();
  await host.handle(acceptOf("b"), "b");
  const before = { records: disk.snapshot().records, seq: store.seq() };
  forbid("not confirmed");
  const certificate = certificateOf(1, valueOf("b"), "open", "abc");
  const messages: AcceptorMessage[] = [
    acceptOf("c"),
    prepareOf("c", 7),
    { type: "read", ...AT },
    { type: "learn", ...AT, certificate, value: valueOf("b") },
    { type: "lapsed?", ...AT, leases: [] },
    { type: "decide", ...AT, certificate },
    { type: "recover", ...AT, ballot: STANDING, reports: [], freshId: "x" },
  ];
  for (const message of messages) {
    const error = await assertRejects(() => host.handle(message, "c"), QuorateError, "not confirmed");
    assertEquals(error.code, "not-ready", message.type);
  }
  assertEquals((await assertRejects(() => host.view(KEY), QuorateError)).code, "not-ready");
  assertEquals({ records: disk.snapshot().records, seq: store.seq() }, before);
});

Deno.test("acceptor host: a move is told once it is durable, to whoever still listens, with the state it came to", async () => {
  const { host, hold } = await rig();
  const value = valueOf("b");
  await host.handle(acceptOf("b"), "b");
  const told: Snapshot[] = [];
  const stop = host.onMove(KEY, (_key, snapshot) => told.push(snapshot));
  host.onMove(KEY, () => {})();
  const commit = hold();
  const certificate = certificateOf(1, value, "open", "abc");
  const learned = host.handle({ type: "learn", ...AT, certificate, value }, "b");
  await settled();
  assertEquals(told, []);
  commit();
  await learned;
  assertEquals(told.map(({ instance, decidedBy }) => [instance, decidedBy?.valueId]), [[2, value.id]]);
  stop();
  const next = { type: "accept", ...AT, instance: 2, ballot: STANDING, value: valueOf("b", 2) } as const;
  await host.handle(next, "b");
  const second = certificateOf(2, valueOf("b", 2), "open", "abc");
  await host.handle({ type: "learn", ...AT, instance: 2, certificate: second, value: valueOf("b", 2) }, "b");
  assertEquals(told.length, 1);
});

Deno.test("acceptor host: a Learn whose commit fails is told to nobody", async () => {
  const { host, store } = await rig();
  const value = valueOf("b");
  const told: number[] = [];
  host.onMove(KEY, (_key, { instance }) => told.push(instance));
  await host.handle(acceptOf("b"), "b");
  store.failNext = "unknown-lost";
  const certificate = certificateOf(1, value, "open", "abc");
  await assertRejects(
    () => host.handle({ type: "learn", ...AT, certificate, value }, "b"),
    Error,
    "the store of this node failed",
  );
  assertEquals(told, []);
  assertEquals((await host.view(KEY)).snapshot.instance, 1);
});

Deno.test("acceptor host: the clock in the envelope is this process's own; a claim before its time is refused in any ballot", async () => {
  const { host, clock } = await rig();
  const leasing = valueOf("b", 1, { commands: [command("l1", "lease")] });
  await host.handle({ type: "accept", ...AT, ballot: STANDING, value: leasing }, "b");
  const certificate = certificateOf(1, leasing, "open", "abc");
  await host.handle({ type: "learn", ...AT, certificate, value: leasing }, "b");
  const claims = [{ id: "l1", by: leasing.id }];
  const claim = valueOf("c", 2, { claims });
  const asked = { type: "lapsed?", ...AT, instance: 1, leases: claims } as const;
  const claiming = { type: "accept", ...AT, instance: 2, ballot: STANDING, value: claim } as const;
  const prepare = { ...prepareOf("c"), instance: 2 };
  const explicit = { ...claiming, ballot: ballotOf(1, "c") };
  await clock.pass(1_000);
  const early = await host.handle(asked, "c");
  assert(early.type === "lapsed" && early.remainingMs > 9 && early.remainingMs <= 10, JSON.stringify(early));
  assertEquals((await host.handle(claiming, "c")).type, "not-lapsed");
  await host.handle(prepare, "c");
  assertEquals((await host.handle(explicit, "c")).type, "not-lapsed");
  assertEquals((await host.view(KEY)).vote, null);
  await clock.pass(10);
  const ripe = await host.handle(asked, "c");
  assert(ripe.type === "lapsed" && ripe.remainingMs === 0);
  assertEquals((await host.handle(explicit, "c")).type, "accepted");
});

Deno.test("acceptor host: a lease nobody has is never called lapsed", async () => {
  const { host, clock } = await rig();
  await clock.pass(1e9);
  const reply = await host.handle({ type: "lapsed?", ...AT, leases: [{ id: "f:9", by: "z" }] }, "c");
  assert(reply.type === "lapsed" && reply.remainingMs > 0);
});

Deno.test("acceptor host: a step that throws rejects its own message only", async () => {
  const { store } = await rig();
  const throwing = { ...machine, init: () => assert(false, "no state for this key") as never };
  const host = acceptorHost({ rules: { ...rulesOf("a", 3), machine: throwing }, store });
  await assertRejects(() => host.handle(acceptOf("b"), "b"), Error, "no state");
  assertEquals(await store.update("other", (record) => ({ record: null, reply: record })), null);
});

Deno.test("a node that may not vote answers unavailable to every peer message but marks, and its store stays as it was", async () => {
  const cluster = await memoryCluster(3);
  try {
    for (const peer of ["b", "c"]) cluster.network.cut("a", peer);
    cluster.kill("a");
    void cluster.restart("a");
    await settled();
    await settled();
    const node = cluster.node("a");
    assertEquals(node.status().voting, false);
    const records = cluster.disk("a").snapshot().records;
    const at = { key: "lock/x", epoch: 0, instance: 1 } as const;
    const messages: WireMessage[] = [
      { type: "accept", ...at, ballot: STANDING, value: valueOf("b") },
      { type: "prepare", ...at, ballot: ballotOf(3, "b") },
      { type: "read", ...at },
      { type: "lapsed?", ...at, leases: [] },
      { type: "learn", ...at, certificate: certificateOf(1, valueOf("b"), "open", "abc"), value: valueOf("b") },
    ];
    const replies = await node.receive("b", "acceptor", messages);
    assertEquals(replies.map(({ type }) => type), messages.map(() => "unavailable"));
    const [marks] = await node.receive("b", "acceptor", [{ type: "marks", of: "b" }]);
    assertEquals(marks?.type, "marks");
    // A collision makes no pick either.
    await node.receive("b", "coordinator", [{ type: "collision", ...at, ballot: STANDING, reports: [] }]);
    await settled();
    assertEquals(cluster.disk("a").snapshot().records, records);
  } finally {
    cluster.close();
  }
});

Deno.test("acceptor host: the listener for all keys hears every durable move, and from where", async () => {
  const { host, store } = await rig();
  const told: unknown[] = [];
  host.onAnyMove((key, { instance }, from) => told.push([key, from, instance]));
  const value = valueOf("b");
  await host.handle(acceptOf("b"), "b");
  assertEquals(told, [], "a vote is no move");
  store.failNext = "unknown-lost";
  const learn = { type: "learn", ...AT, certificate: certificateOf(1, value, "open", "abc"), value } as const;
  await assertRejects(() => host.handle(learn, "b"));
  assertEquals(told, [], "nor is what may be lost");
  await host.handle(learn, "b");
  await host.handle(learn, "b");
  const { snapshot } = await host.view(KEY);
  await host.handle({
    type: "learn",
    ...AT,
    key: "other",
    instance: 9,
    certificate: null,
    snapshot: { ...snapshot, instance: 9 },
  }, "b");
  assertEquals(told, [[KEY, 1, 2], ["other", 1, 9]]);
});

Deno.test("acceptor host: a vote in the same write as the move to its instance begins no lease anew", async () => {
  const machine = createMachine({ digest: sha256Hex });
  const clock = new ManualClock();
  const leases = new LeaseClock(clock, machine);
  const store = await openMemoryStore();
  const host = acceptorHost({ rules: { ...rulesOf("a", 3), machine }, store, leases });
  const op = { type: "acquire", holder: "me", mode: "exclusive", ttlMs: 1_000, lockDelayMs: 0, atMs: 0 } as const;
  const grant = { ...valueOf("b", 1), commands: [{ subject: "s", id: "grant", born: 1, op }] };
  await host.handle({ type: "accept", ...AT, ballot: STANDING, value: grant }, "b");
  await clock.pass(500);
  // The next one says that it is decided, as it does wherever it is faster than the Learn.
  const decided = certificateOf(1, grant, "inclusive", "ab");
  await host.handle({ type: "accept", ...AT, instance: 2, ballot: STANDING, value: valueOf("b", 2), decided }, "b");
  await clock.pass(500);
  const held = { id: "f:1025", by: grant.id };
  const reply = await host.handle({ type: "lapsed?", ...AT, leases: [held] }, "b");
  assertEquals(reply, { type: "lapsed", instance: 2, remainingMs: 10 });
});

for (const fault of ["unknown-applied", "unknown-lost"] as const) {
  Deno.test(`acceptor host: a vote whose commit failed (${fault}) dates no lease`, async () => {
    const machine = createMachine({ digest: sha256Hex });
    const clock = new ManualClock();
    const store = await openMemoryStore();
    const host = acceptorHost({
      rules: { ...rulesOf("a", 3), machine },
      store,
      leases: new LeaseClock(clock, machine),
    });
    const op = { type: "acquire", holder: "me", mode: "exclusive", ttlMs: 1_000, lockDelayMs: 0, atMs: 0 } as const;
    const grant = { ...valueOf("b", 1), commands: [{ subject: "s", id: "grant", born: 1, op }] };
    store.failNext = fault;
    await assertRejects(
      () => host.handle({ type: "accept", ...AT, ballot: STANDING, value: grant }, "b"),
      QuorateError,
    );
    await clock.pass(500);
    const certificate = certificateOf(1, grant, "inclusive", "bc");
    await host.handle({ type: "learn", ...AT, certificate, value: grant }, "b");
    const held = { id: "f:1025", by: grant.id };
    const reply = await host.handle({ type: "lapsed?", ...AT, leases: [held] }, "b");
    assertEquals(reply, { type: "lapsed", instance: 2, remainingMs: 1_010 });
  });
}

Deno.test("acceptor host: on a shared store, a key that is looked at is not forgotten for all others that go by", async () => {
  const store = await openMemoryStore();
  const shared: BallotStore = Object.assign(Object.create(store), {
    isShared: true,
    update: store.update.bind(store),
    peek: () => undefined,
  });
  const leases = new LeaseClock(new ManualClock(), machine);
  const host = acceptorHost({ store: shared, leases });
  const told: number[] = [];
  host.onMove(KEY, (_, { instance }) => told.push(instance));
  const others = async (from: number, to: number) => {
    for (let i = from; i < to; i++) await host.view(`other/${i}`);
  };
  await host.view(KEY);
  await others(0, 60_000);
  await host.look(KEY, false);
  // More than it remembers, since it met the key, and fewer than that since it was looked at.
  await others(60_000, 110_000);
  const value = valueOf("b");
  const twin = acceptorHost({ store: shared, leases });
  await twin.handle(acceptOf("b"), "b");
  await twin.handle({ type: "learn", ...AT, certificate: certificateOf(1, value, "open", "abc"), value }, "b");
  await host.look(KEY, false);
  assertEquals(told, [2]);
});
