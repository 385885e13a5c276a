/** Nodes that go from one epoch into the next, key by key, under load and with members gone (PROTOCOL.md §9). */
import { assert, assertEquals } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import type { WatchEvent } from "../../src/service/watch_service.ts";
import { changeAfter, firstChange, listed, retire } from "./epochs.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "./memory_cluster.ts";
import { until } from "./clocks.ts";

const put = (cluster: MemoryCluster, id: string, name: string, text: string) =>
  cluster.node(id).registers.put(name, { bytes: btoa(text), contentType: "text/plain" }, caller());

async function get(cluster: MemoryCluster, id: string, name: string): Promise<string | null> {
  try {
    return atob((await cluster.node(id).registers.get(name, { stale: false, timeoutMs: 30_000 })).body.value);
  } catch (error) {
    if (error instanceof QuorateError && error.code === "not-found") return null;
    throw error;
  }
}

Deno.test("imports: what e decided is read and written in e+1, by members new and old, with one of e dead", async () => {
  const cluster = await memoryCluster(3);
  try {
    for (let i = 0; i < 5; i++) await put(cluster, "abc"[i % 3]!, `k${i}`, `v${i}`);
    const held = await cluster.node("a").locks.acquire("l", request("h"), caller());
    cluster.kill("c");
    const row = firstChange("abc", "abd");
    await cluster.adopt("a", row);
    await cluster.adopt("b", row);
    await cluster.join("d", row);
    for (const id of ["d", "a", "b"]) {
      for (let i = 0; i < 5; i++) assertEquals(await get(cluster, id, `k${i}`), `v${i}`, `${id} k${i}`);
    }
    for (let i = 0; i < 5; i++) await put(cluster, "abd"[i % 3]!, `k${i}`, `w${i}`);
    for (let i = 0; i < 5; i++) assertEquals(await get(cluster, "bda"[i % 3]!, `k${i}`), `w${i}`);
    // A name that e never had: to read it writes nothing, before e is retired and after.
    assertEquals(await get(cluster, "d", "new"), null);
    assertEquals((await listed(cluster, "abd")).includes("kv/new"), false);
    await retire(cluster, row, "ab", "abd", "abd");
    assertEquals(await get(cluster, "b", "new"), null);
    assertEquals((await listed(cluster, "abd")).includes("kv/new"), false);
    await put(cluster, "d", "new", "x");
    assertEquals(await get(cluster, "a", "new"), "x");
    const again = await cluster.node("d").locks.acquire("l", request("other"), caller()).catch((error) => error);
    assertEquals((again as QuorateError).code, "held");
    await cluster.node("d").locks.release("l", held.body.fence, caller());
    const next = await cluster.node("d").locks.acquire("l", request("other"), caller());
    assert(BigInt(next.body.fence) > BigInt(held.body.fence));
  } finally {
    cluster.close();
  }
});

Deno.test("imports: a state of the epoch before, read where its lease is news, becomes no record of the new one", async () => {
  const cluster = await memoryCluster(3);
  try {
    const brief = { bytes: btoa("v"), contentType: "text/plain", ttlMs: 60_000 };
    await cluster.node("a").registers.put("brief", brief, caller());
    const opened = await cluster.node("a").sessions.open({ holder: "h", ttlMs: 60_000 }, caller());
    cluster.kill("c");
    const row = firstChange("abc", "abd");
    await cluster.adopt("a", row);
    await cluster.adopt("b", row);
    await cluster.join("d", row);
    // The new member has seen neither lease, so it passes on what it reads.
    assertEquals(await get(cluster, "d", "brief"), "v");
    await cluster.node("d").sessions.get(opened.body.id, caller());
    for (const id of ["a", "d", "b"]) {
      await put(cluster, id, "brief", `by ${id}`);
      await cluster.node(id).sessions.keep(opened.body.id, caller());
    }
    for (const id of ["a", "b", "d"]) assertEquals(await get(cluster, id, "brief"), "by b", id);
  } finally {
    cluster.close();
  }
});

Deno.test("imports: a name has been brought once all members that answer have a record of it, and they are a quorum", async () => {
  const cluster = await memoryCluster(3);
  const keys = ["kv/k0", "kv/k1", "kv/k2", "kv/none"];
  const brought = async () => [...await cluster.node("a").bringing(1)!.broughtOf(keys)];
  const bring = (key: string) => cluster.node("a").bringing(1)!.bring(key);
  const restarted = async (id: string) => {
    await cluster.restart(id);
    await until(`${id} votes`, () => cluster.node(id).status().voting);
  };
  try {
    for (const name of ["k0", "k1", "k2"]) await put(cluster, "a", name, "v");
    const ask = async (to: string) => (await cluster.node(to).receive("a", "acceptor", [{ type: "records", keys }]))[0];
    assertEquals((await ask("b"))?.type, "unavailable");
    assertEquals(cluster.node("a").bringing(1), null);
    cluster.kill("c");
    const row = firstChange("abc", "abd");
    for (const id of "ab") await cluster.adopt(id, row);
    await cluster.join("d", row);
    assertEquals(await brought(), []);
    for (const key of ["kv/k0", "kv/k2"]) assert(await bring(key), key);
    assertEquals(await brought(), ["kv/k0", "kv/k2"]);
    cluster.kill("d");
    assert(await bring("kv/k1"));
    // Who is silent is waited for by nobody.
    assertEquals(await brought(), ["kv/k0", "kv/k1", "kv/k2"]);
    await restarted("d");
    // It answers, and has to be told of the second.
    assertEquals(await brought(), ["kv/k0", "kv/k2"]);
    assert(await bring("kv/k1"));
    assertEquals(await brought(), ["kv/k0", "kv/k1", "kv/k2"]);
    cluster.kill("b");
    cluster.disk("b").records.set("kv/k2", "junk");
    await restarted("b");
    assertEquals(await ask("b"), { type: "records", keys: ["kv/k0", "kv/k1"] });
    assertEquals(await brought(), ["kv/k0", "kv/k1"]);
    await cluster.store("b").quarantine("for the test");
    assertEquals((await ask("b"))?.type, "unavailable");
    cluster.kill("d");
    assertEquals(await brought(), []);
  } finally {
    cluster.close();
  }
});

