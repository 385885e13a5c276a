/** What a store bars where a vote may have been lost that others know of, and what it says leads (PROTOCOL.md §2, R1). */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { BallotStore } from "../../src/ports.ts";
import { StoreError } from "../../src/ports.ts";
import { ballotRow } from "../../src/store/key_space.ts";
import { openOwnerStore } from "../../src/store/kv_ballot_store.ts";
import { MemoryDisk, openMemoryStore } from "../../src/store/memory_ballot_store.ts";
import { apply, IDENTITY, increment, look, makeRecord, moveOn, vote, write } from "../store/ballot_store_contract.ts";
import { TestKv } from "../store/test_kv.ts";

type Disk = {
  /** As a process that begins, or begins anew: of the one before nothing is heard any more. */
  readonly begin: () => Promise<BallotStore>;
  /** The store's next commit is lost, and it hears no outcome. */
  readonly lose: (store: BallotStore) => void;
  /** Whether it says of records that were written whole since that they lead. */
  readonly isLogged: boolean;
};

/** The returned function resolves once the process commits nothing any more. */
function dying(kv: TestKv): () => Promise<void> {
  let isDead = false;
  let underWay: Promise<void> = Promise.resolve();
  let done = () => {};
  kv.before = () => {
    if (isDead) return Promise.reject(new Error("it is dead"));
    ({ promise: underWay, resolve: done } = Promise.withResolvers<void>());
    return Promise.resolve();
  };
  kv.after = () => Promise.resolve(done());
  return () => {
    isDead = true;
    return underWay;
  };
}

const DISKS: Readonly<Record<string, (run: (disk: Disk) => Promise<void>) => Promise<void>>> = {
  "owner store": async (run) => {
    using raw = await Deno.openKv(":memory:");
    let runs = 0;
    let kv = new TestKv(raw);
    let die = () => Promise.resolve();
    await run({
      begin: async () => {
        await die();
        kv = new TestKv(raw);
        die = dying(kv);
        // One store that is given up must not close the database of the next.
        const shared = { ...kv.asKv(), close: () => {} } as Deno.Kv;
        return await openOwnerStore({ path: "", allowEphemeral: true, kv: shared, run: () => `run-${++runs}`, apply });
      },
      lose: () => kv.fault = "unknown-lost",
      isLogged: true,
    });
  },
  "memory store": async (run) => {
    const disk = new MemoryDisk();
    await run({
      begin: () => {
        disk.owner?.crash();
        return openMemoryStore({ disk });
      },
      lose: (store) => (store as Awaited<ReturnType<typeof openMemoryStore>>).failNext = "unknown-lost",
      isLogged: false,
    });
  },
};

for (const [kind, withDisk] of Object.entries(DISKS)) {
  const barredIn = async (store: BallotStore, key: string) => (await store.update(key, look))?.barred;

  Deno.test(`barring, ${kind}: an update leads where it is the next that is written of a record that would be barred`, () =>
    withDisk(async ({ begin, isLogged }) => {
      const store = await begin();
      await store.init(IDENTITY);
      assertEquals(store.leads("k"), false, "there is nothing to bar");
      await store.update("k", increment);
      if (isLogged) assertEquals(store.leads("k"), false, "it was written whole");
      await store.update("k", vote);
      assertEquals(store.leads("k"), true);
      const first = store.update("k", moveOn);
      assertEquals(store.leads("k"), false, "another comes first");
      await first;
      assertEquals(store.leads("k"), true);
      await store.close();
      assertEquals(store.leads("k"), false);
    }));

  Deno.test(`barring, ${kind}: a process that follows on one that died takes no vote where that may have left a value`, () =>
    withDisk(async ({ begin, isLogged }) => {
      const store = await begin();
      await store.init(IDENTITY);
      for (const key of ["voted", "moved", "whole"]) await store.update(key, increment);
      await store.update("voted", vote);
      await store.update("moved", vote);
      await store.update("moved", moveOn);

      const second = await begin();
      assertEquals(await barredIn(second, "voted"), 2, "it may have learned in memory that this vote was decided");
      assertEquals(await barredIn(second, "moved"), 2);
      if (isLogged) assertEquals(await barredIn(second, "whole"), undefined, "nothing of it led");
      // It stays barred, whatever is written of it, and for whom comes next.
      await second.update("moved", vote);
      const third = await begin();
      assertEquals(await barredIn(third, "moved"), 3);
    }));

  Deno.test(`barring, ${kind}: whoever was closed has lost nothing, and one that follows on it bars nothing anew`, () =>
    withDisk(async ({ begin }) => {
      const store = await begin();
      await store.init(IDENTITY);
      await store.update("k", increment);
      await store.update("k", vote);
      await store.update("k", moveOn);
      await store.close();
      const second = await begin();
      assertEquals(await barredIn(second, "k"), undefined);
      assert(second.leads("k"));
      // It has not been closed itself.
      assertEquals(await barredIn(await begin(), "k"), 2);
    }));

  if (kind === "owner store") {
    Deno.test(`barring, ${kind}: what may have been lost is written with its bar while others are, and is barred no further later`, () =>
      withDisk(async ({ begin }) => {
        const keys = Array.from({ length: 40 }, (_, i) => `k${i}`);
        const store = await begin();
        await store.init(IDENTITY);
        for (const key of [...keys, "busy"]) await store.update(key, increment);
        for (const key of keys) await store.update(key, vote);
        const second = await begin();
        for (let i = 0; i < 40; i++) await second.update("busy", increment);
        await second.close();
        const third = await begin();
        // Barred by now, it moves on: one that was barred anew would be so at the instance behind it.
        assertEquals(await Promise.all(keys.map((key) => barredIn(third, key))), keys.map(() => 2));
        await third.update("k0", moveOn);
        await third.close();
        assertEquals(await barredIn(await begin(), "k0"), undefined);
      }));
  }

  Deno.test(`barring, ${kind}: a commit of which nobody knows bars what was in it, and what it may have been`, () =>
    withDisk(async ({ begin, lose }) => {
      const store = await begin();
      await store.init(IDENTITY);
      await store.update("k", increment);
      await store.update("k", vote);
      await store.update("k", moveOn);
      lose(store);
      await assertRejects(() => store.update("k", vote), StoreError);
      assertEquals(await barredIn(store, "k"), 2);
      // What was lost is known to be: it is no reason any more for whoever comes next to fear for all that there is.
      await store.update("k", write({ ...makeRecord(3), barred: 2 }));
      await store.close();
      assertEquals(await barredIn(await begin(), "k"), 2);
    }));
}

