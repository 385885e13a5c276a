/** The proposer's host: timers, silence and a store that fails (PROTOCOL.md §3 to §5), on a clock the test moves. */
import { assert, assertEquals } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { stepAcceptor } from "../../src/paxos/acceptor.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { AcceptorMessage, AcceptorRecord, Machine, Mode, Snapshot, Vote } from "../../src/paxos/message.ts";
import { fastBallotOf, freshRecord, snapshotOf } from "../../src/paxos/record.ts";
import { LEARN_DELAY_MS } from "../../src/limits.ts";
import { CoordinatorHost } from "../../src/replica/coordinator_host.ts";
import { Learning } from "../../src/replica/learning.ts";
import { PeerError, type Transport, type WireMessage, type WireReply } from "../../src/ports.ts";
import { driveInstance, type Ending } from "../../src/replica/proposer_host.ts";
import { sharedValueId } from "../../src/engine/shared_value.ts";
import { MACHINE_OF_ALL, MACHINE_VERSION } from "../../src/version.ts";
import { Timing } from "../../src/replica/timing.ts";
import { openMemoryStore } from "../../src/store/memory_ballot_store.ts";
import { classic, fast, KEY, logOf, machine, nodesOf, rulesOf, valueOf } from "../paxos/samples.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { acceptorHost } from "./acceptor_parts.ts";

const fastIn = ({ state }: Snapshot) => fastBallotOf({ state });

/** Says of a message to a peer that it is lost. */
type Loss = (to: string, message: WireMessage) => boolean;

type Rigged = {
  readonly n?: number;
  readonly mode?: Mode;
  readonly schedule?: () => Promise<void>;
  /** The version that its machine's states are of. */
  readonly version?: number;
};

/** Node a, and peers that are real acceptors behind a network that loses what the test says. */
async function rig({ n = 3, mode = fast("b") as Mode, version = MACHINE_OF_ALL, ...options }: Rigged = {}) {
  const versioned: Machine = {
    ...machine,
    init: (mode) => ({ ...machine.init(mode), version }),
    apply: (state, instance, value) => ({ ...machine.apply(state, instance, value), version }),
  };
  const rulesFor = (id: string) => ({ ...rulesOf(id, n), machine: versioned });
  const store = await openMemoryStore(options);
  const clock = new ManualClock();
  const peers = new Map<string, AcceptorRecord>(nodesOf(n).slice(1).map((id) => [id, freshRecord(versioned, mode)]));
  const sent: { to: string; message: WireMessage }[] = [];
  /** What peers answer comes after this; resolved: at once. */
  const late = new Map<string, Promise<void>>();
  const network = { lost: (() => false) as Loss, spoil: (reply: WireReply): WireReply => reply, isExpired: false };
  const reports: string[] = [];
  function answer(to: string, message: WireMessage): WireReply {
    if (network.lost(to, message)) throw new PeerError("silence");
    if (message.type === "collision" || message.type === "marks") return { type: "noted" };
    const next = stepAcceptor(rulesFor(to), peers.get(to)!, message as AcceptorMessage, { from: "a", seenMs: {} });
    peers.set(to, next.record);
    return network.spoil(structuredClone(next.reply) as WireReply);
  }
  const transport: Transport = {
    send: (to, message) => {
      sent.push({ to, message });
      const answered = (late.get(to) ?? Promise.resolve()).then(() => answer(to, message));
      if (!network.isExpired) return answered;
      const error = new PeerError("no answer in time", { why: "timed-out" });
      error.late = answered;
      return Promise.reject(error);
    },
    rttMs: () => 0,
    close: () => {},
  };
  const rules = rulesFor("a");
  const acceptor = acceptorHost({ rules, store, clock, modeOf: () => mode });
  const learning = new Learning(acceptor, transport, clock, 0);
  let ids = 0;
  const random = { next: () => 0.5, id: () => `id${++ids}` };
  const coordinator = new CoordinatorHost(acceptor, transport, learning, random);
  const timing = new Timing("a", rules.quorums, transport, random);
  const giveUp = new AbortController();
  return {
    store,
    clock,
    acceptor,
    learning,
    sent,
    peers,
    giveUp,
    /** What that peer answers comes once this is called. */
    hold(to: string): () => Promise<void> {
      const { promise, resolve } = Promise.withResolvers<void>();
      late.set(to, promise);
      return () => (resolve(), settled());
    },
    /** From now on nothing is waited for, and all is late. */
    expire: () => void (network.isExpired = true),
    onDisk: () => (JSON.parse(store.disk.records.get(KEY)!) as { instance: number }).instance,
    timing,
    lose: (lost: Loss) => network.lost = lost,
    spoil: (spoil: (reply: WireReply) => WireReply) => network.spoil = spoil,
    reports,
    async drive(value = valueOf("a") as ReturnType<typeof valueOf> | null, known: Snapshot | null = null) {
      const { snapshot, fast } = known === null ? await acceptor.view(KEY) : { snapshot: known, fast: fastIn(known) };
      const opening = snapshot;
      const ended: { ending: Ending | null; error: Error | null } = { ending: null, error: null };
      const context = { me: "a", key: KEY, epoch: 0, quorums: rules.quorums, machine: versioned, opening, fast, value };
      const report = (line: string) => void reports.push(line);
      const parts = { acceptor, coordinator, learning, transport, clock, random, timing, report };
      driveInstance(parts, context, giveUp.signal).then(
        (ending) => ended.ending = ending,
        (error) => ended.error = error,
      );
      await settled();
      return ended;
    },
    /** Passes until it has ended, a bounded number of times. */
    async end(ended: { ending: Ending | null }): Promise<Ending> {
      for (let i = 0; i < 200 && ended.ending === null; i++) await clock.pass(50);
      assert(ended.ending !== null, "it ends");
      return ended.ending;
    },
  };
}

