/** Amnesia (PROTOCOL.md §9): who may vote after a start, on memory disks that are rolled back, emptied and copied. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import type { Mark, Transport } from "../../src/ports.ts";
import { knownLife, VoteGate } from "../../src/replica/vote_gate.ts";
import { MemoryDisk, type MemoryImage, openMemoryStore } from "../../src/store/memory_ballot_store.ts";
import { valueOf } from "../paxos/samples.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { type Answers, peersAnswering } from "./answering.ts";
import { until } from "./clocks.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "./memory_cluster.ts";

const INCARNATION = "life-1";
const MEMBER = { id: "a", cluster: "test", config: null };

/**
 * A store of member a, on record at others, that was opened `boots` times and confirmed the first two: commit 4 is the last
 * it spoke of.
 */
async function storeAt(boots: number) {
  const disk = new MemoryDisk();
  const first = await openMemoryStore({ disk, run: () => "run-1" });
  await first.init({ cluster: "test", id: "a", incarnation: INCARNATION, config: "{}" });
  let store = first;
  for (let boot = 2; boot <= boots; boot++) {
    // In one atomic: the tests count commits.
    if (boot <= 3) await Promise.all([store.confirm(), store.confirmLife()]);
    store.crash();
    store = await openMemoryStore({ disk, run: () => `run-${boot}` });
  }
  if (boots > 1) return store;
  throw new Error("a store that was opened once was never closed");
}

async function standing(answers: Answers, boots = 3) {
  const store = await storeAt(boots);
  const clock = new ManualClock();
  const lines: string[] = [];
  const quorums = new QuorumSystem(["a", ...Object.keys(answers)]);
  const it = new VoteGate(MEMBER, quorums, store, peersAnswering(answers), clock, (line) => lines.push(line));
  const confirmed = { done: false };
  const ending = it.confirm().then(() => confirmed.done = true);
  await settled();
  return { it, store, clock, lines, confirmed, ending };
}

const OLD: Mark = { incarnation: INCARNATION, boot: 2, run: "run-2", seq: 2 };

Deno.test("standing: confirmed once a phase-1 quorum, this node included, has told its marks", async () => {
  const three = await standing({ b: OLD, c: "silent" });
  assertEquals([three.it.reason(), three.confirmed.done], [null, true]);
  const five = await standing({ b: OLD, c: null, d: "silent", e: "silent" });
  assertEquals([five.it.reason(), five.confirmed.done], [null, true]);
});

Deno.test("standing: with too few answers it waits, asks again, and begins to vote when enough answer", async () => {
  const answers: Answers = { b: OLD, c: "silent", d: "silent", e: "silent" };
  const { it, clock, confirmed } = await standing(answers);
  for (let i = 0; i < 20; i++) await clock.pass(100);
  assertEquals(confirmed.done, false);
  assert(it.reason()?.startsWith("waiting for a quorum"), `${it.reason()}`);
  answers["e"] = null;
  await clock.pass(500);
  assertEquals([it.reason(), confirmed.done], [null, true]);
});

Deno.test("standing: between two epochs a quorum of each must know nothing against it, until the old one is retired", async () => {
  const gateOf = async (answers: Answers, isRetired = false) => {
    const store = await storeAt(3);
    const clock = new ManualClock();
    const next = new QuorumSystem(["a", "b", "d"]);
    const before = () => isRetired ? null : new QuorumSystem(["a", "b", "c"]);
    const peers = peersAnswering(answers);
    const it = new VoteGate(MEMBER, next, store, peers, clock, () => {}, () => {}, { before });
    void it.confirm();
    await settled();
    it.close();
    return it.reason();
  };
  assertEquals(await gateOf({ b: "silent", c: OLD, d: null }), null);
  assertEquals((await gateOf({ b: "silent", c: "silent", d: null }))?.startsWith("waiting for a quorum"), true);
  assertEquals(await gateOf({ b: "silent", d: null }, true), null);
  // What it voted for in the old epoch, a new member has not heard of.
  assertEquals((await gateOf({ b: "silent", c: { ...OLD, boot: 9 }, d: null }))?.startsWith("quarantined"), true);
});

Deno.test("standing: a node that goes on from one that was found whole in this process asks nobody", async () => {
  const store = await storeAt(3);
  const next = new QuorumSystem(["a", "b", "d"]);
  const it = new VoteGate(
    MEMBER,
    next,
    store,
    peersAnswering({ b: "silent", d: "silent" }),
    new ManualClock(),
    () => {},
    () => {},
    {
      resumes: true,
    },
  );
  assertEquals([it.speaks, it.reason()], [true, null]);
});

Deno.test("standing: one lost question does not keep it from voting for the whole deadline of it", async () => {
  const store = await storeAt(3);
  const clock = new ManualClock();
  let asked = 0;
  const transport: Transport = {
    ...peersAnswering({ b: OLD, c: "silent" }),
    send(to, message) {
      // The first to b is lost: no answer, and no word of it before its deadline.
      if (to === "b" && asked++ === 0) return new Promise(() => {});
      return peersAnswering({ b: OLD, c: "silent" }).send(to, message);
    },
  };
  const it = new VoteGate(MEMBER, new QuorumSystem(["a", "b", "c"]), store, transport, clock, () => {});
  it.confirm();
  await settled();
  assert(!it.speaks);
  await clock.pass(200);
  assert(it.speaks, `after ${asked} questions`);
  it.close();
});

