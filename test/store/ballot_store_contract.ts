/** What every BallotStore does, whatever it is made of. */
import { assert, assertEquals, assertGreater, assertNotEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ROW_MAX_BYTES } from "../../src/limits.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { AcceptorRecord, State } from "../../src/paxos/message.ts";
import {
  type Apply,
  type BallotStore,
  DamagedRecord,
  type EpochsRow,
  type Found,
  type Mark,
  type StepResult,
  type StoredRecord,
  StoreError,
} from "../../src/ports.ts";
import type { Fault } from "../../src/store/memory_ballot_store.ts";

/** One durable medium and what a test may do to the commits on it. */
export type Medium = {
  /** Opens the store on the medium again; the one before must be closed. */
  open(): Promise<BallotStore>;
  failNext(store: BallotStore, fault: Fault): void;
  /** Holds back every commit until the returned function is called. */
  hold(): () => void;
  /** Atomics that reached the medium so far. */
  atomics(): number;
  /** Leaves junk where this key's record was; no store is open. */
  spoil(key: string): Promise<void>;
  dispose(): Promise<void>;
};

export const IDENTITY = { cluster: "c1", id: "a", incarnation: "inc1", config: '{"members":["a","b","c"]}' };

/** A record whose state counts; `padding` makes it as heavy as wanted. */
export function makeRecord(count: number, padding = ""): AcceptorRecord {
  const state = { mode: { kind: "prepare" }, count, padding } as State;
  return {
    epoch: 0,
    instance: count,
    state,
    stateHash: `h${count}`,
    decidedBy: null,
    promised: STANDING,
    vote: null,
  };
}

export function countOf(record: AcceptorRecord | null): number {
  return record === null ? 0 : (record.state as State & { count: number }).count;
}

/** The step that adds one and replies with the new count. */
export function increment(record: AcceptorRecord | null): StepResult<number> {
  const count = countOf(record) + 1;
  return { record: makeRecord(count), reply: count };
}

/** What the machine of these states does with any value. */
export const apply: Apply = (state) => ({ ...state, count: (state as State & { count: number }).count + 1 }) as State;

/** Votes for the value that is decided next. */
export function vote(record: StoredRecord | null): StepResult<number> {
  const value = { id: `v${record!.instance}`, proposer: "a", commands: [] };
  return { record: { ...record!, vote: { ballot: STANDING, kind: "fast", value } }, reply: record!.instance };
}

/** As `increment` of a record that is there, by a decided value, as an acceptor moves on. */
export function moveOn(record: StoredRecord | null): StepResult<number> {
  const { instance } = record!;
  const value = { id: `v${instance}`, proposer: "a", commands: [] };
  const certificate = { instance, ballot: STANDING, kind: "open", valueId: value.id, acceptors: ["a", "b"] } as const;
  const state = apply(record!.state, instance, value);
  const next = { ...makeRecord(countOf(record) + 1), state, instance: instance + 1, decidedBy: certificate };
  return { record: next, reply: countOf(next), move: { certificate, value } };
}

export function look(record: StoredRecord | null): StepResult<StoredRecord | null> {
  return { record: null, reply: record };
}

export function write(record: StoredRecord): () => StepResult<string> {
  return () => ({ record, reply: "written" });
}

export function promise(n: number): (record: AcceptorRecord | null) => StepResult<number> {
  return (record) => {
    assert(record !== null);
    return { record: { ...record, promised: [n, "a/x", 0] }, reply: n };
  };
}

/** That `number` is in force, and the one before is not retired yet. */
export function epochs(number: number): EpochsRow {
  const members = ["a", "b", String.fromCharCode(99 + number)].map((id) => ({ id, url: `http://${id}.example` }));
  const current = { cluster: "c1", epoch: number, members, modes: [] };
  const before = number === 1 ? { ...current, epoch: 0, members: members.slice(0, 2) } : epochs(number - 1).current;
  return { before, beforeFirst: 1, current, first: null };
}

const COMMAND = { subject: "s", id: "c", born: 0 };
const MARK: Mark = { incarnation: "inc1", boot: 1, run: "r1", seq: 5 };
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const all = <T>(count: number, start: (i: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, i) => start(i)));

