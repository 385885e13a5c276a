/** A store whose disk is full: what its node says to its operator, its callers and its peers, over a real Deno KV. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { createApp } from "../../routes/app.ts";
import { AT_FIRST } from "../../src/version.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { realClock, realRandomness } from "../../src/compose/world.ts";
import { QuorateError } from "../../src/errors.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import { createModes } from "../../src/engine/modes.ts";
import { ReplicaNode } from "../../src/compose/node.ts";
import { StoreError } from "../../src/ports.ts";
import { StoreHealth } from "../../src/replica/store_health.ts";
import { openOwnerStore } from "../../src/store/kv_ballot_store.ts";
import { createLocalNetwork } from "../../src/transport/local_transport.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { until } from "./clocks.ts";

type Disk = { isFull: boolean; isBroken: boolean };

/** A real database whose commits fail as SQLite's do on a full disk. */
function onDisk(kv: Deno.Kv, disk: Disk): Deno.Kv {
  return {
    getMany: kv.getMany.bind(kv),
    list(selector: Deno.KvListSelector, options?: Deno.KvListOptions) {
      if (disk.isBroken) throw new Error("disk I/O error");
      return kv.list(selector, options);
    },
    close: kv.close.bind(kv),
    atomic: () => {
      const atomic = kv.atomic();
      const commit = atomic.commit.bind(atomic);
      atomic.commit = () => disk.isFull ? Promise.reject(new Error("database or disk is full")) : commit();
      return atomic;
    },
  } as unknown as Deno.Kv;
}

type Node = {
  readonly disk: Disk;
  readonly lines: string[];
  readonly path: string;
  // deno-lint-ignore no-explicit-any -- tests look into documents of many shapes
  ask(path: string, init?: RequestInit): Promise<{ status: number; body: any; text: string; headers: Headers }>;
};