Deno.test("standing: closed while it waits, it asks no more", async () => {
  const { it, clock, confirmed } = await standing({ b: "silent", c: "silent" });
  it.close();
  for (let i = 0; i < 5; i++) await clock.pass(100);
  assertEquals([confirmed.done, clock.timers], [true, 0]);
  assert(it.reason() !== null);
});

const LIES: Record<string, Mark> = {
  "a commit it does not have": { ...OLD, seq: 9 },
  "a later boot": { ...OLD, boot: 4, run: "run-4", seq: 2 },
  "another run of this boot": { ...OLD, boot: 3, run: "copy", seq: 2 },
  "another life under this id": { ...OLD, incarnation: "life-0" },
  // Opening the store is a commit as well: it must not stand in for the one that was lost.
  "the one commit that was lost, numbered like this start's own": { ...OLD, seq: 5 },
};

for (const [what, mark] of Object.entries(LIES)) {
  Deno.test(`standing: a peer has heard of ${what}: quarantined for ever, said once, also by one peer alone`, async () => {
    const { it, store, lines, confirmed } = await standing({ b: mark, c: "silent", d: null, e: OLD });
    assert(it.reason()?.startsWith("quarantined: b "), `${it.reason()}`);
    assertEquals([confirmed.done, lines.length], [true, 1]);
    assert(!lines[0]!.includes("\n"));
    store.crash();
    const again = await openMemoryStore({ disk: store.disk });
    assert(again.quarantined() !== null, "it is on disk");
  });
}

Deno.test("standing: a store that was rolled back, then opened once more in vain, is still found out", async () => {
  // Boot 2 was heard of at commit 5; rolled back to commit 4, the opens of boots 3 and 4 number up past it.
  const { it } = await standing({ b: { ...OLD, seq: 5 }, c: "silent" }, 4);
  assert(it.reason()?.startsWith("quarantined: b "), `votes after a rollback: ${it.reason()}`);
});

Deno.test("standing: a store that belongs to nobody never votes and asks nobody", async () => {
  const store = await openMemoryStore();
  const it = new VoteGate(
    MEMBER,
    new QuorumSystem(["a", "b", "c"]),
    store,
    peersAnswering({}),
    new ManualClock(),
    () => {},
  );
  await it.confirm();
  assert(it.reason()?.includes("--init"), `${it.reason()}`);
});

Deno.test("standing: a second life of an id is known by whoever has met the first", async () => {
  const members = ["a", "b", "c"];
  assertEquals(await knownLife(peersAnswering({ b: null, c: "silent" }), members, "a"), null);
  assertEquals(await knownLife(peersAnswering({ b: null, c: OLD }), members, "a"), "c");
});

/** `n` acknowledged writes through `through`. */
async function write(cluster: MemoryCluster, through: string, name: string): Promise<string> {
  const { body } = await cluster.node(through).locks.acquire(name, request("me"), caller());
  return body.fence;
}

/** Kills `id`, puts `image` on its disk, and starts it again; resolves when it knows whether it votes. */
async function rollBack(cluster: MemoryCluster, id: string, image: MemoryImage): Promise<void> {
  cluster.kill(id);
  cluster.disk(id).restore(image);
  await cluster.restart(id);
}

async function assertCastsNoVote(cluster: MemoryCluster, id: string): Promise<void> {
  const before = cluster.disk(id).snapshot().records;
  const value = valueOf("b");
  const accept = { type: "accept", key: "lock/never", epoch: 0, instance: 1, ballot: STANDING, value } as const;
  const [reply] = await cluster.node(id).receive("b", "acceptor", [accept]);
  assertEquals(reply?.type, "unavailable");
  const others = cluster.ids.filter((other) => other !== id);
  for (const other of others.slice(0, 2)) await write(cluster, other, `while-${id}-is-out-${other}`);
  const own = await assertRejects(
    () => cluster.node(id).locks.acquire("own", request("me"), caller({ timeoutMs: 300 })),
    QuorateError,
  );
  assert(["not-ready", "no-quorum"].includes(own.code), own.code);
  await settled();
  assertEquals(cluster.disk(id).snapshot().records, before, "no record of it changed");
}

