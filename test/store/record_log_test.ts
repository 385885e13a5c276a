/** What an owner store has of its records where most of it stands in the log: through restarts, failures and shortening. */
import { assert, assertEquals, assertLessOrEqual, assertRejects } from "@std/assert";
import { ROW_MAX_BYTES } from "../../src/limits.ts";
import { type BallotStore, DamagedRecord, type StoredRecord, StoreError } from "../../src/ports.ts";
import { ballotRow, LOG, logRow } from "../../src/store/key_space.ts";
import { openOwnerStore } from "../../src/store/kv_ballot_store.ts";
import { SEED, seeded } from "../replica/clocks.ts";
import { apply, IDENTITY, increment, look, moveOn, promise, vote } from "./ballot_store_contract.ts";
import { TestKv } from "./test_kv.ts";

type Opened = {
  readonly kv: TestKv;
  readonly raw: Deno.Kv;
  /** The next lists of rows that fail. */
  readonly lists: { fail: number };
  open(): Promise<BallotStore>;
};

/** Each store that is opened is as after the death of the process before. */
async function withKv(shortenBytes: number, run: (opened: Opened) => Promise<void>): Promise<void> {
  using raw = await Deno.openKv(":memory:");
  const kv = new TestKv(raw);
  // One store that is given up must not close the database of the next.
  const lists = { fail: 0 };
  const list: Deno.Kv["list"] = (...args) => {
    if (lists.fail-- > 0) throw new Error("disk I/O error");
    return raw.list(...args);
  };
  const shared = { ...kv.asKv(), list, close: () => {} } as unknown as Deno.Kv;
  let runs = 0;
  await run({
    kv,
    raw,
    lists,
    open: () =>
      openOwnerStore({
        path: ":memory:",
        allowEphemeral: true,
        kv: shared,
        run: () => `run-${++runs}`,
        apply,
        shortenBytes,
        cachedKeys: 2,
      }),
  });
}

async function logRows(kv: Deno.Kv): Promise<Deno.KvEntry<Uint8Array>[]> {
  return await Array.fromAsync(kv.list<Uint8Array>({ prefix: LOG }));
}

Deno.test("record log: it stays short, and records are the same with and without it", () =>
  withKv(2_000, async ({ raw, open }) => {
    const random = seeded(SEED);
    const keys = ["a", "b", "c", "d"];
    const looked = (store: BallotStore) => Promise.all(keys.map((key) => store.update(key, look)));
    let store = await open();
    for (const key of keys) await store.update(key, increment);
    // Whenever it ends, some rows outlive what they say of keys that were written whole since.
    for (let i = 0; i < 40; i++) {
      for (let j = 0; j < 10; j++) {
        const key = keys[Math.floor(random() * keys.length)]!;
        await store.update(key, vote);
        await store.update(key, moveOn);
      }
      const before = await looked(store);
      await store.close();
      const bytes = (await logRows(raw)).reduce((sum, { value }) => sum + value.length, 0);
      assertLessOrEqual(bytes, 4 * 2_000);
      store = await open();
      assertEquals(await looked(store), before);
    }
    await store.close();
  }));

Deno.test("record log: a row that cannot be read closes the store, one that does not follow its key alone", () =>
  withKv(100_000, async ({ raw, open }) => {
    const store = await open();
    for (const key of ["a", "b"]) {
      await store.update(key, increment);
      await store.update(key, vote);
      await store.update(key, moveOn);
    }
    const rows = await logRows(raw);
    // The vote that the next row moves on by is gone.
    await raw.delete(rows.find(({ value }) => new TextDecoder().decode(value).includes('["b",'))!.key);
    const again = await open();
    await assertRejects(() => again.update("b", look), DamagedRecord, "its log does not follow on its rows");
    assertEquals((await again.update("a", look))?.instance, 2);
    // Without rows of its own there is nothing to follow on.
    await raw.delete(ballotRow("b"));
    await raw.delete(["s", "b"]);
    const without = await open();
    await assertRejects(() => without.update("b", increment), DamagedRecord, "its log has no rows to follow on");
    for (const text of ["{", '{"format":3}', '{"format":3,"entries":[["a"]]}', '{"format":9,"entries":[]}']) {
      await raw.set(logRow(1_000, 0), new TextEncoder().encode(text));
      await assertRejects(open, StoreError, "log of this store");
    }
  }));

