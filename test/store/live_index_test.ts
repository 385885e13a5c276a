/** What a list costs, in rows of a real database that are read for it: names that are no more cost nothing. */
import { sha256Hex } from "../../src/auth/digest.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { assertEquals, assertLessOrEqual } from "@std/assert";
import { createApp } from "../../routes/app.ts";
import { realClock, realRandomness } from "../../src/compose/world.ts";
import type { BallotStore } from "../../src/ports.ts";
import { openOwnerStore, type OwnerStoreOptions } from "../../src/store/kv_ballot_store.ts";
import { stateRow } from "../../src/store/key_space.ts";
import { decodeRecord } from "../../src/store/rows.ts";
import { until } from "../replica/clocks.ts";
import { memoryCluster } from "../replica/memory_cluster.ts";
import { oldRowsOf } from "./old_rows.ts";

/** Rows that were read of it. */
function counting(kv: Deno.Kv) {
  const counted = { rows: 0 };
  const asKv = {
    getMany: (keys: Deno.KvKey[]) => {
      counted.rows += keys.length;
      return kv.getMany(keys);
    },
    async *list(selector: Deno.KvListSelector, options?: Deno.KvListOptions) {
      for await (const entry of kv.list(selector, options)) {
        counted.rows++;
        yield entry;
      }
    },
    atomic: () => kv.atomic(),
    // What is on it outlives the store.
    close: () => {},
  } as unknown as Deno.Kv;
  return { counted, asKv };
}

type Rig = {
  /** Rows that a list of these names reads, and how many it shows. */
  list(prefix: string): Promise<{ readonly rows: number; readonly items: number }>;
  ask(method: string, path: string, body?: string): Promise<void>;
};

/** One node on this database, which remembers next to nothing of it. */
async function withNode(
  kv: Deno.Kv,
  run: (rig: Rig) => Promise<void>,
  more: Partial<OwnerStoreOptions> = {},
): Promise<void> {
  const { counted, asKv } = counting(kv);
  let opened: BallotStore | null = null;
  const cluster = await memoryCluster(1, {
    shared: {
      of: (id) => [`${id}1`],
      memberOf: (process) => process.slice(0, 1),
      async open() {
        const store = await openOwnerStore({
          apply: createMachine({ digest: sha256Hex }).apply,
          path: ":memory:",
          allowEphemeral: true,
          kv: asKv,
          run: () => realRandomness.id(),
          cachedKeys: 1,
          ...more,
        });
        const identity = { cluster: "test", id: "a", incarnation: "i", config: "{}" };
        if (store.identity() === null) await store.init(identity);
        return opened = store;
      },
      crash: () => {},
      transport: (inner) => inner,
    },
  });
  const app = createApp(cluster.node("a1"), {
    tokens: null,
    rate: null,
    peers: null,
    newId: () => realRandomness.id(),
    now: () => realClock.now(),
    after: (ms, run) => realClock.after(ms, run),
    report: (error) => {
      throw error;
    },
  });
  const fetched = (path: string, init?: RequestInit) => app.fetch(new Request(`http://localhost${path}`, init));
  try {
    await run({
      async list(prefix) {
        const before = counted.rows;
        const response = await fetched(`/v1/kv?limit=100&prefix=${prefix}`);
        const { items } = await response.json() as { items: readonly unknown[] };
        return { rows: counted.rows - before, items: items.length };
      },
      async ask(method, path, body) {
        const response = await fetched(path, { method, ...(body === undefined ? {} : { body }) });
        assertEquals(response.ok, true, await response.text());
      },
    });
  } finally {
    cluster.close();
    await opened!.close();
  }
}

async function atOnce(count: number, run: (i: number) => Promise<void>): Promise<void> {
  for (let done = 0; done < count; done += 100) {
    await Promise.all(Array.from({ length: Math.min(100, count - done) }, (_, i) => run(done + i)));
  }
}

async function fill({ ask }: Rig, prefix: string, live: number, dead: number): Promise<void> {
  await atOnce(dead, (i) => ask("PUT", `/v1/kv/${prefix}dead-${i}`, "x"));
  await atOnce(dead, (i) => ask("DELETE", `/v1/kv/${prefix}dead-${i}`));
  await atOnce(live, (i) => ask("PUT", `/v1/kv/${prefix}live-${i}`, "x"));
}

Deno.test("a list of 100 names beside 1,000 that were deleted reads no more than beside none", async () => {
  const kv = await Deno.openKv(":memory:");
  await withNode(kv, async (rig) => {
    await fill(rig, "alone-", 100, 0);
    await fill(rig, "beside-", 100, 1_000);
    // A record that holds a vote may be live: the last moves are written a moment later.
    await until(
      "the last are written",
      async () => (await rig.list("beside-")).rows <= 2 * (await rig.list("alone-")).rows,
    );
    const [alone, beside] = [await rig.list("alone-"), await rig.list("beside-")];
    assertEquals([alone.items, beside.items], [100, 100]);
    assertLessOrEqual(beside.rows, alone.rows * 2);
    // A name that is put again is listed again.
    await rig.ask("PUT", "/v1/kv/again-dead-1", "x");
    await rig.ask("DELETE", "/v1/kv/again-dead-1");
    assertEquals((await rig.list("again-")).items, 0);
    await rig.ask("PUT", "/v1/kv/again-dead-1", "y");
    assertEquals((await rig.list("again-")).items, 1);
  });
  kv.close();
});

Deno.test("a store that was written before there was an index lists all its names, and its dead ones cost one list", async () => {
  const kv = await Deno.openKv(":memory:");
  // It had no log either.
  await withNode(kv, (rig) => fill(rig, "old-", 20, 300), { shortenBytes: -1 });
  await withoutIndex(kv);
  await withNode(kv, async (rig) => {
    const first = await rig.list("old-");
    const second = await rig.list("old-");
    assertEquals([first.items, second.items], [20, 20]);
    assertLessOrEqual(second.rows, 20 * 5);
  });
  kv.close();
});

/** As the version before has left it. */
async function withoutIndex(kv: Deno.Kv): Promise<void> {
  for await (const { key } of kv.list({ prefix: ["l"] })) await kv.delete(key);
  await kv.delete(["q", "indexed"]);
  for await (const { key, value } of kv.list<Uint8Array>({ prefix: ["r"] })) {
    const name = key[1] as string;
    const { ballot, state } = oldRowsOf(decodeRecord(name, value, (await kv.get(stateRow(name))).value)!);
    await kv.atomic().set(key, ballot).set(stateRow(name), state).commit();
  }
}