/** One writer of one register: it knows what was acknowledged, and what may have been written besides. */
class Writer {
  acked = 0;
  #tried = 0;
  #isOver = false;
  reads = 0;
  readonly faults: string[] = [];
  readonly running: Promise<void>;

  constructor(readonly cluster: MemoryCluster, readonly name: string, readonly ids: () => string) {
    this.running = this.#run();
  }

  end(): Promise<void> {
    this.#isOver = true;
    return this.running;
  }

  async #run(): Promise<void> {
    for (let n = 0; !this.#isOver; n++) {
      const ids = this.ids();
      const id = ids[n % ids.length]!;
      try {
        if (n % 3 === 2) {
          const before = this.acked;
          const found = Number(await get(this.cluster, id, this.name) ?? 0);
          this.reads++;
          if (found < before || found > this.#tried) this.faults.push(`${this.name} at ${id}: ${found}, not ${before}`);
        } else {
          this.#tried++;
          const value = this.#tried;
          await put(this.cluster, id, this.name, `${value}`);
          this.acked = value;
        }
      } catch (error) {
        // Refused, or of unknown outcome: the next value is above it.
        if (!(error instanceof QuorateError)) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

Deno.test("imports: who watches a prefix begins anew where another node has begun, which counts its events anew", async () => {
  const cluster = await memoryCluster(3);
  const ranges = [{ prefix: "", exact: false }];
  const watch = async (after: string | null) => {
    const told: WatchEvent[] = [];
    const stop = await cluster.node("a").watches.watchRanges("kv", ranges, after, (event) => void told.push(event));
    return { told, stop };
  };
  try {
    const before = await watch(null);
    await put(cluster, "a", "k", "1");
    await until("it is told of", () => before.told.some(({ type }) => type === "changed"));
    const { id } = before.told.at(-1)!;
    assertEquals((await watch(id)).told, []);
    for (const node of "abc") await cluster.adopt(node, firstChange("abc", "abc"));
    const meanwhile = await watch(null);
    for (const key of ["i", "j"]) await put(cluster, "a", key, "1");
    await until(
      "it has counted as far",
      () => meanwhile.told.filter(({ type }) => type === "changed").length === 2,
    );
    const after = await watch(id);
    assertEquals(after.told.map(({ type }) => type), ["resync"]);
    await put(cluster, "a", "k", "2");
    await until("it is told of", () => after.told.at(-1)!.type === "changed");
    assertEquals((await watch(after.told.at(-1)!.id)).told, []);
  } finally {
    cluster.close();
  }
});

Deno.test("imports: under load, members change again and again, and nothing that was acknowledged is lost", async () => {
  const cluster = await memoryCluster(3);
  let ids = "abc";
  const writers = Array.from({ length: 6 }, (_, i) => new Writer(cluster, `w${i}`, () => ids));
  const progress = async () => {
    const before = writers.map(({ acked }) => acked);
    await until("each writer goes on", () => writers.every(({ acked }, i) => acked > before[i]! + 1));
  };
  try {
    await progress();
    // One is replaced, which is dead; then the cluster grows, shrinks, and changes all but one.
    let row = firstChange("abc", "abd");
    cluster.kill("c");
    ids = "ab";
    await cluster.adopt("a", row);
    await cluster.adopt("b", row);
    await cluster.join("d", row);
    ids = "abd";
    await progress();
    row = await retire(cluster, row, "ab", "abd", "abd");
    await progress();

    for (const [members, joins, leaves] of [["abde", "e", ""], ["ade", "", "b"], ["efg", "fg", "ad"]] as const) {
      const sealed = row.current.members.map(({ id }) => id).join("");
      row = changeAfter(row, row.first!, members);
      for (const id of sealed) await cluster.adopt(id, row);
      // A new one votes once others have it on record: they wait for each other.
      await Promise.all([...joins].map((id) => cluster.join(id, row)));
      ids = members;
      await progress();
      row = await retire(cluster, row, sealed, members, sealed + joins);
      for (const id of leaves) cluster.kill(id);
      await progress();
    }
    await Promise.all(writers.map((writer) => writer.end()));
    for (const { name, acked, faults, reads } of writers) {
      assertEquals(faults, []);
      assert(reads > 0);
      assert(Number(await get(cluster, "f", name)) >= acked);
    }
  } finally {
    await Promise.all(writers.map((writer) => writer.end()));
    cluster.close();
  }
});
