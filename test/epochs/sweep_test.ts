/** The sweep by itself, and over whole nodes in memory whose sweeper dies again and again. */
import { assert, assertEquals } from "@std/assert";
import { PREFIXES } from "../../src/epochs/reserved_keys.ts";
import { EpochSweep, type SweepParts } from "../../src/epochs/sweep.ts";
import { QuorateError } from "../../src/errors.ts";
import {
  KEYS_PER_REPLY,
  SWEEP_EPOCH_ASKED,
  SWEEP_EPOCH_AT_ONCE,
  SWEEP_EPOCH_OTHERS_MS,
  SWEEP_EPOCH_RETRY_MS,
} from "../../src/limits.ts";
import { lookAtAll } from "../../src/replica/poller.ts";
import { fastClock, until } from "../replica/clocks.ts";
import { configOf, firstChange, listed } from "../replica/epochs.ts";
import { caller, type MemoryCluster, memoryCluster } from "../replica/memory_cluster.ts";
import { ManualClock } from "../transport/manual_clock.ts";

const noQuorum = () => new QuorateError("no-quorum", "not now");

/** @param moved names that have moved before it begins */
function standing(names: number, more: Partial<SweepParts> = {}, moved: ReadonlySet<string> = new Set()) {
  const clock = new ManualClock();
  const all = Array.from({ length: names }, (_, i) => `kv/${String(i).padStart(5, "0")}`);
  const brought: string[] = [];
  const asked: (readonly string[])[] = [];
  const it = { open: 0, most: 0, stuck: new Set<string>(), retired: null as number | null, told: [] as number[] };
  const sweep = new EpochSweep({
    clock,
    keys: {
      retired: () => Promise.resolve(it.retired),
      retire: (first) => Promise.resolve(it.retired ??= first),
    },
    page: ({ prefix, after, limit }) => {
      const keys = all.filter((key) => key.startsWith(prefix) && key > after).slice(0, limit);
      return Promise.resolve({ keys, more: keys.length === limit });
    },
    bringing: () => ({
      broughtOf: async (keys) => {
        asked.push(keys);
        await null;
        return new Set(keys.filter((key) => moved.has(key)));
      },
      bring: async (key) => {
        it.most = Math.max(it.most, ++it.open);
        await null;
        it.open--;
        brought.push(key);
        return !it.stuck.has(key);
      },
    }),
    first: 1,
    isMine: () => true,
    onRetired: (first) => void it.told.push(first),
    ...more,
  });
  sweep.start();
  return { clock, sweep, all, brought, asked, it };
}

Deno.test("sweep: what has moved before it began is found out by the page, and brought no more", async () => {
  const names = 4 * SWEEP_EPOCH_ASKED + 1;
  const moved = new Set(standing(names).all.filter((_, i) => i % 100 !== 7));
  const { clock, sweep, all, brought, asked, it } = standing(names, {}, moved);
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals([...brought].sort(), all.filter((key) => !moved.has(key)));
  assertEquals([asked.length, asked.flat()], [5, all]);
  assertEquals([it.told, sweep.progress], [[1], { moved: names, total: names }]);
});

Deno.test("sweep: a node that has left its epoch moves nothing", async () => {
  const { clock, sweep, it } = standing(3, { bringing: () => null });
  await clock.pass(3 * SWEEP_EPOCH_RETRY_MS);
  assertEquals([it.retired, sweep.progress], [null, { moved: 0, total: 3 }]);
});

Deno.test("sweep: every name is brought, some at a time, and only then the epoch before is retired", async () => {
  const { clock, sweep, all, brought, it } = standing(2 * KEYS_PER_REPLY + 7);
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals([...brought].sort(), all);
  assertEquals([it.most, it.retired, it.told], [SWEEP_EPOCH_AT_ONCE, 1, [1]]);
  assertEquals(sweep.progress, { moved: all.length, total: all.length });
  await clock.pass(60_000);
  assertEquals([it.told, clock.timers], [[1], 0]);
});

Deno.test("sweep: while one name cannot be brought nothing is retired, and it is tried again", async () => {
  const { clock, sweep, it } = standing(20);
  it.stuck.add("kv/00007");
  await clock.pass(10 * SWEEP_EPOCH_RETRY_MS);
  assertEquals([it.retired, sweep.progress], [null, { moved: 19, total: 20 }]);
  it.stuck.clear();
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals(it.told, [1]);
});

Deno.test("sweep: what has been brought is not brought again, nor listed, however often a name fails", async () => {
  let pages = 0;
  const { clock, sweep, all, brought, it } = standing(40, {
    page: ({ prefix, after }) => {
      pages++;
      return Promise.resolve({ keys: all.filter((key) => key.startsWith(prefix) && key > after), more: false });
    },
  });
  it.stuck.add(all[7]!).add(all[30]!);
  await clock.pass(10 * SWEEP_EPOCH_RETRY_MS);
  assertEquals(brought.filter((key) => !it.stuck.has(key)).length, 38);
  assertEquals([pages, sweep.progress], [PREFIXES.length, { moved: 38, total: 40 }]);
  it.stuck.delete(all[7]!);
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals([it.retired, sweep.progress], [null, { moved: 39, total: 40 }]);
  it.stuck.clear();
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals(it.told, [1]);
});

