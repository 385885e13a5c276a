/** A new member by itself, and as a whole node among others that is started again. */
import { assert, assertEquals } from "@std/assert";
import { Arrival } from "../../src/epochs/arrival.ts";
import { QuorateError } from "../../src/errors.ts";
import { CATCH_UP_MS, KEYS_PER_REPLY, SWEEP_EPOCH_RETRY_MS } from "../../src/limits.ts";
import { StoreError } from "../../src/ports.ts";
import { Presence } from "../../src/replica/presence.ts";
import type { View } from "../../src/replica/own_record.ts";
import { fastClock, until } from "../replica/clocks.ts";
import { firstChange, retire } from "../replica/epochs.ts";
import { caller, type MemoryCluster, memoryCluster } from "../replica/memory_cluster.ts";
import { ManualClock } from "../transport/manual_clock.ts";

function arriving(names: number) {
  const clock = new ManualClock();
  const all = Array.from({ length: names }, (_, i) => `kv/${String(i).padStart(5, "0")}`);
  const it = {
    isRetired: true,
    hasQuorum: true,
    own: new Set<string>(),
    asked: [] as string[],
    silent: "",
    wrong: "",
    failing: "",
    noted: 0,
  };
  const arrival = new Arrival({
    clock,
    page: ({ prefix, after, limit }) => {
      if (!it.hasQuorum) return Promise.reject(new QuorateError("no-quorum", "not now"));
      const keys = all.filter((key) => key.startsWith(prefix) && key > after).slice(0, limit);
      return Promise.resolve({ keys, more: keys.length === limit });
    },
    shown: (key) =>
      [it.wrong, it.failing].includes(key)
        ? Promise.reject(new QuorateError("not-ready", "nothing can be said of it"))
        : Promise.resolve({ isImported: it.own.has(key) } as View),
    isStopped: (key) => it.wrong === key,
    refresh: (key) => {
      it.asked.push(key);
      if (it.silent === key) return Promise.resolve(false);
      it.own.add(key);
      return Promise.resolve(true);
    },
    isRetired: () => it.isRetired,
    arrived: () => {
      it.noted++;
      return Promise.reject(new StoreError("the disk is full"));
    },
  });
  return { clock, arrival, all, it };
}

Deno.test("arrival: every name without a record here is asked for once, page after page, and then nothing is lacking", async () => {
  const { clock, arrival, all, it } = arriving(2 * KEYS_PER_REPLY + 3);
  it.own.add(all[1]!);
  it.wrong = all[2]!;
  arrival.start();
  assertEquals(arrival.isLeft, true);
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals([...it.asked].sort(), all.filter((_, i) => i !== 1 && i !== 2));
  assertEquals([arrival.isLeft, it.noted, clock.timers], [false, 1, 0]);
});

Deno.test("arrival: while no quorum answers, of the list or of one name, something is lacking, and it is tried again", async () => {
  const { clock, arrival, all, it } = arriving(5);
  it.hasQuorum = false;
  it.silent = all[3]!;
  arrival.start();
  await clock.pass(3 * SWEEP_EPOCH_RETRY_MS);
  assertEquals([arrival.isLeft, it.asked], [true, []]);
  it.hasQuorum = true;
  await clock.pass(2 * SWEEP_EPOCH_RETRY_MS);
  assertEquals([arrival.isLeft, it.asked.filter((key) => key === all[0]).length, it.noted], [true, 1, 0]);
  it.silent = "";
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals([arrival.isLeft, it.noted], [false, 1]);
});

Deno.test("arrival: a name of which nothing can be said for a moment keeps none of the others back, and is asked for later", async () => {
  const { clock, arrival, all, it } = arriving(KEYS_PER_REPLY + 3);
  it.failing = all[2]!;
  arrival.start();
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals([...it.asked].sort(), all.filter((_, i) => i !== 2));
  assertEquals(arrival.isLeft, true);
  it.failing = "";
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals([it.asked.at(-1), arrival.isLeft, clock.timers], [all[2], false, 0]);
});

Deno.test("arrival: nothing is asked before the epoch before is known to be retired, nor after the end", async () => {
  const { clock, arrival, it } = arriving(5);
  it.isRetired = false;
  arrival.start();
  await clock.pass(3 * SWEEP_EPOCH_RETRY_MS);
  // No name is taken for fresh so far.
  assertEquals([arrival.isLeft, it.asked], [false, []]);
  it.isRetired = true;
  assertEquals(arrival.isLeft, true);
  arrival.close();
  await clock.pass(3 * SWEEP_EPOCH_RETRY_MS);
  assertEquals([it.asked, clock.timers], [[], 0]);
  arrival.start();
  assertEquals(clock.timers, 0);
});