Deno.test("proposer host: calm, it is decided with no timer run, and none is left", async () => {
  const { drive, clock } = await rig();
  const { ending } = await drive();
  assert(ending?.type === "decided");
  assertEquals(ending.value.id, valueOf("a").id);
  assert(ending.certificate.kind !== "classic", ending.certificate.kind);
  assertEquals(clock.timers, 0);
});

Deno.test("proposer host: what is sent at an instance that is decided keeps its decision from nobody, what comes later does", async () => {
  for (const [byInstance, told] of [[1, ["b", "c"]], [2, []]] as const) {
    const { drive, learning, sent, clock } = await rig();
    const { ending } = await drive();
    assert(ending?.type === "decided");
    await learning.decided(KEY, ending.certificate, ending.value, []);
    // As a drive does with each message: one that has not heard that the instance is over, or the next one's.
    learning.superseded(KEY, byInstance);
    await clock.pass(10 * LEARN_DELAY_MS);
    assertEquals(sent.filter(({ message }) => message.type === "learn").map(({ to }) => to), [...told]);
  }
});

/** At instance 2, of which nothing is written yet. */
async function secondInstance(version = MACHINE_VERSION) {
  const gate = { open: Promise.resolve() };
  const rigged = await rig({ schedule: () => gate.open, version });
  const { drive, acceptor } = rigged;
  const { ending } = await drive();
  assert(ending?.type === "decided");
  const { certificate, value } = ending;
  await acceptor.handle({ type: "learn", key: KEY, epoch: 0, instance: 1, certificate, value }, "b");
  assertEquals((await acceptor.view(KEY)).snapshot.instance, 2);
  rigged.sent.length = 0;
  return {
    ...rigged,
    leavers: () =>
      rigged.sent.flatMap(({ to, message }) => message.type === "accept" && message.instance === 2 ? [to] : []),
    /** Commits wait until the returned function is called. */
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      gate.open = promise;
      return resolve;
    },
  };
}

Deno.test("proposer host: a value leaves while its own vote is written, and is decided once that is durable (R1)", async () => {
  const { drive, leavers, hold } = await secondInstance();
  const commit = hold();
  const ended = await drive(valueOf("a", 2));
  assertEquals(leavers(), ["b", "c"]);
  assertEquals(ended, { ending: null, error: null });
  commit();
  await settled();
  assert(ended.ending?.type === "decided");
  assertEquals(ended.ending.value.id, valueOf("a", 2).id);
});

Deno.test("proposer host: a value leaves only where no release votes any more that knows nothing of bars (R1)", async () => {
  const { drive, leavers, hold } = await secondInstance(MACHINE_OF_ALL);
  const commit = hold();
  const ended = await drive(valueOf("a", 2));
  assertEquals(leavers(), []);
  commit();
  await settled();
  assertEquals(leavers(), ["b", "c"]);
  assert(ended.ending?.type === "decided");
});

