/** Watching over whole nodes in memory: nothing missed, nothing invented, nothing out of order. */
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import type { LockState } from "../../src/api.ts";
import { QuorateError } from "../../src/errors.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { keyState } from "../../src/machine/state.ts";
import type { Snapshot } from "../../src/paxos/message.ts";
import type { AcceptorHost } from "../../src/replica/acceptor_host.ts";
import type { AnyMoveListener } from "../../src/replica/own_record.ts";
import { LeaseClock } from "../../src/replica/lease_clock.ts";
import type { Learning } from "../../src/replica/learning.ts";
import type { Names } from "../../src/replica/names.ts";
import { type NounView, nounViews } from "../../src/service/views/nouns.ts";
import type { BallotStore } from "../../src/ports.ts";
import type { Reader } from "../../src/replica/reader.ts";
import { Watching, type WatchParts } from "../../src/watch/watching.ts";
import type { WatchEvent } from "../../src/service/watch_service.ts";
import { ManualClock } from "../transport/manual_clock.ts";
import { fastClock, SEED, seeded, until } from "../replica/clocks.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "../replica/memory_cluster.ts";

/** On a node of which only what is given is there. */
function alone(clock: ManualClock, parts: Partial<WatchParts>): Watching {
  return new Watching({
    acceptor: {
      rules: { me: "a" },
      onAnyMove: () => {},
      shown: () => Promise.resolve(null),
    } as unknown as AcceptorHost,
    reader: {} as Reader,
    learning: {} as Learning,
    names: {} as Names,
    store: { identity: () => ({ boot: 7 }) } as unknown as BallotStore,
    clock,
    random: { next: () => 0, id: () => "" },
    expire: () => {},
    views: nounViews(new LeaseClock(clock, createMachine({ digest: sha256Hex }))),
    ...parts,
  });
}

async function withCluster(n: number, run: (cluster: MemoryCluster) => Promise<void>, times = 1): Promise<void> {
  const cluster = await memoryCluster(n, { clock: fastClock(times) });
  try {
    await run(cluster);
  } finally {
    cluster.close();
  }
}

function collector() {
  const events: WatchEvent[] = [];
  return { events, push: (event: WatchEvent) => void events.push(event) };
}

const bodyOf = (event: WatchEvent | undefined) => event?.body as LockState;
const acquire = (cluster: MemoryCluster, id: string, name: string, holder = "h") =>
  cluster.node(id).locks.acquire(name, request(holder), caller());

async function revisionAt(cluster: MemoryCluster, id: string, name: string): Promise<string> {
  return (await cluster.node(id).locks.get(name, { stale: false, timeoutMs: 30_000 })).body.revision;
}

/** Acquires and releases a name through nodes in turn; each revision that was acknowledged, in order. */
async function change(cluster: MemoryCluster, name: string, times: number): Promise<string[]> {
  const revisions: string[] = [];
  for (let i = 0; i < times; i++) {
    const id = cluster.ids[i % cluster.ids.length]!;
    const { body } = await acquire(cluster, id, name);
    const released = await cluster.node(id).locks.release(name, body.fence, caller());
    revisions.push(body.revision, released.body.revision);
  }
  return revisions;
}

Deno.test("watching: every acknowledged change of a name, at another node, in its order, and renewals are none", () =>
  withCluster(3, async (cluster) => {
    const { events, push } = collector();
    const stop = await cluster.node("c").watches.watch("lock", "w", null, 3_000, push);
    assertEquals(events.map(({ type, id }) => [type, id]), [["changed", "0"]], "it begins with what is there");
    const all = collector();
    await cluster.node("c").watches.watchRanges("lock", [{ prefix: "", exact: false }], null, all.push);
    const { body } = await acquire(cluster, "a", "w");
    await cluster.node("b").locks.renew("w", body.fence, {}, caller());
    const released = await cluster.node("b").locks.release("w", body.fence, caller());
    const last = released.body.revision;
    await until("the last is seen", () => events.at(-1)?.id === last);
    assertEquals(events.map(({ id }) => id), ["0", body.revision, last]);
    assertEquals(events.map((event) => bodyOf(event).state), ["free", "held", "free"]);
    assertEquals(bodyOf(events[1]).holders[0]?.fence, body.fence);
    assertEquals(all.events.map((event) => bodyOf(event)?.revision), [undefined, body.revision, last]);
    stop();
    await acquire(cluster, "a", "w");
    await until("c has it", async () => await revisionAt(cluster, "c", "w") !== last);
    assertEquals(events.length, 3, "whoever stopped is told nothing more");
  }));

