import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { INLINE_STATE_MAX_BYTES } from "../../src/limits.ts";
import type { AcceptorRecord } from "../../src/paxos/message.ts";
import { type BallotStore, type StepResult, StoreError } from "../../src/ports.ts";
import { ballotRow, META_ROW, stateRow } from "../../src/store/key_space.ts";
import { openOwnerStore, type OwnerStoreOptions } from "../../src/store/kv_ballot_store.ts";
import { encodeRecord } from "../../src/store/rows.ts";
import {
  apply,
  ballotStoreContract,
  countOf,
  IDENTITY,
  increment,
  look,
  makeRecord,
  type Medium,
  moveOn,
  promise,
  vote,
  write,
} from "./ballot_store_contract.ts";
import { TestKv } from "./test_kv.ts";

let runs = 0;
const run = () => `run-${++runs}`;

type Bench = { readonly path: string; readonly kv: TestKv; readonly raw: Deno.Kv; readonly store: BallotStore };

/** Opens a store on a new file, and the database a second time within this process to look at it from outside. */
async function withStore(run_: (bench: Bench) => Promise<void>, more: Partial<OwnerStoreOptions> = {}): Promise<void> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/store.db`;
  const kv = new TestKv(await Deno.openKv(path));
  const raw = await Deno.openKv(path);
  const store = await openOwnerStore({ apply, path, run, kv: kv.asKv(), ...more });
  try {
    await run_({ path, kv, raw, store });
    await store.close();
  } finally {
    raw.close();
    await Deno.remove(folder, { recursive: true });
  }
}

async function makeMedium(): Promise<Medium> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/store.db`;
  const opened: TestKv[] = [];
  return {
    open: async () => {
      const kv = new TestKv(await Deno.openKv(path));
      opened.push(kv);
      return await openOwnerStore({ apply, path, run, kv: kv.asKv() });
    },
    failNext: (_, fault) => {
      for (const kv of opened) kv.fault = fault;
    },
    hold: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      for (const kv of opened) kv.gate = promise;
      return resolve;
    },
    atomics: () => opened.reduce((sum, kv) => sum + kv.atomics, 0),
    spoil: async (key) => {
      using kv = await Deno.openKv(path);
      await kv.set(ballotRow(key), new TextEncoder().encode("junk"));
    },
    dispose: () => Deno.remove(folder, { recursive: true }),
  };
}

ballotStoreContract("owner store", makeMedium);

/** Its state is too large for the ballot row. */
function incrementLarge(record: AcceptorRecord | null): StepResult<number> {
  const count = countOf(record) + 1;
  return { record: makeRecord(count, ".".repeat(INLINE_STATE_MAX_BYTES)), reply: count };
}

Deno.test("owner store: votes, and decided values, go into the log alone; any other change writes both rows", () =>
  withStore(async ({ store, raw }) => {
    const versions = async () => (await raw.getMany([ballotRow("k"), stateRow("k")])).map((row) => row.versionstamp);
    await store.update("k", incrementLarge);
    const first = await versions();
    assertEquals(first[0], first[1]);
    for (const step of [promise(1), vote, moveOn, vote]) await store.update("k", step);
    await Promise.all([vote, moveOn, vote, moveOn].map((step) => store.update("k", step)));
    assertEquals(await versions(), first);
    await store.update("k", incrementLarge);
    const second = await versions();
    assert(second[0] !== first[0]);
    assertEquals(second[0], second[1]);
    // In one commit with what came as a whole: both rows tell the last of it.
    await Promise.all([store.update("k", incrementLarge), store.update("k", promise(2))]);
    const third = await versions();
    assert(third[0] !== second[0]);
    assertEquals(third[0], third[1]);
  }));