for (const fault of ["unknown-lost", "unknown-applied"] as const) {
  Deno.test(`proposer host: where the vote of a value that has left is of unknown outcome (${fault}), the record takes no other there`, async () => {
    const { drive, leavers, store, acceptor, end, peers } = await secondInstance();
    store.failNext = fault;
    const ended = await drive(valueOf("a", 2));
    assertEquals(leavers(), ["b", "c"]);
    const accept = {
      type: "accept",
      key: KEY,
      epoch: 0,
      instance: 2,
      ballot: STANDING,
      value: valueOf("c", 2),
    } as const;
    const reply = await acceptor.handle(accept, "c");
    assert(reply.type === "refused", reply.type);
    assertEquals(reply.vote?.value.id, fault === "unknown-lost" ? undefined : valueOf("a", 2).id);
    const ending = await end(ended);
    assert(ending.type === "decided");
    assertEquals([ending.value.id, peers.get("b")!.vote?.value.id], [valueOf("a", 2).id, valueOf("a", 2).id]);
  });
}

Deno.test("proposer host: a value does not leave before its own vote where another write of the record comes first (R1)", async () => {
  const { drive, acceptor, leavers, hold } = await secondInstance();
  const commit = hold();
  const accept = { type: "accept", key: KEY, epoch: 0, instance: 2, ballot: STANDING, value: valueOf("c", 2) } as const;
  const { snapshot: opening } = await acceptor.view(KEY);
  const other = acceptor.handle(accept, "c");
  await drive(valueOf("a", 2), opening);
  assertEquals(leavers(), []);
  commit();
  assertEquals((await other).type, "accepted");
  await settled();
  assertEquals(leavers(), []);
});

Deno.test("proposer host: of a record that is new nobody hears before the own vote is durable (R1)", async () => {
  const { drive, store, sent } = await rig();
  store.failNext = "unknown-lost";
  await drive();
  assertEquals(sent.filter(({ message }) => message.type === "accept"), []);
});

for (const fault of ["unknown-lost", "unknown-applied"] as const) {
  Deno.test(`proposer host: after an own vote of unknown outcome (${fault}) it goes on by Prepare, with one value`, async () => {
    const { drive, store, end, sent } = await rig();
    store.failNext = fault;
    const ending = await end(await drive());
    assert(ending.type === "decided");
    assertEquals(ending.value.id, valueOf("a").id);
    const values = sent.flatMap(({ message }) => message.type === "accept" ? [message.value.id] : []);
    assertEquals(new Set(values).size, 1);
  });
}

Deno.test("proposer host: while an own write is under way it recovers nothing, and after 5 s it does not count on it any more", async () => {
  const { drive, store, clock, sent } = await rig();
  store.update = () => new Promise(() => {});
  await drive();
  const prepares = () => sent.filter(({ message }) => message.type === "prepare").length;
  for (let ms = 0; ms < 5_000; ms += 50) {
    assertEquals(sent, []);
    await clock.pass(50);
  }
  for (let ms = 0; ms < 500; ms += 50) await clock.pass(50);
  assert(prepares() > 0);
});

Deno.test("proposer host: an own write that took long leaves the others three times as long", async () => {
  const { drive, store, clock, sent, lose } = await rig();
  const { update } = store;
  const gate = Promise.withResolvers<void>();
  store.update = async (...args) => {
    await gate.promise;
    return await update.apply(store, args) as never;
  };
  lose((_to, { type }) => type === "accept");
  await drive();
  await clock.pass(390);
  gate.resolve();
  await settled();
  const types = () => [...new Set(sent.map(({ message }) => message.type))];
  assertEquals(types(), ["accept"]);
  await clock.pass(3 * 390 - 10);
  assertEquals(types(), ["accept"]);
  for (let ms = 0; ms < 500; ms += 50) await clock.pass(50);
  assert(types().includes("prepare"), `${types()}`);
});

Deno.test("proposer host: a vote that comes after its peer's deadline is counted", async () => {
  const { drive, hold, expire, sent } = await rig();
  const answers = ["b", "c"].map(hold);
  expire();
  const ended = await drive();
  assertEquals(ended.ending, null);
  for (const answer of answers) await answer();
  assertEquals(ended.ending?.type, "decided");
  assertEquals([...new Set(sent.map(({ message }) => message.type))], ["accept"]);
});