Deno.test("watching: begun while changes go on, each watcher sees a run of them in order up to the last", () =>
  withCluster(3, async (cluster) => {
    const random = seeded(SEED);
    const watchers: WatchEvent[][] = [];
    let over = false;
    const writing = change(cluster, "busy", 40).finally(() => over = true);
    const begin = async (id: string) => {
      const { events, push } = collector();
      await cluster.node(id).watches.watch("lock", "busy", null, 3_000, push);
      watchers.push(events);
    };
    for (let i = 0; i < 30 && !over; i++) {
      await Promise.all(cluster.ids.map(begin));
      await new Promise((resolve) => setTimeout(resolve, random() * 5));
    }
    const written = await writing;
    const last = written.at(-1)!;
    await until("each has the last", () => watchers.every((events) => events.at(-1)?.id === last));
    const known = new Set(["0", ...written]);
    assertGreater(watchers.length, 3);
    for (const events of watchers) {
      const ids = events.map(({ id }) => BigInt(id));
      for (let i = 1; i < ids.length; i++) assertGreater(ids[i]!, ids[i - 1]!);
      for (const { id, body } of events) {
        assert(known.has(id), `revision ${id} was never decided`);
        assertEquals((body as LockState).revision, id);
      }
    }
  }));

Deno.test("watching: what is decided between the first read and its answer is told", () =>
  withCluster(3, async (cluster) => {
    const { events, push } = collector();
    const { body } = await acquire(cluster, "a", "between");
    await until("c has it", async () => await revisionAt(cluster, "c", "between") === body.revision);
    // The views that the read asked for stay on their way until c has learned more than is in them.
    const { release } = cluster.network.hold(({ to, content }) => to === "c" && content.type === "view");
    const watching = cluster.node("c").watches.watch("lock", "between", null, 3_000, push);
    const released = await cluster.node("a").locks.release("between", body.fence, caller());
    const seenByC = async () =>
      (await cluster.node("c").locks.get("between", { stale: true, timeoutMs: 1 })).body.revision;
    await until("c has learned it", async () => await seenByC() === released.body.revision);
    assertEquals(events, [], "it waits for its read");
    release();
    (await watching)();
    assertEquals(events.map(({ id }) => id), [released.body.revision]);
  }));

Deno.test("watching: nodes that do not vote tell of changes too", async () => {
  const cluster = await memoryCluster(3, { learners: 1 });
  try {
    const { events, push } = collector();
    const { watches } = cluster.node("v");
    await watches.watch("lock", "l", null, 3_000, push);
    const all = collector();
    await watches.watchRanges("lock", [{ prefix: "l", exact: false }], null, all.push);
    const revisions = await change(cluster, "l", 3);
    await until("the last is seen", () => events.at(-1)?.id === revisions.at(-1));
    assertEquals(bodyOf(all.events.at(-1)).revision, revisions.at(-1));
    for (const { id } of events) assert(id === "0" || revisions.includes(id), id);
  } finally {
    cluster.close();
  }
});

Deno.test("watching: a name goes on from its revision, says nothing twice, and resyncs from one that never was", () =>
  withCluster(3, async (cluster) => {
    const revisions = await change(cluster, "r", 2);
    const cases: [string, [string, string][]][] = [
      [revisions.at(-1)!, []],
      [revisions[0]!, [["changed", revisions.at(-1)!]]],
      [`${BigInt(revisions.at(-1)!) + 1n}`, [["resync", revisions.at(-1)!]]],
    ];
    for (const [after, expected] of cases) {
      const { events, push } = collector();
      (await cluster.node("b").watches.watch("lock", "r", BigInt(after), 3_000, push))();
      assertEquals(events.map(({ type, id }) => [type, id]), expected, after);
    }
  }));