Deno.test("record log: a state that no row can hold is refused to who made it, and keeps nobody else from the disk", () =>
  withKv(-1, async ({ open }) => {
    const store = await open();
    for (const key of ["large", "fine"]) await store.update(key, increment);
    const tooLarge = (record: StoredRecord | null) => {
      const result = moveOn(record);
      const state = { ...result.record!.state, padding: "x".repeat(ROW_MAX_BYTES) };
      return { ...result, record: { ...result.record!, state } };
    };
    const [large, fine] = await Promise.allSettled([store.update("large", tooLarge), store.update("fine", moveOn)]);
    assertEquals([large.status, fine.status], ["rejected", "fulfilled"]);
    assertEquals((await store.update("large", look))?.instance, 1);
    assertEquals((await store.update("fine", look))?.instance, 2);
  }));

Deno.test("record log: while it cannot be read after a commit of unknown outcome, nothing is said of any record", () =>
  withKv(100_000, async ({ kv, lists, open }) => {
    const store = await open();
    await store.update("a", increment);
    await store.update("a", vote);
    lists.fail = 2;
    kv.fault = "unknown-applied";
    for (const step of [moveOn, moveOn, increment]) await assertRejects(() => store.update("a", step), StoreError);
    assertEquals((await store.update("a", look))?.instance, 2);
  }));

Deno.test(`record log: whatever fails, and whenever the process dies, a record is as it was answered last, seed ${SEED}`, async () => {
  const random = seeded(SEED);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  for (let round = 0; round < 12; round++) {
    await withKv(pick([-1, 600, 4_000, 1_000_000]), async ({ kv, open }) => {
      let store = await open();
      await store.init(IDENTITY);
      const keys = ["a", "b", "c", "d", "e"];
      /** What each may be: one, or two after an update of which nobody knows. */
      const may = new Map<string, readonly string[]>();
      const text = (record: StoredRecord | null) => JSON.stringify(sorted(record));
      const check = async (key: string) => {
        const seen = await store.update(key, look);
        assert(may.get(key)!.includes(text(seen)), `${key} is ${text(seen)}, not ${may.get(key)}`);
        may.set(key, [text(seen)]);
      };
      for (const key of keys) {
        await store.update(key, increment);
        may.set(key, [text(await store.update(key, look))]);
      }
      for (let step = 0; step < 60; step++) {
        if (random() < 0.1) store = await open();
        if (random() < 0.2) kv.fault = pick(["conflict", "unknown-lost", "unknown-applied"] as const);
        await Promise.all(
          keys.filter(() => random() < 0.5).map(async (key) => {
            const steps = pick([[vote], [vote, moveOn], [moveOn, vote], [promise(step)], [increment], [
              vote,
              moveOn,
              vote,
              moveOn,
            ]]);
            const left: string[] = [];
            const made = steps.map((one) =>
              store.update(key, (record) => {
                const result = one(record);
                left.push(text(result.record));
                return result;
              })
            );
            const ends = await Promise.allSettled(made);
            const isDone = ends.every(({ status }) => status === "fulfilled");
            may.set(key, isDone ? [left.at(-1)!] : [...may.get(key)!, ...left]);
          }),
        );
        for (const key of keys) await check(key);
      }
      store = await open();
      for (const key of keys) await check(key);
      await store.close();
    });
  }
});

/** Fields in one order, whichever way the record came. */
function sorted(record: StoredRecord | null): unknown {
  if (record === null) return null;
  // What it is barred from is no part of what was answered.
  const { barred: _, ...rest } = record;
  return Object.fromEntries(Object.entries(rest).sort(([a], [b]) => a < b ? -1 : 1));
}
