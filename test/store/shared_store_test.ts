/** The shared store on a real database that several of them serve at once, as isolates do. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { realClock, realRandomness } from "../../src/compose/world.ts";
import { INLINE_STATE_MAX_BYTES } from "../../src/limits.ts";
import { type BallotStore, type Clock, type Mark, StoreError } from "../../src/ports.ts";
import { ballotRow, firstSeenRow, IDENTITY_ROW, META_ROW, stateRow } from "../../src/store/key_space.ts";
import { encodeIdentity } from "../../src/store/rows.ts";
import { openSharedStore } from "../../src/store/shared_store.ts";
import {
  ballotStoreContract,
  countOf,
  IDENTITY,
  increment,
  look,
  makeRecord,
  type Medium,
  promise,
  write,
} from "./ballot_store_contract.ts";
import { TestKv } from "./test_kv.ts";

let runs = 0;

/** As many stores as a test wants, each with a client of its own that it can break, on one database. */
class Shared {
  readonly raw: Deno.Kv;
  readonly clients: TestKv[] = [];
  readonly #stores: BallotStore[] = [];

  constructor(raw: Deno.Kv) {
    this.raw = raw;
  }

  static async with(run: (shared: Shared) => Promise<void>): Promise<void> {
    const shared = new Shared(await Deno.openKv(":memory:"));
    try {
      await run(shared);
      await Promise.all(shared.#stores.map((store) => store.close()));
    } finally {
      shared.raw.close();
    }
  }

  async open(
    more: {
      readonly clock?: Clock;
      readonly callMs?: number;
      readonly updateMs?: number;
      readonly onConflict?: () => void;
    } = {},
  ) {
    const client = new TestKv(this.raw);
    this.clients.push(client);
    // One store that closes must not close the database of the others.
    const kv = Object.assign(client.asKv(), { close: () => {} });
    const store = await openSharedStore({
      kv,
      name: "db",
      run: `run-${++runs}`,
      clock: realClock,
      random: realRandomness,
      ...more,
    });
    this.#stores.push(store);
    return store;
  }
}

async function makeMedium(): Promise<Medium> {
  const shared = new Shared(await Deno.openKv(":memory:"));
  return {
    open: () => shared.open(),
    failNext: (_, fault) => {
      for (const client of shared.clients) client.fault = fault;
    },
    hold: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      for (const client of shared.clients) client.gate = promise;
      return resolve;
    },
    atomics: () => shared.clients.reduce((sum, client) => sum + client.atomics, 0),
    spoil: async (key) => {
      await shared.raw.set(ballotRow(key), new TextEncoder().encode("junk"));
    },
    dispose: () => {
      shared.raw.close();
      return Promise.resolve();
    },
  };
}

ballotStoreContract("shared store", makeMedium, true);

const MARK: Mark = { incarnation: "inc1", boot: 1, run: "r1", seq: 5 };

Deno.test("shared store: updates of four stores happen in some order, each once, and each sees what was answered before", () =>
  Shared.with(async (shared) => {
    const stores = await Promise.all([1, 2, 3, 4].map(() => shared.open()));
    const replies = await Promise.all(
      stores.flatMap((store) => Array.from({ length: 20 }, () => store.update("k", increment))),
    );
    assertEquals(replies.toSorted((a, b) => a - b), Array.from({ length: 80 }, (_, i) => i + 1));
    await stores[0]!.update("k", increment);
    for (const store of stores) assertEquals(countOf(await store.update("k", look)), 81);
  }));

Deno.test("shared store: a commit that finds its record changed is told as a conflict, and only that", () =>
  Shared.with(async (shared) => {
    let conflicts = 0;
    const [one, two] = [await shared.open({ onConflict: () => conflicts++ }), await shared.open()];
    await one!.update("k", increment);
    assertEquals(conflicts, 0);
    shared.clients[0]!.fault = "conflict";
    await one!.update("k", increment);
    assertEquals(conflicts, 1);
    await two!.update("k", increment);
    assertEquals(countOf(await one!.update("k", look)), 3);
  }));