Deno.test("watching: without a quorum nobody is told that a name has not changed", () =>
  withCluster(3, async (cluster) => {
    cluster.kill("a");
    cluster.kill("b");
    const { push } = collector();
    const watches = cluster.node("c").watches;
    for (
      const attempt of [
        () => watches.watch("lock", "q", null, 200, push),
        () => watches.poll("lock", "q", 0n, { waitMs: 0, timeoutMs: 200 }),
      ]
    ) assertEquals((await assertRejects(attempt, QuorateError)).code, "no-quorum");
  }));

Deno.test("watching: whoever decided dies before it told anybody; the watcher sees it all the same", () =>
  withCluster(3, async (cluster) => {
    const { events, push } = collector();
    const ranged = collector();
    await acquire(cluster, "b", "crash/1", "before");
    await cluster.node("c").watches.watch("lock", "crash/1", null, 3_000, push);
    await cluster.node("c").watches.watchRanges("lock", [{ prefix: "crash/", exact: false }], null, ranged.push);
    const { fence } = bodyOf(events[0]).holders[0]!;
    // Node c hears nothing of it at all: neither to vote, nor that it was decided.
    cluster.network.drop(({ from, to }) => from === "a" && to === "c");
    await cluster.node("a").locks.force("crash/1", "test", caller());
    cluster.kill("a");
    await until("the watcher is told", () => events.length > 1 && ranged.events.length > 1);
    assertEquals(bodyOf(events.at(-1)).state, "free");
    assertEquals(bodyOf(ranged.events.at(-1)), bodyOf(events.at(-1)));
    assert(fence !== "");
  }, 20));

Deno.test("watching: ranges tell of the names in them only, and go on from any event at the node that told it", () =>
  withCluster(3, async (cluster) => {
    const { events, push } = collector();
    const ranges = [{ prefix: "deploy/", exact: false }, { prefix: "one", exact: true }];
    const { watches } = cluster.node("b");
    const stop = await watches.watchRanges("lock", ranges, null, push);
    assertEquals(events.map(({ type, id, body }) => [type, id, body]), [["resync", "b.1.0", null]]);
    for (const name of ["deploy/x", "deploy", "deployx", "one", "one/2", "deploy/y"]) await acquire(cluster, "a", name);
    await until("three events", () => events.length === 4);
    assertEquals(events.slice(1).map(({ body }) => (body as LockState).name), ["deploy/x", "one", "deploy/y"]);
    stop();
    await change(cluster, "two", 1);
    const { body } = await acquire(cluster, "c", "deploy/z");
    await cluster.node("c").locks.release("deploy/z", body.fence, caller());
    const released = await revisionAt(cluster, "c", "deploy/z");
    await until(
      "b has it",
      async () =>
        (await cluster.node("b").locks.get("deploy/z", { stale: true, timeoutMs: 1 })).body.revision === released,
    );

    const namesAfter = async (id: string, after: string) => {
      const later = collector();
      (await cluster.node(id).watches.watchRanges("lock", ranges, after, later.push))();
      return later.events.map((event) => event.type === "resync" ? "resync" : bodyOf(event).name);
    };
    assertEquals(await namesAfter("b", events[1]!.id), ["one", "deploy/y", "deploy/z"]);
    assertEquals(await namesAfter("b", events[3]!.id), ["deploy/z"]);
    // Another node, an older start of this one, a number not reached yet, nonsense.
    for (const after of [events[1]!.id.replace("b.", "c."), "b.0.1", "b.2.1", "b.1.999999", "b.1", "", "b.1.-1", "1"]) {
      assertEquals(await namesAfter("b", after), ["resync"], after);
    }
    assertEquals(await namesAfter("c", events[3]!.id), ["resync"]);
  }));

Deno.test("watching: a poll answers when there is something newer, at the end of its time, or when nobody waits any more", () =>
  withCluster(3, async (cluster) => {
    const { watches } = cluster.node("b");
    const options = { waitMs: 60_000, timeoutMs: 3_000 };
    const waiting = watches.poll("lock", "p", 0n, options);
    const { body } = await acquire(cluster, "a", "p");
    const newer = await waiting;
    assertEquals([newer.isNewer, (newer.body as LockState).revision], [true, body.revision]);
    assertEquals((await watches.poll("lock", "p", 0n, options)).isNewer, true, "at once");
    const known = BigInt(body.revision);
    assertEquals((await watches.poll("lock", "p", known, { ...options, waitMs: 0 })).isNewer, false);
    assertEquals((await watches.poll("lock", "p", known, { ...options, waitMs: 5 })).isNewer, false);
    const gone = new AbortController();
    const left = watches.poll("lock", "p", known, { ...options, signal: gone.signal });
    gone.abort();
    assertEquals((await left).isNewer, false);
  }));