Deno.test("sweep: without a quorum it waits, and it goes on when there is one", async () => {
  let fails = true;
  const { clock, it } = standing(3, {
    page: () => fails ? Promise.reject(noQuorum()) : Promise.resolve({ keys: [], more: false }),
  });
  await clock.pass(20 * SWEEP_EPOCH_RETRY_MS);
  assertEquals(it.told, []);
  fails = false;
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals(it.told, [1]);
});

Deno.test("sweep: while a member before this one is there, it moves nothing but hears of the end; for so long", async () => {
  const other = standing(3, { isMine: () => false });
  await other.clock.pass(10 * SWEEP_EPOCH_RETRY_MS);
  assertEquals(other.brought, []);
  other.it.retired = 1;
  await other.clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals([other.brought, other.it.told], [[], [1]]);
  const late = standing(3, { isMine: () => false });
  await late.clock.pass(SWEEP_EPOCH_OTHERS_MS + 2 * SWEEP_EPOCH_RETRY_MS);
  assertEquals([late.brought.length, late.it.told], [3, [1]]);
});

Deno.test("sweep: closed, it does nothing more, whatever comes", async () => {
  const { clock, sweep, brought, it } = standing(3);
  sweep.close();
  await clock.pass(SWEEP_EPOCH_OTHERS_MS);
  assertEquals([brought, it.told, clock.timers], [[], [], 0]);
});

// Over whole nodes

const NAMES = 2 * SWEEP_EPOCH_ASKED + 20;
/** A sweeper dies when it would bring one more. */
const BRINGS_PER_LIFE = 150;
const LIVES_MAX = Math.ceil(NAMES / (BRINGS_PER_LIFE - SWEEP_EPOCH_AT_ONCE)) + 1;
const ROW = firstChange("abc", "abd");

/** A sweep at node a until the epoch before is retired, with true, or until it would bring more names than it may. */
async function oneLife(cluster: MemoryCluster, bringsMost: number): Promise<boolean> {
  const node = cluster.node("a");
  const { promise: ended, resolve } = Promise.withResolvers<boolean>();
  let brings = 0;
  const sweep = new EpochSweep({
    clock: fastClock(20),
    // What would be decided stands here for the register: the next one begins with all names moved.
    keys: { retired: () => Promise.resolve(null), retire: (first) => Promise.resolve(first) },
    page: (range, timeoutMs) => node.list(range, timeoutMs),
    bringing: () => {
      const bringing = node.bringing(ROW.current.epoch);
      return bringing === null ? null : {
        broughtOf: (keys) => bringing.broughtOf(keys),
        bring(key) {
          if (brings++ < bringsMost) return bringing.bring(key);
          resolve(false);
          return new Promise(() => {});
        },
      };
    },
    first: ROW.beforeFirst,
    isMine: () => true,
    onRetired: () => resolve(true),
  });
  sweep.start();
  return await ended.finally(() => sweep.close());
}

Deno.test("sweep: a sweeper that dies every few hundred names comes to the end, and asks for what has moved by the page", async () => {
  const sent: string[] = [];
  const cluster = await memoryCluster(3, {
    sending: (id, transport) => ({
      ...transport,
      rttMs: (to) => transport.rttMs(to),
      close: () => transport.close(),
      send(to, message) {
        if (id === "a") sent.push(message.type);
        return transport.send(to, message);
      },
    }),
  });
  try {
    const value = { bytes: "", contentType: "text/plain" };
    await lookAtAll(Array.from({ length: NAMES }, (_, i) => `k${i}`), async (name) => {
      await cluster.node("a").registers.put(name, value, caller());
    });
    cluster.kill("c");
    for (const id of "ab") await cluster.adopt(id, ROW);
    await cluster.join("d", ROW);
    const restarted = async () => {
      cluster.kill("a");
      await cluster.restart("a");
      await until("a votes", () => cluster.node("a").status().voting);
    };
    let lives = 1;
    for (; lives <= LIVES_MAX && !await oneLife(cluster, BRINGS_PER_LIFE); lives++) await restarted();
    assert(lives <= LIVES_MAX, `it has not ended within ${LIVES_MAX} lives`);
    assertEquals((await listed(cluster, "abd")).filter((key) => key.startsWith("kv/")).length, NAMES);
    for (const id of "abd") {
      const records = [...cluster.disk(id).records].filter(([key]) => key.startsWith("kv/"));
      const epochs = new Set(records.map(([, text]) => JSON.parse(text).epoch));
      assertEquals([records.length, [...epochs]], [NAMES, [configOf(1, "abd").epoch]], id);
    }

    await restarted();
    sent.length = 0;
    assert(await oneLife(cluster, 0), "a name that has moved is brought again");
    const pages = Math.ceil(NAMES / SWEEP_EPOCH_ASKED);
    assertEquals(sent.filter((type) => type === "records").length, 2 * pages);
    assert(
      sent.length < 20 * pages,
      `${sent.length} messages, of which ${sent.filter((one) => one === "read").length} reads`,
    );
  } finally {
    cluster.close();
  }
});