Deno.test("presence: who was away asks for some time, and a new member for as long as names are lacking", async () => {
  const { clock, arrival, it } = arriving(5);
  it.hasQuorum = false;
  const [first, back, late] = [new Presence(clock), new Presence(clock), new Presence(clock, arrival)];
  first.start(false);
  back.start(true);
  late.start(false);
  const areBack = () => [first, back, late].map((presence) => presence.cameBackMs() !== null);
  assertEquals(areBack(), [false, true, true]);
  await clock.pass(CATCH_UP_MS);
  assertEquals(areBack(), [false, false, true]);
  it.hasQuorum = true;
  await clock.pass(SWEEP_EPOCH_RETRY_MS);
  assertEquals(areBack(), [false, false, false]);
  for (const presence of [first, back, late]) presence.close();
  assertEquals(clock.timers, 0);
});

// Whole nodes

const TIMES = 20;
const MISSES = 20;

/**
 * Three members, of which d is new, and the epoch before it is retired. While `isDeaf`, d hears no list of names. `lists`: how often
 * it has asked for one.
 */
async function withNew(run: (cluster: MemoryCluster, it: { isDeaf: boolean; lists: number }) => Promise<void>) {
  const it = { isDeaf: true, lists: 0 };
  const clock = fastClock(TIMES);
  const cluster = await memoryCluster(3, {
    clock,
    sending: (id, transport) => ({
      rttMs: (to) => transport.rttMs(to),
      close: () => transport.close(),
      send(to, message) {
        if (id !== "d" || message.type !== "keys") return transport.send(to, message);
        it.lists++;
        return it.isDeaf ? Promise.reject(new Error("not heard")) : transport.send(to, message);
      },
    }),
  });
  try {
    for (const name of ["k0", "k1"]) await put(cluster, "a", name);
    cluster.kill("c");
    const row = firstChange("abc", "abd");
    for (const id of "ab") await cluster.adopt(id, row);
    await cluster.join("d", row);
    await retire(cluster, row, "ab", "ab", "abd");
    await run(cluster, it);
  } finally {
    cluster.close();
  }
}

const put = (cluster: MemoryCluster, id: string, name: string) =>
  cluster.node(id).registers.put(name, { bytes: "", contentType: "text/plain" }, caller());

async function startAgain(cluster: MemoryCluster, ...ids: readonly string[]): Promise<void> {
  for (const id of ids) cluster.kill(id);
  await Promise.all(ids.map((id) => cluster.restart(id)));
  await until("they vote", () => ids.every((id) => cluster.node(id).status().voting));
}

/** While d is down the others use a new name often, and forget whom to tell; and it has been back for a while. */
async function missBusy(cluster: MemoryCluster, name: string): Promise<void> {
  cluster.kill("d");
  for (let i = 0; i < 80; i++) await put(cluster, "a", name);
  await startAgain(cluster, "a", "b");
  await startAgain(cluster, "d");
  await new Promise((resolve) => setTimeout(resolve, 2 * CATCH_UP_MS / TIMES));
}

Deno.test("arrival: that it has all names is noted in its store, which looks for none after a start, and only then", () =>
  withNew(async (cluster, it) => {
    const hasNote = () => cluster.store("d").epochs()?.arrived === true;
    await startAgain(cluster, "d");
    await until("it has asked in vain", () => it.lists > 2);
    assertEquals(hasNote(), false);
    const before = cluster.disk("d").snapshot();
    it.isDeaf = false;
    await until("it has all", hasNote);
    it.lists = 0;
    await startAgain(cluster, "d");
    await new Promise((resolve) => setTimeout(resolve, 3 * SWEEP_EPOCH_RETRY_MS / TIMES));
    assertEquals([it.lists, hasNote()], [0, true]);
    // A store that is put back has what it had then.
    cluster.kill("d");
    cluster.disk("d").restore(before);
    await cluster.restart("d");
    assertEquals(hasNote(), false);
  }));

Deno.test("arrival: a new member that was away before it had all names can tell what its first command of a busy one came to", () =>
  withNew(async (cluster, it) => {
    await missBusy(cluster, "busy");
    it.isDeaf = false;
    await put(cluster, "d", "busy");
  }));

Deno.test("arrival: once it has had all names it is a member like any other, and says once that it cannot tell", () =>
  withNew(async (cluster, it) => {
    it.isDeaf = false;
    await until("it has all", () => cluster.store("d").epochs()?.arrived === true);
    let error: unknown = null;
    // Whom a busy machine does not let run for a moment was away (STALL_MS), and asks the others first: then another name is tried.
    for (let i = 0; i < MISSES && error === null; i++) {
      await missBusy(cluster, `busy-${i}`);
      error = await put(cluster, "d", `busy-${i}`).then(() => null, (error) => error);
      await put(cluster, "d", `busy-${i}`);
    }
    assert(error instanceof QuorateError && error.code === "outcome-unknown", `${error}`);
  }));