/** Nodes of one cluster, each with its app and a database in a file of its own. */
async function withNodes(ids: readonly string[], run: (nodes: readonly Node[]) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-disk-" });
  const network = createLocalNetwork({ clock: realClock });
  const nodes: Node[] = [];
  const ends: (() => Promise<void>)[] = [];
  try {
    for (const id of ids) {
      const path = `${folder}/${id}.sqlite`;
      const disk: Disk = { isFull: false, isBroken: false };
      const kv = onDisk(await Deno.openKv(path), disk);
      const machine = createMachine({ digest: sha256Hex });
      const store = await openOwnerStore({ apply: machine.apply, path, run: () => realRandomness.id(), kv });
      await store.init({ cluster: "test", id, incarnation: realRandomness.id(), config: "{}" });
      const lines: string[] = [];
      const node = new ReplicaNode({
        id,
        cluster: "test",
        urls: {},
        quorums: new QuorumSystem(ids),
        machine,
        modes: createModes(ids, [], sha256Hex),
        digest: sha256Hex,
        version: "test",
        report: (line) => lines.push(line),
      }, {
        store,
        transport: network.transportOf(id),
        clock: realClock,
        random: realRandomness,
        machine,
        versions: AT_FIRST,
      });
      network.connect(id, (from, mailbox, messages, mark) => node.receive(from, mailbox, messages, mark), {
        own: () => node.mark(),
        seen: (peer, mark) => node.note(peer, mark),
      });
      const app = createApp(node, {
        tokens: null,
        rate: null,
        peers: null,
        newId: () => realRandomness.id(),
        now: () => realClock.now(),
        after: realClock.after,
        report: (error) => lines.push(`500: ${error.stack}`),
      });
      ends.push(async () => {
        node.close();
        disk.isFull = false;
        await store.close();
      });
      nodes.push({
        disk,
        lines,
        path,
        async ask(target, init) {
          const response = await app.fetch(new Request(`http://localhost${target}`, init));
          const text = await response.text();
          assert(!text.includes(folder) && !text.includes(".sqlite"), text);
          return { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
        },
      });
      void node.start();
    }
    for (const { ask } of nodes) await until("it is ready", async () => (await ask("/readyz")).status === 200);
    await run(nodes);
  } finally {
    for (const end of ends) await end();
    await Deno.remove(folder, { recursive: true });
  }
}

const FULL = "the disk of this node is full";
const take = (name: string) => [`/v1/locks/${name}?timeoutMs=500`, { method: "POST", body: `{"holder":"h"}` }] as const;

Deno.test("a full disk is told by the answer, by /readyz, by /v1/status and by one line, and is over with the next write", () =>
  withNodes(["a"], async ([node]) => {
    const { ask, disk, lines, path } = node!;
    assertEquals((await ask(...take("x"))).status, 200);
    disk.isFull = true;
    const refused = await ask(...take("y"));
    assert(refused.status === 503 || refused.status === 504, refused.text);
    assertEquals(refused.headers.get("retry-after"), "1");
    assertStringIncludes(refused.body.detail, FULL);
    for (let i = 0; i < 20; i++) await ask(...take(`z${i}`));
    const ready = await ask("/readyz");
    assertEquals([ready.status, ready.body.code, ready.body.detail], [503, "not-ready", FULL]);
    const { body: status } = await ask("/v1/status");
    assertEquals([status.voting, status.reason], [false, FULL]);
    const told = `the store fails, and this node casts no vote until it works again: outcome of a commit unknown: ` +
      `${path}: the disk is full`;
    assertEquals(lines, [told]);
    disk.isFull = false;
    // Nobody asks it for anything that is written.
    await until("it is ready", async () => (await ask("/readyz")).status === 200);
    assertEquals(lines, [told, "the store works again"]);
    assertEquals((await ask(...take("late"))).status, 200);
  }));

Deno.test("a list of a node whose database fails is not ready, and nothing of where it is stands in it", () =>
  withNodes(["a"], async ([node]) => {
    const { ask, disk, lines, path } = node!;
    await ask(...take("x"));
    disk.isBroken = true;
    const { status, body } = await ask("/v1/locks?prefix=");
    assertEquals([status, body.code, body.detail], [503, "not-ready", "the store of this node failed"]);
    assert(lines.some((line) => line.includes(`${path}: disk I/O error`)), `${lines}`);
  }));

Deno.test("a member whose disk is full counts for no peer's readiness, and is named with why", () =>
  withNodes(["a", "b", "c"], async (nodes) => {
    const [a, b, c] = nodes as [Node, Node, Node];
    b.disk.isFull = true;
    await a.ask(...take("x"));
    await until("b knows", async () => (await b.ask("/readyz")).status === 503);
    // Two of three are left.
    await until("a has asked", async () => {
      const { body } = await a.ask("/v1/status");
      return (await a.ask("/readyz")).status === 200 && body.members[1].fault?.cause === "no-vote";
    });
    c.disk.isFull = true;
    await a.ask(...take("y"));
    await until("a knows", async () => (await a.ask("/readyz")).status === 503);
    const { body } = await a.ask("/readyz");
    assertStringIncludes(body.detail, "only 1 of 3 members answer, 2 are needed");
    const told = body.peers.map(({ id, cause, detail }: Record<string, string>) => [id, cause, detail]);
    const detail = `it answers, but does not vote: ${FULL}`;
    assertEquals(told, [["b", "no-vote", detail], ["c", "no-vote", detail]]);
    b.disk.isFull = c.disk.isFull = false;
    for (const { ask } of nodes) await until("it is ready", async () => (await ask("/readyz")).status === 200);
    assertEquals((await a.ask(...take("z"))).status, 200);
  }));

Deno.test("StoreHealth: a store that fails is tried again and again, one try at a time, until it takes a write", async () => {
  const clock = new ManualClock();
  const lines: string[] = [];
  const tries: PromiseWithResolvers<boolean>[] = [];
  const probe = () => {
    const next = Promise.withResolvers<boolean>();
    tries.push(next);
    return next.promise;
  };
  const health = new StoreHealth({ probe }, clock, (line) => lines.push(line));
  const full = () => new StoreError("/data/a: the disk is full", { fault: FULL });
  const told = health.told(full());
  assert(told instanceof QuorateError && told.message === FULL && told.code === "not-ready");
  for (let i = 0; i < 100; i++) health.told(full());
  assertEquals([health.fault, lines.length], [FULL, 1]);
  await clock.pass(10_000);
  // It hangs; nothing piles up behind it.
  assertEquals(tries.length, 1);
  tries[0]!.reject(full());
  await settled();
  await clock.pass(500);
  assertEquals([tries.length, health.fault], [2, FULL]);
  tries[1]!.resolve(true);
  await settled();
  await clock.pass(10_000);
  assertEquals([tries.length, health.fault, lines.length, clock.timers], [2, null, 2, 0]);
  health.told(full());
  health.ended(health.began(), true);
  assertEquals([health.fault, lines.length, clock.timers], [null, 4, 0]);
  health.told(full());
  health.close();
  assertEquals(clock.timers, 0);
});

Deno.test("StoreHealth: a bad record is told once and is not the store's fault; what is no failure of it stays what it was", async () => {
  const lines: string[] = [];
  const health = new StoreHealth({ probe: () => Promise.resolve(true) }, new ManualClock(), (line) => lines.push(line));
  for (let i = 0; i < 3; i++) {
    const told = health.told(new StoreError(`the record of "lock/x" in /data/a is damaged`));
    assert(told instanceof QuorateError && !told.message.includes("/data"), `${told}`);
  }
  assertEquals([lines, health.fault], [[`the store failed: the record of "lock/x" in /data/a is damaged`], null]);
  const other = new Error("else");
  assertEquals(await assertRejects(() => Promise.reject(health.told(other))), other);
});

Deno.test("StoreHealth: where a probe only reads, writes that go on failing are told of once", async () => {
  const clock = new ManualClock();
  const lines: string[] = [];
  const health = new StoreHealth({ probe: () => Promise.resolve(false) }, clock, (line) => lines.push(line));
  for (let i = 0; i < 5; i++) {
    health.told(new StoreError("kv: quota exceeded", { fault: FULL }));
    assertEquals(health.fault, FULL);
    await clock.pass(500);
    await settled();
    assertEquals(health.fault, null, "it is tried again");
  }
  assertEquals(lines.length, 1);
  health.ended(health.began(), true);
  assertEquals(lines.slice(1), ["the store works again"]);
});

Deno.test("StoreHealth: how long writes take is the mean of the last ones, or for how long the oldest waits", async () => {
  const clock = new ManualClock();
  const health = new StoreHealth({ probe: () => Promise.resolve(true) }, clock, () => {});
  const took = async (ms: number) => {
    const asked = health.began();
    await clock.pass(ms);
    health.ended(asked, true);
    await settled();
  };
  assertEquals(health.commitMs, 0);
  for (let i = 0; i < 100; i++) await took(10);
  assertEquals(Math.round(health.commitMs), 10);
  const first = health.began();
  await clock.pass(400);
  const second = health.began();
  await clock.pass(300);
  assertEquals(health.commitMs, 700);
  // What was only read is no write, but it waits no more.
  health.ended(first, false);
  assertEquals(health.commitMs, 300);
  await clock.pass(700);
  health.ended(second, true);
  await settled();
  assertEquals(Math.round(health.commitMs), Math.round(10 + (1_000 - 10) / 16));
  for (let i = 0; i < 100; i++) await took(10);
  assertEquals(Math.round(health.commitMs), 10);
});