Deno.test("shared store: a step runs on the record of the write that beat it, never its intended write on another", () =>
  Shared.with(async (shared) => {
    const [first, second] = [await shared.open(), await shared.open()];
    await first.update("k", increment);
    let isBeaten = false;
    shared.clients[0]!.before = async () => {
      if (isBeaten) return;
      isBeaten = true;
      await second.update("k", promise(9));
    };
    const saw: number[] = [];
    await first.update("k", (record) => {
      saw.push(record!.promised[0]);
      return { record: { ...record!, promised: [record!.promised[0] + 1, "a/x", 0] }, reply: null };
    });
    assertEquals(saw, [0, 9]);
    assertEquals((await second.update("k", look))?.promised[0], 10);
  }));

for (const fault of ["unknown-applied", "unknown-lost", "conflict", "never", "late"] as const) {
  Deno.test(`shared store: a commit that ends ${fault} is settled by the row itself, and the step counts once`, () =>
    Shared.with(async (shared) => {
      const store = await shared.open({ callMs: 1_000 });
      await store.update("k", increment);
      shared.clients[0]!.fault = fault;
      assertEquals(await store.update("k", increment), 2);
      // What comes late finds the record changed.
      await Promise.all(shared.clients[0]!.late);
      assertEquals(countOf(await store.update("k", look)), 2);
    }));
}

Deno.test("shared store: of its own write, called a conflict by the database, it knows that it was made", () =>
  Shared.with(async (shared) => {
    const store = await shared.open();
    const client = shared.clients[0]!;
    const kv = Object.assign(client.asKv(), { close: () => {} });
    const atomic = kv.atomic.bind(kv);
    // The client sends again what got no answer, and the second time its own first one is in the way.
    const twice = Object.assign(kv, {
      atomic: () => {
        const op = atomic();
        const commit = op.commit.bind(op);
        return Object.assign(op, { commit: () => commit().then(() => ({ ok: false })) });
      },
    });
    const other = await openSharedStore({
      kv: twice,
      name: "db",
      run: "twice",
      clock: realClock,
      random: realRandomness,
    });
    await store.update("k", increment);
    assertEquals(await other.update("k", increment), 2);
    assertEquals(countOf(await store.update("k", look)), 2);
    await other.close();
  }));

Deno.test("shared store: a write that was made and overwritten is answered from what is there now", () =>
  Shared.with(async (shared) => {
    const [first, second] = [await shared.open(), await shared.open()];
    await first.update("k", increment);
    const [client] = shared.clients;
    client!.fault = "unknown-applied";
    client!.after = async () => {
      client!.after = () => Promise.resolve();
      await second.update("k", promise(7));
    };
    const answer = await first.update(
      "k",
      (record) =>
        record!.promised[0] > 5
          ? { record: null, reply: `promised ${record!.promised[0]}` }
          : { record: { ...record!, promised: [5, "a/x", 0] }, reply: "promised 5" },
    );
    assertEquals(answer, "promised 7");
  }));

Deno.test("shared store: what can be said of nothing is an error, in bounded time and tries", () =>
  Shared.with(async (shared) => {
    const store = await shared.open({ callMs: 1_000, updateMs: 5_000 });
    await store.update("k", increment);
    shared.clients[0]!.gate = new Promise(() => {});
    await assertRejects(() => store.update("k", increment), StoreError, "outcome of a commit unknown");
    shared.clients[0]!.gate = Promise.resolve();
    const other = await shared.open();
    let writes = 0;
    shared.clients[0]!.before = async () => {
      writes++;
      await other.update("k", increment);
    };
    const calm: Clock = { ...realClock, now: () => 0 };
    const patient = await shared.open({ clock: calm });
    shared.clients[2]!.before = shared.clients[0]!.before;
    await assertRejects(() => patient.update("k", increment), StoreError, "other writers changed the record 21 times");
    assertEquals(writes, 20);
  }));