for (const lost of [1, 2, 20]) {
  Deno.test(`standing: a node whose store lost its last ${lost} commits is quarantined, and the rest go on`, async () => {
    const cluster = await memoryCluster(5);
    try {
      await write(cluster, "c", "first");
      const images: MemoryImage[] = [];
      for (let i = 0; i < 30; i++) {
        images.push(cluster.disk("c").snapshot());
        await write(cluster, "c", `more-${i}`);
      }
      await until("everybody learned", () => cluster.ids.every((id) => cluster.disk(id).records.size >= 31));
      // Counted from the last that peers have heard of; what nobody heard of nobody can miss.
      const heard = Math.max(
        ...["a", "b", "d", "e"].map((peer) => cluster.store(peer).marks()["c"]?.seq ?? 0),
      );
      const seqOf = (image: MemoryImage) => (JSON.parse(image.meta!) as { seq: number }).seq;
      const image = images.findLast((image) => seqOf(image) <= heard - lost);
      assert(image !== undefined);
      // Exactly as many as named, by keeping the meta row of the moment in question.
      const meta = { ...JSON.parse(image.meta!), seq: heard - lost };
      await rollBack(cluster, "c", { records: image.records, meta: JSON.stringify(meta) });
      assert(cluster.node("c").status().reason?.startsWith("quarantined"), `${cluster.node("c").status().reason}`);
      await assertCastsNoVote(cluster, "c");
      // And so for ever, whoever it asks next time.
      cluster.kill("c");
      await cluster.restart("c");
      assert(cluster.node("c").status().reason?.startsWith("quarantined"));
    } finally {
      cluster.close();
    }
  });
}

Deno.test("standing: a minority of two rolled back: both quarantined, three go on and have every acknowledged hold", async () => {
  const cluster = await memoryCluster(5);
  try {
    const images = ["a", "d"].map((id) => [id, cluster.disk(id).snapshot()] as const);
    const held = new Map<string, string>();
    for (let i = 0; i < 10; i++) held.set(`h${i}`, await write(cluster, cluster.ids[i % 5]!, `h${i}`));
    for (const [id, image] of images) await rollBack(cluster, id, image);
    for (const [id] of images) {
      assert(cluster.node(id).status().reason?.startsWith("quarantined"), `${id}: ${cluster.node(id).status().reason}`);
    }
    for (const [name, fence] of held) {
      const { body } = await cluster.node("b").locks.get(name, { stale: false, timeoutMs: 30_000 });
      assertEquals(body.holders[0]?.fence, fence);
      await assertRejects(() => cluster.node("c").locks.acquire(name, request("thief"), caller()), QuorateError);
    }
  } finally {
    cluster.close();
  }
});

Deno.test("standing: restarted as it was, killed at any moment, a node votes again", async () => {
  const cluster = await memoryCluster(3);
  try {
    for (let i = 0; i < 10; i++) {
      const writing = write(cluster, "a", `n${i}`).catch(() => null);
      if (i % 2 === 0) await writing;
      cluster.kill("b");
      await cluster.restart("b");
      assertEquals(cluster.node("b").status().reason, undefined, `restart ${i}`);
      await writing;
    }
    for (const id of cluster.ids) {
      cluster.kill(id);
      await cluster.restart(id);
      assertEquals(cluster.node(id).status().voting, true);
    }
  } finally {
    cluster.close();
  }
});

Deno.test("standing: an empty store under a known id: whoever asks before --init is told, and its marks are kept from it", async () => {
  const cluster = await memoryCluster(3);
  try {
    await write(cluster, "b", "something");
    const marks = cluster.store("a").marks()["b"];
    cluster.kill("b");
    cluster.disk("b").restore({ records: new Map(), meta: null });
    const transport = cluster.network.transportOf("x");
    assert(await knownLife(transport, cluster.ids, "b") !== null, "init is refused");
    // Even if somebody forced it: the peers hold its first life against it.
    await cluster.restart("b");
    assert(cluster.node("b").status().reason?.startsWith("quarantined"), `${cluster.node("b").status().reason}`);
    await write(cluster, "a", "more");
    const { incarnation } = cluster.store("a").marks()["b"]!;
    assertEquals(incarnation, marks?.incarnation);
  } finally {
    cluster.close();
  }
});

Deno.test("standing: a copy of a store that ran in place of the original makes the original a liar too", async () => {
  const cluster = await memoryCluster(3);
  try {
    await write(cluster, "a", "one");
    cluster.kill("a");
    const original = cluster.disk("a").snapshot();
    await cluster.restart("a");
    await write(cluster, "a", "by the copy");
    await rollBack(cluster, "a", original);
    assert(cluster.node("a").status().reason?.startsWith("quarantined"), `${cluster.node("a").status().reason}`);
  } finally {
    cluster.close();
  }
});

Deno.test("standing: a rolled back node that starts alone gives no vote while it waits, and is found out when peers return", async () => {
  const cluster = await memoryCluster(3, { deadlineMs: 100 });
  try {
    const image = cluster.disk("a").snapshot();
    for (let i = 0; i < 5; i++) await write(cluster, "a", `w${i}`);
    cluster.kill("a");
    cluster.disk("a").restore(image);
    for (const peer of ["b", "c"]) cluster.network.cut("a", peer);
    const started = cluster.restart("a");
    await settled();
    assert(cluster.node("a").status().reason?.startsWith("waiting"), `${cluster.node("a").status().reason}`);
    cluster.network.heal("a", "c");
    await started;
    assert(cluster.node("a").status().reason?.startsWith("quarantined"), `${cluster.node("a").status().reason}`);
  } finally {
    cluster.close();
  }
});