Deno.test("owner store: a small state is in the row of its votes, a large one has a row of its own, there and back", () =>
  withStore(async ({ store, raw }) => {
    const hasState = async () => (await raw.get(stateRow("k"))).value !== null;
    for (const [i, isLarge] of [false, true, true, false, false, true].entries()) {
      const record = makeRecord(i + 1, isLarge ? ".".repeat(INLINE_STATE_MAX_BYTES) : "");
      await store.update("k", write(record));
      assertEquals(await hasState(), isLarge);
      // What is not in memory any more is read from its rows.
      await store.update("other", increment);
      assertEquals(await store.update("k", look), record);
    }
  }, { cachedKeys: 1, shortenBytes: -1 }));

Deno.test("owner store: what is asked for in one turn of the event loop shares a commit, however late in it", () =>
  withStore(async ({ store }) => {
    // In memory from here on: what is read first comes when it comes.
    await Promise.all(["a", "b"].map((key) => store.update(key, increment)));
    const seq = store.seq();
    const updates = [store.update("a", increment)];
    for (let i = 0; i < 10; i++) await null;
    updates.push(store.update("b", increment));
    await Promise.all(updates);
    assertEquals(store.seq(), seq + 1);
  }));

Deno.test("owner store: a read of a committed record waits for nobody's commit", () =>
  withStore(async ({ store, kv }) => {
    await store.update("quiet", increment);
    const { promise: gate, resolve } = Promise.withResolvers<void>();
    kv.gate = gate;
    const writing = store.update("busy", increment);
    await new Promise((later) => setTimeout(later, 10));
    assertEquals(countOf(await store.update("quiet", look)), 1);
    resolve();
    await writing;
  }));

Deno.test("owner store: another writer's change is seen, and the step runs again on it", () =>
  withStore(async ({ store, raw }) => {
    await store.update("k", increment);
    const { ballot, state } = encodeRecord("k", makeRecord(41), null);
    assertEquals(state, "none");
    await raw.set(ballotRow("k"), ballot);
    assertEquals(await store.update("k", increment), 42);
  }));

Deno.test("owner store: a commit that hangs past the deadline rejects and can never be applied after it was settled", () =>
  withStore(async ({ store, kv }) => {
    await store.update("k", increment);
    const { promise: gate, resolve } = Promise.withResolvers<void>();
    kv.gate = gate;
    kv.fault = "late";
    await assertRejects(() => store.update("k", promise(9)), StoreError, "no answer from the database within 1000 ms");
    kv.gate = Promise.resolve();
    assertEquals((await store.update("k", look))?.promised, [0, "", 0]);
    resolve();
    assertEquals(await kv.late[0], { ok: false } as Deno.KvCommitError);
    assertEquals((await store.update("k", look))?.promised, [0, "", 0]);
    assertEquals(await store.update("k", increment), 2);
  }, { deadlineMs: 1_000 }));

Deno.test("owner store: while the database is silent every update rejects in time, and work resumes after", () =>
  withStore(async ({ store, kv }) => {
    await store.update("k", increment);
    kv.fault = "never";
    await assertRejects(() => store.update("k", increment), StoreError);
    kv.fault = "never";
    await assertRejects(() => store.update("k", increment), StoreError);
    assertEquals(await store.update("k", increment), 2);
  }, { deadlineMs: 1_000 }));

Deno.test("owner store: a store another process took over stays refused", () =>
  withStore(async ({ store, raw }) => {
    await store.init(IDENTITY);
    await store.update("k", increment);
    const meta = { format: 1, seq: 9, spoken: 9, boot: 2, run: "somebody else", marks: {}, quarantined: null };
    await raw.set(META_ROW, new TextEncoder().encode(JSON.stringify(meta)));
    await assertRejects(() => store.update("k", increment), StoreError, "taken this store over");
    await assertRejects(() => store.update("k", look), StoreError, "taken this store over");
    await assertRejects(() => store.flush(), StoreError, "taken this store over");
  }));