Deno.test("shared store: a database whose identity is gone, or is another's, gets no vote and gives none", () =>
  Shared.with(async (shared) => {
    const store = await shared.open();
    await store.init(IDENTITY);
    await store.update("k", increment);
    const rows = async () => (await shared.raw.getMany([ballotRow("k"), stateRow("k")])).map((row) => row.versionstamp);
    const before = await rows();
    const [identity] = await shared.raw.getMany([IDENTITY_ROW]);
    // Between its look and its commit too.
    shared.clients[0]!.before = async () => {
      await shared.raw.delete(IDENTITY_ROW);
    };
    await assertRejects(() => store.update("k", increment), StoreError, "does not hold the identity of this member");
    assertEquals(await rows(), before);
    shared.clients[0]!.before = () => Promise.resolve();
    await assertRejects(() => store.update("k", look), StoreError, "does not hold the identity");
    const stranger = await shared.open();
    await stranger.init({ ...IDENTITY, id: "z", incarnation: "inc9" });
    await assertRejects(() => store.update("k", look), StoreError, "does not hold the identity");
    await shared.raw.set(IDENTITY_ROW, identity!.value);
    assertEquals(await store.update("k", increment), 2);
  }));

Deno.test("shared store: an init of another process is found, and is that process's own only by its incarnation", () =>
  Shared.with(async (shared) => {
    let nowMs = 0;
    const waiting = await shared.open({ clock: { ...realClock, now: () => nowMs } });
    const first = await shared.open();
    assertEquals(waiting.identity(), null);
    for (const fault of ["unknown-applied", "unknown-lost", "conflict"] as const) {
      shared.clients[1]!.fault = fault;
      await first.init(IDENTITY);
    }
    await assertRejects(
      () => waiting.init({ ...IDENTITY, incarnation: "inc2" }),
      StoreError,
      "already has an identity",
    );
    nowMs = 2_000;
    waiting.identity();
    for (let i = 0; i < 200 && waiting.identity() === null; i++) await new Promise((resolve) => setTimeout(resolve, 5));
    assertEquals(waiting.identity(), { cluster: "c1", id: "a", incarnation: "inc1", boot: 0, run: "shared" });
    assertEquals([waiting.seq(), waiting.spokenSeq(), waiting.config()], [0, 0, IDENTITY.config]);
  }));

Deno.test("shared store: quarantine holds for every process that serves it", () =>
  Shared.with(async (shared) => {
    const [first, second] = [await shared.open(), await shared.open()];
    await first.init(IDENTITY);
    await second.update("k", increment);
    await first.quarantine("an operator said so");
    await assertRejects(() => second.update("k", increment), StoreError, "quarantined: an operator said so");
    assertEquals(second.quarantined(), "an operator said so");
    assertEquals(countOf(await second.update("k", look)), 1);
  }));

Deno.test("shared store: any process confirms the life of all, and finds it in the row that its commits check", () =>
  Shared.with(async (shared) => {
    const [first, second] = [await shared.open(), await shared.open()];
    await first.init(IDENTITY);
    await second.update("k", increment);
    assertEquals([first.lifeConfirmed(), second.lifeConfirmed()], [false, false]);
    await first.confirmLife();
    await second.update("k", increment);
    assertEquals([second.lifeConfirmed(), (await shared.open()).lifeConfirmed()], [true, true]);
    // Another's database in its place is not confirmed with it.
    await shared.raw.set(IDENTITY_ROW, encodeIdentity({ ...IDENTITY, incarnation: "inc2", confirmed: false }));
    await assertRejects(() => second.confirmLife(), StoreError, "does not hold the identity");
    assertEquals((await shared.open()).lifeConfirmed(), false);
  }));