/** Commits that write a record whole fail while `isFull`; smaller ones are made. */
function fullDisk(raw: Deno.Kv) {
  const disk = { isFull: false, failed: 0 };
  const atomic = () => {
    const made = raw.atomic();
    let isWhole = false;
    const [set, commit] = [made.set.bind(made), made.commit.bind(made)];
    made.set = (key, value) => {
      isWhole ||= key[0] === ballotRow("k")[0];
      set(key, value);
      return made;
    };
    made.commit = () => {
      if (!disk.isFull || !isWhole) return commit();
      disk.failed++;
      return Promise.reject(new Error("database or disk is full"));
    };
    return made;
  };
  let runs = 0;
  const kv = {
    atomic,
    getMany: raw.getMany.bind(raw),
    list: raw.list.bind(raw),
    close: () => {},
  } as unknown as Deno.Kv;
  const begin = () => openOwnerStore({ path: "", allowEphemeral: true, kv, run: () => `run-${++runs}`, apply });
  return { disk, begin };
}

Deno.test("barring, owner store: what cannot be written whole is tried more and more seldom, and stands before nothing that can", async () => {
  using raw = await Deno.openKv(":memory:");
  const { disk, begin } = fullDisk(raw);
  const keys = Array.from({ length: 40 }, (_, i) => `k${i}`);
  const dead = await begin();
  await dead.init(IDENTITY);
  for (const key of [...keys, "busy"]) await dead.update(key, increment);
  for (const key of [...keys, "busy"]) await dead.update(key, vote);

  const store = await begin();
  disk.isFull = true;
  let written = 0;
  for (let i = 0; i < 200; i++) {
    await store.update("busy", i % 2 === 0 ? moveOn : vote).then(() => written++, () => {});
    // What goes on by itself has its turns.
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assert(disk.failed > 0 && disk.failed < 8, `tried ${disk.failed} times`);
  assert(written > 180, `${written} were written`);
  disk.isFull = false;
  for (let i = 0; i < 500; i++) await store.update("busy", i % 2 === 0 ? moveOn : vote);
  await store.close();
  const next = await begin();
  assertEquals(await Promise.all(keys.map(async (key) => (await next.update(key, look))?.barred)), keys.map(() => 2));
  assertEquals((await next.update("busy", look))?.barred, undefined, "the process before has ended well");
  await next.close();
});

Deno.test("barring, owner store: one that is quarantined writes no bars", async () => {
  using raw = await Deno.openKv(":memory:");
  const { disk, begin } = fullDisk(raw);
  const dead = await begin();
  await dead.init(IDENTITY);
  await dead.update("k", increment);
  await dead.update("k", vote);
  const store = await begin();
  disk.isFull = true;
  await store.quarantine("it was put back");
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
  await store.close();
  assertEquals(disk.failed, 0);
});

Deno.test("barring, owner store: one that is nobody's says nothing as it is closed", async () => {
  using raw = await Deno.openKv(":memory:");
  const { begin } = fullDisk(raw);
  await (await begin()).close();
  assertEquals(await Array.fromAsync(raw.list({ prefix: [] })), []);
});