Deno.test("owner store: damaged rows reject, and are never taken for no record", () =>
  withStore(async ({ store, raw }) => {
    await raw.set(ballotRow("half"), new TextEncoder().encode('{"instance":1,"promised":[0,"",0],"vote":null}'));
    await assertRejects(() => store.update("half", look), StoreError, 'state row of "half" is missing');
    await raw.set(ballotRow("text"), "what");
    await assertRejects(() => store.update("text", increment), StoreError, 'ballot row of "text" is damaged');
    assertEquals(await store.update("fine", increment), 1);
  }));

Deno.test("owner store: records out of the cache are read again; those in use stay", () =>
  withStore(async ({ store, kv }) => {
    await Promise.all(Array.from({ length: 50 }, (_, i) => store.update(`k${i}`, increment)));
    const before = kv.reads;
    for (let i = 0; i < 50; i++) assertEquals(await store.update(`k${i}`, increment), 2);
    assert(kv.reads > before);
    const warm = kv.reads;
    await store.update("k49", look);
    assertEquals(kv.reads, warm);
  }, { cachedKeys: 4 }));

Deno.test("owner store: a store that would not last is refused unless a test says so", async () => {
  for (const path of ["", ":memory:"]) {
    await assertRejects(() => openOwnerStore({ apply, path, run }), StoreError, "a store needs a file");
    const store = await openOwnerStore({ apply, path, run, allowEphemeral: true });
    assertEquals(await store.update("k", write(makeRecord(1))), "written");
    await store.close();
  }
});

Deno.test("owner store: paths that cannot hold a store are refused in one line", async () => {
  const folder = await Deno.makeTempDir();
  const text = `${folder}/notes.txt`;
  await Deno.writeTextFile(text, "no database at all\n".repeat(100));
  const refusals: [path: string, says: string][] = [
    [folder, "is a directory"],
    [`${folder}/missing/store.db`, "cannot write"],
    ["/proc/store.db", "cannot write"],
    [text, "not a Quorate store"],
  ];
  for (const [path, says] of refusals) {
    const error = await assertRejects(() => openOwnerStore({ apply, path, run }), StoreError, says);
    assertStringIncludes(error.message, path);
    assert(!error.message.includes("\n"), error.message);
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("owner store: a second process is refused while the first only sits there", () =>
  withStore(async ({ path, store }) => {
    const module = new URL("../../src/store/kv_ballot_store.ts", import.meta.url);
    const script = `import { openOwnerStore } from ${JSON.stringify(module.href)};
      try { await openOwnerStore({ apply: (state) => state, path: ${
      JSON.stringify(path)
    }, run: () => "r" }); console.log("opened"); }
      catch (error) { console.log(error.name + ": " + error.message); }`;
    const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["eval", "--unstable-kv", script] }).output();
    const said = new TextDecoder().decode(stdout).trim();
    assertEquals(said, `StoreError: ${path} is in use by another process (pid ${Deno.pid})`);
    assertEquals(await store.update("k", increment), 1);
  }));

Deno.test("owner store: a file locked by a stranger rejects in time, at work and at open", () =>
  withStore(async ({ path, store }) => {
    await store.init(IDENTITY);
    const stranger = new DatabaseSync(path);
    stranger.exec("BEGIN EXCLUSIVE");
    await assertRejects(
      () => store.update("k", increment),
      StoreError,
      "in use by another process (database is locked)",
    );
    stranger.exec("ROLLBACK");
    assertEquals(await store.update("k", increment), 1);
    await store.close();
    stranger.exec("BEGIN EXCLUSIVE");
    await assertRejects(
      () => openOwnerStore({ apply, path, run, deadlineMs: 1_000 }),
      StoreError,
      "(locked, or the disk hangs)",
    );
    stranger.exec("ROLLBACK");
    stranger.close();
    const again = await openOwnerStore({ apply, path, run });
    assertEquals(await again.update("k", increment), 2);
    await again.close();
  }));