Deno.test("proposer host: while a quorum is silent it prepares again and again, each time in a ballot of its own, later and later", async () => {
  const { drive, lose, clock, sent, end } = await rig();
  lose(() => true);
  const ended = await drive();
  const atMs: number[] = [];
  let seen = 0;
  for (let i = 0; i < 300; i++) {
    await clock.pass(20);
    const prepares = sent.filter(({ to, message }) => to === "b" && message.type === "prepare").length;
    if (prepares > seen) atMs.push(clock.now());
    seen = prepares;
  }
  assertEquals(ended.ending, null);
  const ballots = sent.flatMap(({ to, message }) => to === "b" && message.type === "prepare" ? [message.ballot] : []);
  assert(ballots.length >= 3 && ballots.length < 40, `${ballots.length} in 6 s`);
  assertEquals(new Set(ballots.map((ballot) => JSON.stringify(ballot))).size, ballots.length);
  const gaps = atMs.slice(1).map((ms, i) => ms - atMs[i]!);
  assert(gaps.at(-1)! >= gaps[0]!, `${gaps}`);
  lose(() => false);
  assertEquals((await end(ended)).type, "decided");
});

Deno.test("proposer host: a vote that comes a moment after a guarded decision could be made saves its write", async () => {
  const { drive, hold, clock, onDisk } = await rig();
  const answers = hold("c");
  const ended = await drive();
  assertEquals([ended.ending, onDisk()], [null, 1]);
  await answers();
  assert(ended.ending?.type === "decided");
  assertEquals([ended.ending.certificate.kind, onDisk(), clock.timers], ["open", 1, 0]);
});

Deno.test("proposer host: what no other vote comes for is decided by that write after 1 ms", async () => {
  const { drive, lose, clock, onDisk } = await rig();
  lose((to) => to === "c");
  const ended = await drive();
  assertEquals([ended.ending, onDisk()], [null, 1]);
  await clock.pass(1);
  assert(ended.ending?.type === "decided");
  assertEquals([ended.ending.certificate.kind, onDisk(), clock.timers], ["inclusive", 2, 0]);
});

Deno.test("proposer host: a guarded decision waits for nobody once the last vote can only be another's", async () => {
  const { drive, peers, hold, clock, onDisk } = await rig();
  const answers = hold("c");
  const theirs: Vote = { ballot: STANDING, kind: "fast", value: valueOf("c") };
  peers.set("c", { ...peers.get("c")!, vote: theirs });
  const ended = await drive();
  assertEquals(ended.ending, null);
  await answers();
  assert(ended.ending?.type === "decided");
  assertEquals([ended.ending.certificate.kind, onDisk(), clock.timers], ["inclusive", 2, 0]);
});

Deno.test("proposer host: where last votes came late a guarded decision waits for none", async () => {
  const { drive, lose, timing, onDisk } = await rig();
  for (let i = 0; i < 16; i++) timing.lastVotes.note(false);
  lose((to) => to === "c");
  const { ending } = await drive();
  assert(ending?.type === "decided");
  assertEquals([ending.certificate.kind, onDisk()], ["inclusive", 2]);
});

Deno.test("proposer host: given up, it stops at once: no timer, and nothing more is sent", async () => {
  const { drive, lose, giveUp, clock, sent } = await rig();
  lose(() => true);
  const ended = await drive();
  await clock.pass(500);
  giveUp.abort();
  await settled();
  assertEquals(ended.ending?.type, "given-up");
  const count = sent.length;
  await clock.pass(10_000);
  assertEquals([sent.length, clock.timers], [count, 0]);
});

Deno.test("proposer host: given up before it began, it does not begin", async () => {
  const { drive, giveUp, sent, store } = await rig();
  giveUp.abort();
  const { ending } = await drive();
  assertEquals([ending?.type, sent.length, store.disk.records.size], ["given-up", 0, 0]);
});

Deno.test("proposer host: another's value on the own record: it keeps its own at home, waits for word, and then finishes that one", async () => {
  const { drive, acceptor, end, sent } = await rig();
  const other = valueOf("c");
  await acceptor.handle({ type: "accept", key: KEY, epoch: 0, instance: 1, ballot: STANDING, value: other }, "c");
  const ended = await drive();
  assertEquals(sent.filter(({ message }) => message.type === "accept"), []);
  const ending = await end(ended);
  assert(ending.type === "decided");
  // c may have decided with a's vote and its own: nothing else may be chosen while c's report is missing.
  assert(logOf(machine.apply(machine.init(fast("b")), 1, ending.value)).length >= 1);
});

