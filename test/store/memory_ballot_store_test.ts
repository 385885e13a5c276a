import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { AcceptorRecord } from "../../src/paxos/message.ts";
import { MemoryBallotStore, MemoryDisk, openMemoryStore } from "../../src/store/memory_ballot_store.ts";
import { ballotStoreContract, countOf, IDENTITY, increment, look, type Medium } from "./ballot_store_contract.ts";

function makeMedium(): Promise<Medium> {
  const disk = new MemoryDisk();
  let gate = Promise.resolve();
  let atomics = 0;
  return Promise.resolve({
    open: () =>
      openMemoryStore({
        disk,
        schedule: () => {
          atomics++;
          return gate;
        },
      }),
    failNext: (store, fault) => {
      assert(store instanceof MemoryBallotStore);
      store.failNext = fault;
    },
    hold: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      gate = promise;
      return resolve;
    },
    atomics: () => atomics,
    spoil: (key) => {
      disk.records.set(key, "junk");
      return Promise.resolve();
    },
    dispose: () => Promise.resolve(),
  });
}

ballotStoreContract("memory store", makeMedium);

Deno.test("memory store: a crash loses what was not committed, and nobody hears of it", async () => {
  const disk = new MemoryDisk();
  const gate = Promise.withResolvers<void>();
  let held = false;
  const schedule = () => held ? gate.promise : Promise.resolve();
  const store = await openMemoryStore({ disk, schedule });
  await store.init(IDENTITY);
  await store.update("k", increment);
  held = true;
  let heard = false;
  store.update("k", increment).finally(() => heard = true);
  await new Promise((resolve) => setTimeout(resolve, 5));
  store.crash();
  gate.resolve();
  const again = await openMemoryStore({ disk });
  assertEquals(countOf(await again.update("k", look)), 1);
  assertEquals(again.identity()?.boot, 2);
  assertEquals(heard, false);
});

Deno.test("memory store: a rollback brings back the records and the seq of the snapshot", async () => {
  const disk = new MemoryDisk();
  const store = await openMemoryStore({ disk });
  await store.init(IDENTITY);
  await store.update("k", increment);
  const image = disk.snapshot();
  await store.update("k", increment);
  await store.update("k", increment);
  assertEquals(store.seq(), 4);
  assertThrows(() => disk.restore(image), Error, "no store is open");
  store.crash();
  disk.restore(image);
  const again = await openMemoryStore({ disk });
  assertEquals(countOf(await again.update("k", look)), 1);
  assertEquals(again.seq(), 3);
});

Deno.test("memory store: a step that would change its record in place fails, and changes nothing", async () => {
  const store = await openMemoryStore();
  await store.update("k", increment);
  for (const part of [(record: AcceptorRecord) => record, ({ state }: AcceptorRecord) => state]) {
    const changing = store.update("k", (record) => {
      Object.assign(part(record!), { instance: 99 });
      return { record: null, reply: null };
    });
    await assertRejects(() => changing, TypeError);
  }
  assertEquals((await store.update("k", look))?.instance, 1);
});

Deno.test("memory store: a watch sees each atomic before and after, and may end the process at either", async () => {
  for (const last of ["ready", "committed"] as const) {
    const disk = new MemoryDisk();
    const seen: string[] = [];
    let isArmed = false;
    const store: MemoryBallotStore = await openMemoryStore({
      disk,
      watch: (moment, steps) => {
        seen.push(`${moment} ${steps.map(([key]) => key)}`);
        if (isArmed && moment === last) store.crash();
      },
    });
    await store.init(IDENTITY);
    await store.update("k", increment);
    await Promise.all([store.update("k", increment), store.update("k", increment)]);
    assertEquals(seen, ["ready ", "committed ", "ready k", "committed k", "ready k,k", "committed k,k"]);
    isArmed = true;
    let heard = false;
    store.update("k", increment).finally(() => heard = true);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const again = await openMemoryStore({ disk });
    assertEquals([countOf(await again.update("k", look)), heard], [last === "ready" ? 3 : 4, false]);
  }
});

Deno.test("memory store: what was refused comes after what came meanwhile, and counts on it", async () => {
  const gate = Promise.withResolvers<void>();
  const store = await openMemoryStore({ schedule: () => gate.promise });
  store.failNext = "conflict";
  const first = store.update("k", increment);
  await new Promise((resolve) => setTimeout(resolve, 5));
  const second = store.update("k", increment);
  gate.resolve();
  assertEquals([await first, await second], [2, 1]);
});