/**
 * Registers the suite; `make` gives an empty medium. What only one who has the medium to itself can do, as numbering its
 * commits, is asked of an owner alone; what a shared store does instead is in its own test.
 */
export function ballotStoreContract(kind: string, make: () => Promise<Medium>, isShared = false): void {
  function test(name: string, run: (store: BallotStore, medium: Medium) => Promise<void>): void {
    Deno.test(`${kind}: ${name}`, async () => {
      const medium = await make();
      try {
        const store = await medium.open();
        await run(store, medium);
        await store.close();
      } finally {
        await medium.dispose();
      }
    });
  }

  const owned: typeof test = (name, run) => isShared || test(name, run);

  test("it says whether others may serve the same records", (store) => {
    assertEquals(store.isShared, isShared);
    return Promise.resolve();
  });

  owned("what is sealed is there after a start, and only what goes on from it is taken", async (store, medium) => {
    await assertRejects(() => store.seal(epochs(1)), StoreError, "belongs to nobody");
    await store.init(IDENTITY);
    assertEquals(store.epochs(), null);
    await store.seal(epochs(1));
    assertEquals(store.epochs(), epochs(1));
    await store.update("k", increment);
    await store.close();

    const again = await medium.open();
    assertEquals([again.epochs(), countOf(await again.update("k", look))], [epochs(1), 1]);
    await again.seal(epochs(1));
    const others = { ...epochs(1), current: { ...epochs(1).current, members: epochs(1).before.members } };
    await assertRejects(() => again.seal(others), StoreError, "other members");
    await assertRejects(() => again.seal({ ...epochs(2), before: others.current }), StoreError, "other members");
    await assertRejects(() => again.seal({ ...epochs(3), before: epochs(1).before }), StoreError, "the one before");
    await again.seal({ ...epochs(1), first: 7 });
    await assertRejects(() => again.seal(epochs(1)), StoreError, "first instance is 7");
    await assertRejects(() => again.seal(epochs(2)), StoreError, "begins at 7");
    await again.seal({ ...epochs(1), first: 7, arrived: true });
    await again.close();
    const noted = await medium.open();
    assertEquals(noted.epochs(), { ...epochs(1), first: 7, arrived: true });
    await noted.seal({ ...epochs(2), beforeFirst: 7 });
    await assertRejects(() => noted.seal(epochs(1)), StoreError, "epoch 2 is in force");
    await assertRejects(() => noted.seal({ ...epochs(1), first: 7, arrived: true }), StoreError, "epoch 2 is in force");
    await noted.close();
    const last = await medium.open();
    assertEquals(last.epochs(), { ...epochs(2), beforeFirst: 7 });
    await last.close();
  });

  owned("a seal whose outcome is not known rejects, and can be asked for again", async (store, medium) => {
    await store.init(IDENTITY);
    medium.failNext(store, "unknown-lost");
    await assertRejects(() => store.seal(epochs(1)), StoreError);
    await store.seal(epochs(1));
    assertEquals(store.epochs(), epochs(1));
    await store.close();
    const again = await medium.open();
    assertEquals(again.epochs(), epochs(1));
    await again.close();
  });

  owned("a member that joins is written with its epoch, in one commit", async (store, medium) => {
    const before = medium.atomics();
    await store.init(IDENTITY, epochs(4));
    assertEquals([store.epochs(), medium.atomics() - before], [epochs(4), 1]);
    await store.close();
    const again = await medium.open();
    assertEquals(again.epochs(), epochs(4));
    await again.close();
  });

  owned(
    "votes of an import are there after a start, however heavy they are beside a vote and a state",
    async (store, medium) => {
      const heavy = (id: string) => ({
        id,
        proposer: "a",
        commands: [{ ...COMMAND, op: { type: "put", bytes: "x".repeat(44_000) } }],
      });
      const base = (count: number) => {
        const { instance, state, stateHash, decidedBy } = makeRecord(count, ".".repeat(50_000));
        return { instance, state, stateHash, decidedBy };
      };
      const importVote = (n: number) =>
        ({ ballot: [n, "a/x", 0], kind: "classic", base: base(n), value: heavy(`i${n}`) }) as const;
      const record: StoredRecord = {
        ...makeRecord(3, ".".repeat(50_000)),
        vote: { ballot: STANDING, kind: "fast", value: heavy("v") },
        importing: { epoch: 2, promised: [9, "b/y", 0], vote: importVote(7), before: importVote(6) },
      };
      const light: StoredRecord = { ...record, importing: { epoch: 2, promised: [4, "b/y", 0], vote: null } };
      const { before: _, ...rest } = record.importing!;
      const promised: StoredRecord = { ...record, importing: { ...rest, promised: [12, "c/z", 0] } };
      // The standing ballot of a name that is new in the epoch, and the record that it makes.
      const value = { id: "f", proposer: "a", commands: [{ ...COMMAND, op: { type: "x" } }] };
      const vote = { ballot: STANDING, kind: "fast", base: { ...base(1), decidedBy: null }, value } as const;
      const fresh: StoredRecord = { ...makeRecord(1), importing: { epoch: 1, promised: STANDING, vote } };
      const begun: StoredRecord = { ...makeRecord(2), epoch: 1 };
      let open = store;
      for (
        const [key, steps] of [
          ["k", [record]],
          ["l", [light, record]],
          ["m", [
            record,
            promised,
            light,
            promised,
          ]],
          ["n", [fresh]],
          ["o", [fresh, begun]],
        ] as const
      ) {
        for (const step of steps) await open.update(key, write(step));
        await open.close();
        open = await medium.open();
        assertEquals(await open.update(key, look), steps.at(-1)!, key);
      }
      await open.update("m", write(makeRecord(8)));
      await open.close();
      open = await medium.open();
      assertEquals(await open.update("m", look), makeRecord(8));
      await open.close();
    },
  );

  if (isShared) {
    test("nothing is sealed, and nobody joins", async (store) => {
      await assertRejects(() => store.init(IDENTITY, epochs(1)), StoreError, "members cannot be changed");
      await store.init(IDENTITY);
      await assertRejects(() => store.seal(epochs(1)), StoreError, "members cannot be changed");
      assertEquals(store.epochs(), null);
    });
  }

  test("a key nobody wrote has no record, and asking writes nothing", async (store, medium) => {
    assertEquals(await store.update("k", look), null);
    assertEquals(await store.keys("", "", 10), []);
    assertEquals(medium.atomics(), 0);
  });

  test("what is written is read, by this store and the next on the medium", async (store, medium) => {
    const record: AcceptorRecord = {
      ...makeRecord(3),
      decidedBy: { instance: 2, ballot: STANDING, kind: "open", valueId: "v2", acceptors: ["a", "b"] },
      promised: [2, "b/n", 1],
      vote: {
        ballot: [1, "b/n", 0],
        kind: "classic",
        value: { id: "v3", proposer: "b", commands: [{ subject: "s", id: "c", born: 1, op: { type: "x" } }] },
      },
      stopped: "two values",
    };
    assertEquals(await store.update("k", write(record)), "written");
    assertEquals(await store.update("k", look), record);
    await store.close();
    const again = await medium.open();
    assertEquals(await again.update("k", look), record);
    await again.close();
  });

  test(
    "a damaged record is never none: only who mends it may write, and what it writes takes its place",
    async (first, medium) => {
      await first.update("k", increment);
      await first.update("other", increment);
      await first.close();
      await medium.spoil("k");
      const store = await medium.open();
      const see = ({ record, damage }: Found) => ({ record: null, reply: [record, damage === null] });
      const fresh = (record: StoredRecord | null) => ({ record: record ?? makeRecord(1), reply: "voted" });
      const tries = [store.update("k", fresh), store.mend("k", see), store.update("k", fresh)];
      const [before, seen, after] = await Promise.allSettled(tries);
      assertEquals(seen, { status: "fulfilled", value: [null, false] });
      for (const one of [before, after]) {
        assert(one?.status === "rejected" && one.reason instanceof DamagedRecord, JSON.stringify(one));
      }
      await assertRejects(() => store.update("k", look), DamagedRecord);
      // It comes while who mends has seen it and waits for another commit.
      const release = medium.hold();
      const other = store.update("other", increment);
      await sleep(5);
      const waits = store.mend("k", see);
      await sleep(20);
      const late = store.update("k", fresh).catch((error) => error);
      await sleep(5);
      release();
      assert(await late instanceof DamagedRecord);
      await Promise.allSettled([other, waits]);
      const sound = makeRecord(7);
      const mend = () => ({ record: sound, reply: "mended" });
      assertEquals(await store.mend("k", mend), "mended");
      assertEquals(await store.mend("k", see), [sound, true]);
      assertEquals(await store.update("k", increment), 8);
      assertEquals(await store.keys("", "", 9, "live"), ["k", "other"]);
      await store.close();
      const again = await medium.open();
      assertEquals(countOf(await again.update("k", look)), 8);
      await again.close();
    },
  );

  test(
    "what is to take the place of a damaged record and does not get there leaves it damaged",
    async (first, medium) => {
      await first.update("k", increment);
      await first.close();
      await medium.spoil("k");
      const store = await medium.open();
      const mend = () => ({ record: makeRecord(7), reply: "mended" });
      const failing = () => {
        throw new Error("not this one");
      };
      await assertRejects(() => store.mend("k", failing), Error, "not this one");
      await assertRejects(() => store.update("k", increment), DamagedRecord);
      medium.failNext(store, "conflict");
      assertEquals(await store.mend("k", mend), "mended");
      assertEquals(countOf(await store.update("k", look)), 7);
      await store.close();
    },
  );

  test("votes and states written in turn all survive reopening", async (store, medium) => {
    await store.update("k", increment);
    await store.update("k", promise(1));
    await store.update("k", increment);
    await store.update("k", promise(2));
    const last = await store.update("k", look);
    await store.close();
    const again = await medium.open();
    assertEquals(await again.update("k", look), last);
    assertEquals(last, { ...makeRecord(2), promised: [2, "a/x", 0] });
    await again.close();
  });

  test("an instance that leaves the state as it was is still another instance", async (store, medium) => {
    await store.update("k", write(makeRecord(1)));
    await store.update("k", write({ ...makeRecord(1), instance: 2 }));
    await store.close();
    const again = await medium.open();
    assertEquals(await again.update("k", look), { ...makeRecord(1), instance: 2 });
    await again.close();
  });

  test("a record that decided values moved on is the same again after any number of opens", async (store, medium) => {
    await store.update("k", increment);
    for (let i = 0; i < 3; i++) {
      await store.update("k", vote);
      assertEquals(await store.update("k", moveOn), i + 2);
    }
    // Voted for, decided, and voted for again, in one commit.
    await Promise.all([vote, moveOn, vote, moveOn, vote].map((step) => store.update("k", step)));
    await store.update("k", promise(4));
    const last = await store.update("k", look);
    assertEquals([countOf(last), last?.instance, last?.vote, last?.promised], [6, 6, last!.vote, [4, "a/x", 0]]);
    let again = store;
    for (let i = 0; i < 3; i++) {
      await again.close();
      again = await medium.open();
      assertEquals(await again.update("k", look), last);
      if (i === 1) await again.update("k", (record) => ({ record, reply: null }));
    }
    assertEquals(await again.update("k", moveOn), 7);
    await again.close();
    again = await medium.open();
    assertEquals(countOf(await again.update("k", look)), 7);
    await again.close();
  });

  test("a step sees what the updates before it left, committed or not", async (store) => {
    const replies = await Promise.all([
      store.update("k", increment),
      store.update("k", promise(7)),
      store.update("k", look),
      store.update("k", increment),
    ]);
    assertEquals(replies[2], { ...makeRecord(1), promised: [7, "a/x", 0] });
    assertEquals(replies[3], 2);
  });

  test("500 concurrent updates of one key happen in some order, each once", async (store) => {
    const replies = await all(500, () => store.update("k", increment));
    assertEquals(replies.toSorted((a, b) => a - b), Array.from({ length: 500 }, (_, i) => i + 1));
    assertEquals(countOf(await store.update("k", look)), 500);
  });

  owned("200 concurrent updates of 200 keys share a few atomics", async (store, medium) => {
    await all(200, (i) => store.update(`k${i}`, look));
    await all(200, (i) => store.update(`k${i}`, increment));
    assert(medium.atomics() <= 4, `${medium.atomics()} atomics`);
    assertEquals((await store.keys("", "", 1_000)).length, 200);
  });

  test("nobody is answered before the commit of what the step wrote or saw", async (store, medium) => {
    await store.update("k", increment);
    const release = medium.hold();
    const answered: string[] = [];
    const writing = store.update("k", increment).then(() => answered.push("writer"));
    const reading = store.update("k", look).then((record) => answered.push(`reader of ${countOf(record)}`));
    await sleep(15);
    const late = store.update("k", look).then((record) => answered.push(`late reader of ${countOf(record)}`));
    await sleep(15);
    assertEquals(answered, []);
    release();
    await Promise.all([writing, reading, late]);
    assertEquals(answered, ["writer", "reader of 2", "late reader of 2"]);
  });

  test("what is told at once is committed, and never what may yet be lost", async (store, medium) => {
    await store.update("k", increment);
    const before = store.peek("k");
    // A store that always has to be asked may say nothing.
    assert(before === undefined || countOf(before) === 1);
    assert([undefined, null].includes(store.peek("never written") as undefined));
    const release = medium.hold();
    const later = store.update("k", increment);
    await sleep(5);
    const during = store.peek("k");
    release();
    assertEquals(await later, 2);
    assert(during === undefined || countOf(during) === 1, "the write is not committed yet");
    assertNotEquals(store.peek("k") === undefined ? 2 : countOf(store.peek("k")!), 1);
    if (!isShared) medium.failNext(store, "unknown-lost");
    if (!isShared) await assertRejects(() => store.update("k", increment), StoreError);
    const unknown = store.peek("k");
    assert(unknown === undefined || countOf(unknown) === 2, "of a write that failed nothing is told");
    await store.close();
    assertEquals(store.peek("k"), undefined);
  });

  test("a step that throws rejects its own update only", async (store) => {
    const [failed, fine] = await Promise.allSettled([
      store.update("k", () => {
        throw new TypeError("no");
      }),
      store.update("k", increment),
    ]);
    assert(failed.status === "rejected" && failed.reason instanceof TypeError);
    assert(fine.status === "fulfilled" && fine.value === 1);
  });

  test("a row that is too large is refused and changes nothing", async (store, medium) => {
    await store.update("k", increment);
    const before = medium.atomics();
    const heavy = makeRecord(9, "x".repeat(ROW_MAX_BYTES));
    await assertRejects(() => store.update("k", write(heavy)), StoreError, "more than 57344");
    assertEquals(medium.atomics(), before);
    // Between others of the same group too.
    const replies = await Promise.allSettled([
      store.update("k", increment),
      store.update("k", write(heavy)),
      store.update("k", increment),
    ]);
    assertEquals(replies.map((reply) => reply.status), ["fulfilled", "rejected", "fulfilled"]);
    assertEquals(countOf(await store.update("k", look)), 3);
  });

  test("many records near the limit are cut into atomics that fit", async (store, medium) => {
    const heavy = "x".repeat(ROW_MAX_BYTES - 1_000);
    await all(20, (i) => store.update(`k${i}`, write(makeRecord(1, heavy))));
    await store.close();
    const again = await medium.open();
    const sizes = await all(20, (i) => again.update(`k${i}`, look));
    for (const record of sizes) assertEquals(record, makeRecord(1, heavy));
    await again.close();
  });

  test("names of 512 bytes work, many at once, NULs included", async (store) => {
    const name = (i: number) =>
      `locks/${String(i).padStart(3, "0")}${i % 2 === 0 ? "\0".repeat(509) : "é".repeat(254)}`;
    await all(120, (i) => store.update(name(i), increment));
    assertEquals((await store.keys("locks/", "", 1_000)).length, 120);
    assertEquals(countOf(await store.update(name(119), look)), 1);
  });

  test("a name no row can hold is a bug, told as such", async (store) => {
    for (const key of ["", "x".repeat(600), "\ud800"]) {
      const error = await assertRejects(() => store.update(key, increment), Error);
      assertEquals(error.name, "InvariantError");
    }
  });

  test("keys are listed in byte order, by prefix, in pages", async (store) => {
    const names = ["a", "a\0", "a/1", "a/10", "a/2", "ab", "b", "é", "\uffee", "😀", "😀x"];
    await Promise.all(names.toReversed().map((key) => store.update(key, increment)));
    assertEquals(await store.keys("", "", 100), names);
    assertEquals(await store.keys("a/", "", 100), ["a/1", "a/10", "a/2"]);
    assertEquals(await store.keys("a/", "a/1", 1), ["a/10"]);
    assertEquals(await store.keys("", "\uffee", 100), ["😀", "😀x"]);
    assertEquals(await store.keys("😀", "", 100), ["😀", "😀x"]);
    assertEquals(await store.keys("b", "c", 100), []);
    assertEquals(await store.keys("", "", 0), []);
    const paged: string[] = [];
    for (let page = await store.keys("", "", 3); page.length > 0; page = await store.keys("", paged.at(-1) ?? "", 3)) {
      paged.push(...page);
    }
    assertEquals(paged, names);
  });

  test(
    "live keys are those whose record is, as each commit leaves it, and after a reopening",
    async (store, medium) => {
      await store.init(IDENTITY);
      const live = async (of = store) => await of.keys("", "", 100, "live");
      const put = (key: string, is: boolean) => store.update(key, write({ ...makeRecord(1), live: is }));
      await Promise.all([put("a", true), put("b", false), put("c", true), store.update("d", write(makeRecord(1)))]);
      // A shared store's index is made by whoever finds it missing; until then any record may be live.
      for (let tries = 0; tries < 200 && (await live()).length > 3; tries++) await sleep(5);
      assertEquals(await live(), ["a", "c", "d"], "one that does not say is live");
      await Promise.all([put("a", false), put("b", true), put("d", false)]);
      assertEquals([await live(), await store.keys("", "", 100)], [["b", "c"], ["a", "b", "c", "d"]]);
      medium.failNext(store, "unknown-lost");
      await put("c", false).catch(() => {});
      medium.failNext(store, "unknown-applied");
      await put("a", true).catch(() => {});
      // Whatever came of those, a record and the index say the same.
      const records = await Promise.all(
        ["a", "b", "c", "d"].map(async (key) => [key, await store.update(key, look)] as const),
      );
      const expected = records.filter(([, record]) => record?.live !== false).map(([key]) => key);
      assertEquals(await live(), expected);
      await store.close();
      const again = await medium.open();
      assertEquals(await live(again), expected);
      assertEquals([await again.keys("b", "", 9, "live"), await again.keys("", expected[0]!, 1, "live")], [
        ["b"],
        expected.slice(1, 2),
      ]);
      await again.close();
    },
  );

  test("an identity is written once", async (store, medium) => {
    assertEquals([store.identity(), store.config(), store.seq()], [null, null, 0]);
    const written = await store.init(IDENTITY);
    assertEquals([written.cluster, written.id, written.incarnation], ["c1", "a", "inc1"]);
    assertEquals(written.boot, isShared ? 0 : 1);
    assertEquals(store.identity(), written);
    assertEquals(store.config(), IDENTITY.config);
    const other = { ...IDENTITY, id: "z", incarnation: "inc2" };
    await assertRejects(() => store.init(other), StoreError, "already has an identity");
    await store.close();
    const again = await medium.open();
    await assertRejects(() => again.init(other), StoreError, "already has an identity");
    assertEquals([again.identity()?.id, again.config()], ["a", IDENTITY.config]);
    await again.close();
  });

  test("of two inits at once one wins", async (store) => {
    const ends = await Promise.allSettled([
      store.init(IDENTITY),
      store.init({ ...IDENTITY, id: "b", incarnation: "inc2" }),
    ]);
    // Whichever: what is far off may answer the later one first.
    const won = ends.map((end) => end.status).indexOf("fulfilled");
    assertEquals(ends.map((end) => end.status), won === 0 ? ["fulfilled", "rejected"] : ["rejected", "fulfilled"]);
    assertEquals(store.identity()?.id, won === 0 ? "a" : "b");
  });

  test("a life is confirmed once, for good, and not that of a store that is nobody's", async (store, medium) => {
    assertEquals(store.lifeConfirmed(), false);
    await assertRejects(() => store.confirmLife(), StoreError, "belongs to nobody");
    await store.init(IDENTITY);
    assertEquals(store.lifeConfirmed(), false);
    await store.update("k", increment);
    assertEquals(store.lifeConfirmed(), false);
    await Promise.all([store.confirmLife(), store.update("k", increment), store.confirmLife()]);
    assertEquals(store.lifeConfirmed(), true);
    const { incarnation, id, cluster } = store.identity()!;
    assertEquals({ incarnation, id, cluster, config: store.config()! }, IDENTITY);
    await store.quarantine("an operator said so");
    await store.close();
    const again = await medium.open();
    await again.confirmLife();
    assertEquals([again.lifeConfirmed(), again.quarantined(), again.config()], [
      true,
      "an operator said so",
      IDENTITY.config,
    ]);
    await again.close();
  });

  owned("every open counts and has a run of its own", async (store, medium) => {
    const first = await store.init(IDENTITY);
    await store.close();
    const second = await medium.open();
    assertEquals(second.identity()?.boot, 2);
    await second.close();
    const third = await medium.open();
    assertEquals(third.identity()?.boot, 3);
    const runs = [first.run, second.identity()?.run, third.identity()?.run];
    assertEquals(new Set(runs).size, 3);
    await third.close();
  });

  owned("seq grows by one with every atomic and goes on after reopening", async (store, medium) => {
    await store.init(IDENTITY);
    assertEquals(store.seq(), 1);
    await store.update("k", increment);
    await store.update("k", look);
    assertEquals(store.seq(), 2);
    await all(50, (i) => store.update(`k${i}`, increment));
    assertEquals(store.seq(), medium.atomics());
    await store.close();
    const again = await medium.open();
    assertEquals(again.seq(), medium.atomics());
    await again.close();
  });

  owned("marks are durable after flush", async (store, medium) => {
    store.note("b", MARK);
    await store.flush();
    const atomics = medium.atomics();
    await store.flush();
    assertEquals(medium.atomics(), atomics, "nothing new, nothing written");
    await store.close();
    const again = await medium.open();
    assertEquals(again.marks(), { b: MARK });
    await again.close();
  });

  owned("marks ride in the commit that follows", async (store, medium) => {
    store.note("b", MARK);
    store.note("c", { ...MARK, seq: 9 });
    await store.update("k", increment);
    const atomics = medium.atomics();
    await store.flush();
    assertEquals(medium.atomics(), atomics);
  });

  owned("a mark noted while a commit is under way waits for the next", async (store, medium) => {
    await store.update("k", increment);
    const release = medium.hold();
    const writing = store.update("k", increment);
    await sleep(10);
    store.note("b", MARK);
    release();
    await writing;
    const atomics = medium.atomics();
    await store.flush();
    assertEquals(medium.atomics(), atomics + 1);
  });

  test("the highest mark of a peer stays; a new incarnation replaces it", async (store) => {
    store.note("b", MARK);
    store.note("b", { ...MARK, seq: 4, boot: 2, run: "r2" });
    assertEquals(store.marks(), { b: MARK });
    store.note("b", { ...MARK, seq: 6, boot: 2, run: "r2" });
    assertEquals(store.marks().b?.seq, 6);
    store.note("b", { ...MARK, incarnation: "inc2", seq: 1 });
    await store.flush();
    assertEquals(store.marks().b?.incarnation, "inc2");
    for (let i = 0; i < 100; i++) store.note(`peer${i}`, MARK);
    assertEquals(Object.keys(store.marks()).length, 64);
  });

  test("quarantine is for ever, and what is stored stays readable", async (store, medium) => {
    await store.init(IDENTITY);
    await store.update("k", increment);
    assertEquals(store.quarantined(), null);
    await store.quarantine("went back in time");
    await store.quarantine("something else");
    assertEquals(store.quarantined(), "went back in time");
    await store.close();
    const again = await medium.open();
    assertEquals(again.quarantined(), "went back in time");
    assertEquals(countOf(await again.update("k", look)), 1);
    await again.close();
  });

  test("a refused commit runs the steps again, and each counts once", async (store, medium) => {
    await store.update("k", increment);
    medium.failNext(store, "conflict");
    const replies = await all(5, () => store.update("k", increment));
    assertEquals(replies, [2, 3, 4, 5, 6]);
    assertEquals(countOf(await store.update("k", look)), 6);
  });

  owned("a commit of unknown outcome that was applied rejects, and the next update sees it", async (store, medium) => {
    await store.init(IDENTITY);
    await store.update("k", increment);
    medium.failNext(store, "unknown-applied");
    const ends = await Promise.allSettled([store.update("k", increment), store.update("k", look)]);
    for (const end of ends) {
      assert(end.status === "rejected" && end.reason instanceof StoreError);
      assertStringIncludes(end.reason.message, "unknown");
    }
    assertEquals(countOf(await store.update("k", look)), 2);
    const seq = store.seq();
    assertGreater(seq, 2);
    assertEquals(await store.update("k", increment), 3);
    assertEquals(store.seq(), seq + 1);
  });

  owned(
    "a commit of unknown outcome that was lost rejects, and the next update does not see it",
    async (store, medium) => {
      await store.update("k", increment);
      medium.failNext(store, "unknown-lost");
      await assertRejects(() => store.update("k", increment), StoreError, "unknown");
      assertEquals(await store.update("k", increment), 2);
      assertEquals(countOf(await store.update("k", look)), 2);
    },
  );

  owned("updates that arrive during a failing commit are not lost with it", async (store, medium) => {
    await store.update("k", increment);
    const release = medium.hold();
    medium.failNext(store, "unknown-applied");
    const first = store.update("k", increment);
    await sleep(5);
    const second = store.update("k", increment);
    const other = store.update("other", increment);
    release();
    await assertRejects(() => first, StoreError);
    assertEquals([await second, await other], [3, 1]);
  });

  owned("init and flush of unknown outcome reject and may be asked again", async (store, medium) => {
    medium.failNext(store, "unknown-lost");
    await assertRejects(() => store.init(IDENTITY), StoreError);
    await store.init(IDENTITY);
    store.note("b", MARK);
    medium.failNext(store, "unknown-lost");
    await assertRejects(() => store.flush(), StoreError);
    await store.flush();
    await store.close();
    const again = await medium.open();
    assertEquals(again.marks(), { b: MARK });
    await again.close();
  });

  owned("an init of unknown outcome that was applied is found", async (store, medium) => {
    medium.failNext(store, "unknown-applied");
    await assertRejects(() => store.init(IDENTITY), StoreError);
    await assertRejects(() => store.init({ ...IDENTITY, id: "z" }), StoreError, "already has an identity");
    assertEquals([store.identity()?.id, store.identity()?.boot], ["a", 1]);
  });

  owned("close finishes what was accepted and refuses what comes later", async (store, medium) => {
    const accepted = all(20, (i) => store.update(`k${i}`, increment));
    store.note("b", MARK);
    const closing = store.close();
    await assertRejects(() => store.update("k", increment), StoreError, "closed");
    await assertRejects(() => store.flush(), StoreError, "closed");
    await assertRejects(() => store.keys("", "", 1), StoreError, "closed");
    assertEquals(await accepted, Array(20).fill(1));
    await closing;
    await store.close();
    const again = await medium.open();
    assertEquals((await again.keys("", "", 100)).length, 20);
    assertEquals(again.marks(), { b: MARK });
    await again.close();
  });

  owned("a second store on the same medium is refused", async (store, medium) => {
    await assertRejects(() => medium.open(), StoreError, "in use by another");
    assertEquals(await store.update("k", increment), 1);
  });

  test("a record handed to a step is not the caller's to keep", async (store) => {
    const mine = { ...makeRecord(1) };
    await store.update("k", write(mine));
    await store.update("k", (record) => {
      assert(record !== null);
      return { record: { ...record, vote: null, promised: [3, "a/x", 0] }, reply: null };
    });
    assertEquals(mine.promised, STANDING);
  });
}