Deno.test("proposer host: the record moves on by somebody else's decision: it is over, with that state", async () => {
  const { drive, lose, acceptor } = await rig();
  lose(() => true);
  const ended = await drive();
  const value = valueOf("c");
  const state = machine.apply(machine.init(fast("b")), 1, value);
  const snapshot = { instance: 2, state, stateHash: machine.hash(state), decidedBy: null };
  await acceptor.handle({ type: "learn", key: KEY, epoch: 0, instance: 2, certificate: null, snapshot }, "c");
  await settled();
  assert(ended.ending?.type === "over");
  assertEquals(ended.ending.snapshot.instance, 2);
});

Deno.test("proposer host: a peer that is ahead ends it with the peer's state", async () => {
  const { drive, peers } = await rig();
  const value = valueOf("c");
  const state = machine.apply(machine.init(fast("b")), 1, value);
  const record = { ...freshRecord(machine, fast("b")), instance: 2, state, stateHash: machine.hash(state) };
  for (const id of peers.keys()) peers.set(id, record);
  const { ending } = await drive();
  assert(ending?.type === "over");
  assertEquals(ending.snapshot, snapshotOf(record));
});

Deno.test("proposer host: nothing to propose and nothing under way is idle; a vote under way is finished", async () => {
  const calm = await rig();
  assertEquals((await calm.end(await calm.drive(null))).type, "idle");
  const stuck = await rig();
  // A client's value, of no proposer: two of three voted, so it may be chosen.
  const { commands } = valueOf("c");
  const id = sharedValueId(sha256Hex, KEY, commands);
  const value = { id, proposer: "" as const, commands };
  const accept = { type: "accept", key: KEY, epoch: 0, instance: 1, ballot: STANDING, value } as const;
  for (const peer of ["b", "c"]) {
    const { record } = stepAcceptor(rulesOf(peer, 3), stuck.peers.get(peer)!, accept, { from: "", seenMs: {} });
    stuck.peers.set(peer, record);
  }
  const ending = await stuck.end(await stuck.drive(null));
  assert(ending.type === "decided");
  assertEquals(ending.value.id, id);
});

Deno.test("proposer host: under another's classic ballot it prepares, and its value is decided", async () => {
  const { drive, end } = await rig({ mode: classic("b") });
  const ending = await end(await drive());
  assert(ending.type === "decided");
  assertEquals([ending.value.id, ending.certificate.ballot[0] >= 1], [valueOf("a").id, true]);
});

Deno.test("proposer host: a peer that is behind is sent what it lacks, and then votes", async () => {
  const { drive, acceptor, peers, sent } = await rig();
  const value = valueOf("c");
  const state = machine.apply(machine.init(fast("b")), 1, value);
  const snapshot = { instance: 2, state, stateHash: machine.hash(state), decidedBy: null };
  await acceptor.handle({ type: "learn", key: KEY, epoch: 0, instance: 2, certificate: null, snapshot }, "c");
  const { ending } = await drive(valueOf("a", 2));
  assert(ending?.type === "decided", JSON.stringify(ending));
  assert(sent.some(({ message }) => message.type === "accept" && message.snapshot !== undefined));
  assertEquals([...peers.values()].some(({ instance, vote }) => instance === 2 && vote !== null), true);
});

Deno.test("proposer host: votes that no step can make sense of end the drive with a report, and not the process", async () => {
  const { drive, clock, lose, spoil, reports } = await rig({ mode: { kind: "prepare" } });
  lose(() => false);
  const broken = { ballot: STANDING, kind: "fast" } as Vote;
  spoil((reply) => reply.type === "promise" ? { ...reply, vote: broken } : reply);
  const ended = await drive();
  for (let i = 0; i < 20 && ended.error === null; i++) await clock.pass(50);
  // A rejection that nobody handles would have failed this test by itself.
  assert(ended.error !== null && ended.ending === null);
  assertEquals(reports.length, 1);
  assert(reports[0]!.startsWith(`${KEY} cannot go on here: `), reports[0]);
  await clock.pass(60_000);
  assertEquals(reports.length, 1);
});