Deno.test("shared store: news of a peer rides in the commit that follows, and any process recalls the highest", () =>
  Shared.with(async (shared) => {
    const [first, second] = [await shared.open(), await shared.open()];
    first.note("b", MARK);
    second.note("b", { ...MARK, seq: 9 });
    assertEquals(await (await shared.open()).recall("b"), null);
    await first.update("k", increment);
    await second.update("other", increment);
    const third = await shared.open();
    assertEquals(await third.recall("b"), { ...MARK, seq: 9 });
    assertEquals(await third.recall("c"), null);
    // What is on disk of a first life is the evidence against a second.
    third.note("b", { ...MARK, incarnation: "inc2", seq: 99 });
    await third.update("k", increment);
    await third.flush();
    assertEquals((await first.recall("b"))?.incarnation, "inc1");
    // Nothing new, nothing written but the record.
    const versions = async () => {
      const found = [];
      for await (const { key, versionstamp } of shared.raw.list({ prefix: ["q", "marks"] })) {
        found.push([key, versionstamp]);
      }
      return found;
    };
    const before = await versions();
    await first.update("k", increment);
    assertEquals(await versions(), before);
  }));

Deno.test("shared store: when leases were first seen has a row of its own, written when that changes", () =>
  Shared.with(async (shared) => {
    const store = await shared.open();
    const seen = { "h:1025|v1": 1_000 };
    await store.update("k", write({ ...makeRecord(1), firstSeen: seen }));
    const version = async () => (await shared.raw.get(firstSeenRow("k"))).versionstamp;
    const before = await version();
    await store.update("k", (record) => ({ record: { ...record!, promised: [1, "a/x", 0] }, reply: null }));
    assertEquals(await version(), before);
    assertEquals((await (await shared.open()).update("k", look))?.firstSeen, seen);
    await store.update("k", write({ ...makeRecord(2), firstSeen: {} }));
    // Without a lease there is nothing to say, and no row.
    assertEquals((await store.update("k", look))?.firstSeen, undefined);
    assertEquals(await version(), null);
  }));

Deno.test("shared store: a small state is in the row of its votes, a large one has a row of its own, there and back", () =>
  Shared.with(async (shared) => {
    const store = await shared.open();
    await store.init(IDENTITY);
    const hasState = async () => (await shared.raw.get(stateRow("k"))).value !== null;
    for (const [i, isLarge] of [false, true, true, false, false, true].entries()) {
      const record = makeRecord(i + 1, isLarge ? ".".repeat(INLINE_STATE_MAX_BYTES) : "");
      await store.update("k", write(record));
      // Another process reads it so too, and a vote leaves the state where it is.
      assertEquals(await (await shared.open()).update("k", look), record);
      assertEquals(await hasState(), isLarge);
      await store.update("k", promise(1));
      assertEquals(await (await shared.open()).update("k", look), { ...record, promised: [1, "a/x", 0] });
      assertEquals(await hasState(), isLarge);
    }
  }));

Deno.test("shared store: close finishes what was accepted and refuses what comes later", () =>
  Shared.with(async (shared) => {
    const store = await shared.open();
    const accepted = Promise.all(Array.from({ length: 20 }, (_, i) => store.update(`k${i}`, increment)));
    const closing = store.close();
    await assertRejects(() => store.update("k", increment), StoreError, "closed");
    await assertRejects(() => store.keys("", "", 1), StoreError, "closed");
    assertEquals(await accepted, Array(20).fill(1));
    await closing;
    const again = await shared.open();
    assertEquals((await again.keys("", "", 100)).length, 20);
  }));

Deno.test("shared store: what an owner has written is not shared", () =>
  Shared.with(async (shared) => {
    await shared.raw.set(META_ROW, new TextEncoder().encode("{}"));
    const error = await assertRejects(() => shared.open(), StoreError);
    assertStringIncludes(error.message, "written by a node that had it to itself");
  }));