Deno.test("watching: what is deleted is told as such, to those who watch the name and the prefix, and to a poll", async () => {
  const state = (revision: string) => ({ version: 1, revision }) as unknown as Snapshot["state"];
  const snapshot = (instance: number, revision: string) =>
    ({ instance, state: state(revision), stateHash: "", decidedBy: null }) as Snapshot;
  let newest = snapshot(1, "0");
  let moved: AnyMoveListener = () => {};
  const clock = new ManualClock();
  const oddOnly: NounView = (name, _key, state) => {
    const { revision } = keyState(state);
    return Number(revision) % 2 === 1 ? { name, revision } : null;
  };
  const watching = alone(clock, {
    acceptor: {
      rules: { me: "a" },
      onAnyMove: (listener: AnyMoveListener) => void (moved = listener),
      shown: () => Promise.resolve({ snapshot: newest, vote: null }),
    } as unknown as AcceptorHost,
    reader: { read: () => Promise.resolve(newest) } as unknown as Reader,
    // There while its revision is odd.
    views: { ...nounViews(new LeaseClock(clock, createMachine({ digest: sha256Hex }))), lock: oddOnly },
  });
  const { events, push } = collector();
  const all = collector();
  const stops = [
    await watching.watch("lock", "x", null, 1_000, push),
    await watching.watchRanges("lock", [{ prefix: "", exact: false }], null, all.push),
  ];
  const move = (revision: string) => {
    const from = newest.instance;
    newest = snapshot(from + 1, revision);
    moved("lock/x", newest, from);
  };
  move("1025");
  move("2050");
  const gone = { name: "x", revision: "2050" };
  assertEquals(events, [
    { type: "deleted", id: "0", body: { name: "x", revision: "0" } },
    { type: "changed", id: "1025", body: { name: "x", revision: "1025" } },
    { type: "deleted", id: "2050", body: gone },
  ]);
  assertEquals(all.events.slice(1).map(({ type, id }) => [type, id]), [["changed", "a.7.1"], ["deleted", "a.7.2"]]);
  assertEquals(all.events[2]!.body, gone);
  const polled = await watching.poll("lock", "x", 1_025n, { waitMs: 0, timeoutMs: 1 });
  assertEquals([polled.isNewer, polled.body], [true, null]);
  assertEquals([watching.watchers, clock.timers], [2, 2]);
  for (const stop of stops) stop();
  await clock.pass(5_000);
  assertEquals([watching.watchers, clock.timers], [0, 0], "nothing goes on for longer than a round");
  for (const key of ["readyz", "members"]) moved(key, newest, 1);
});

Deno.test("watching: what a node missed is looked for also where each stream of it is cut off before a round is over", async () => {
  const clock = new ManualClock();
  let asked = 0;
  const page = () => {
    asked++;
    return Promise.resolve({ keys: [], more: false });
  };
  const watching = alone(clock, { names: { page } as unknown as Names });
  const ranges = [{ prefix: "cut/", exact: false }];
  for (let i = 0; i < 4; i++) {
    const stop = await watching.watchRanges("lock", ranges, null, () => {});
    await clock.pass(2_000);
    stop();
  }
  assertEquals(asked, 2, "the live names and all of them, once");
  watching.close();
});

Deno.test("watching: a node that was rolled back refuses at once, and does not begin and then fall silent", () =>
  withCluster(3, async (cluster) => {
    await acquire(cluster, "a", "w");
    const image = cluster.disk("c").snapshot();
    for (let i = 0; i < 5; i++) await acquire(cluster, "c", `more-${i}`);
    cluster.kill("c");
    cluster.disk("c").restore(image);
    cluster.restart("c").catch(() => {});
    await until("it is found out", () => cluster.store("c").quarantined() !== null);
    const { events, push } = collector();
    const error = await assertRejects(
      () => cluster.node("c").watches.watch("lock", "w", null, 2_000, push),
      QuorateError,
    );
    assertEquals([error.code, events], ["not-ready", []]);
  }));
