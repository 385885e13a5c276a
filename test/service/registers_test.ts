/** Registers on whole nodes: conditions decided with the write, values that end, keys by prefix. */
import { assertEquals, assertGreater, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { KV_VALUE_MAX_BYTES } from "../../src/limits.ts";
import type { PutRequest } from "../../src/service/service.ts";
import { fastClock, until } from "../replica/clocks.ts";
import { caller, type MemoryCluster, memoryCluster } from "../replica/memory_cluster.ts";

const put = (text: string, more: Partial<PutRequest> = {}): PutRequest => ({
  bytes: btoa(text),
  contentType: "text/plain",
  ...more,
});

async function read(cluster: MemoryCluster, id: string, name: string): Promise<string | null> {
  return await cluster.node(id).registers.get(name, { stale: false, timeoutMs: 30_000 }).then(
    ({ body }) => atob(body.value),
    (error) => {
      assertEquals((error as QuorateError).code, "not-found");
      return null;
    },
  );
}

async function codeOf(refused: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => refused, QuorateError)).code;
}

async function withCluster(n: number, run: (cluster: MemoryCluster) => Promise<void>, times = 1): Promise<void> {
  const cluster = await memoryCluster(n, times === 1 ? {} : { clock: fastClock(times) });
  try {
    await run(cluster);
  } finally {
    cluster.close();
  }
}

for (const n of [1, 3, 5]) {
  Deno.test(`registers, n=${n}: written here, read there, deleted, and its revision grows through it all`, () =>
    withCluster(n, async (cluster) => {
      const last = cluster.ids.at(-1)!;
      const { body: one } = await cluster.node("a").registers.put("k", put("one"), caller());
      assertEquals(one, { key: "k", revision: one.revision });
      assertEquals(await read(cluster, last, "k"), "one");
      const { body: two } = await cluster.node(last).registers.put("k", put("two"), caller());
      assertGreater(BigInt(two.revision), BigInt(one.revision));
      const { body: value } = await cluster.node("a").registers.get("k", { stale: false, timeoutMs: 30_000 });
      assertEquals(value, { key: "k", revision: two.revision, contentType: "text/plain", value: btoa("two") });
      const { body: deleted } = await cluster.node("a").registers.delete("k", {}, caller());
      assertEquals(deleted, { outcome: "deleted", key: "k", revision: deleted.revision });
      assertGreater(BigInt(deleted.revision), BigInt(two.revision));
      assertEquals(await read(cluster, last, "k"), null);
      assertEquals(await codeOf(cluster.node(last).registers.delete("k", {}, caller())), "not-found");
      const { body: three } = await cluster.node(last).registers.put("k", put("three"), caller());
      assertGreater(BigInt(three.revision), BigInt(deleted.revision));
    }));
}

Deno.test("registers: of writers at every node that saw the same revision one writes", () =>
  withCluster(5, async (cluster) => {
    await cluster.node("a").registers.put("k", put("0"), caller());
    for (let round = 0; round < 5; round++) {
      const seen = (await cluster.node("b").registers.get("k", { stale: false, timeoutMs: 30_000 })).body.revision;
      const tries = await Promise.allSettled(
        cluster.ids.map((id) =>
          cluster.node(id).registers.put("k", put(`${id}${round}`, { ifMatch: [seen] }), caller())
        ),
      );
      const lost = tries.flatMap((result) => result.status === "rejected" ? [result.reason.code] : []);
      assertEquals(lost, Array(4).fill("precondition-failed"));
    }
  }));

Deno.test("registers: create only if absent, delete only if unchanged, and the refusal says what is there", () =>
  withCluster(3, async (cluster) => {
    const { body } = await cluster.node("a").registers.put("k", put("x", { ifNoneMatch: ["*"] }), caller());
    const again = await assertRejects(
      () => cluster.node("b").registers.put("k", put("y", { ifNoneMatch: ["*"] }), caller()),
      QuorateError,
    );
    assertEquals([again.code, again.facts.more], ["precondition-failed", { revision: body.revision }]);
    assertEquals(
      await codeOf(cluster.node("c").registers.delete("k", { ifMatch: ["1"] }, caller())),
      "precondition-failed",
    );
    assertEquals(await read(cluster, "c", "k"), "x");
    await cluster.node("c").registers.delete("k", { ifMatch: [body.revision] }, caller());
    assertEquals(await read(cluster, "a", "k"), null);
  }));

Deno.test("registers: guarded by the fence of a lock, a holder that was replaced writes nothing any more", () =>
  withCluster(5, async (cluster) => {
    const request = { holder: "h", ttlMs: 30_000, waitMs: 0, mode: "exclusive", lockDelayMs: 0 } as const;
    const { body: old } = await cluster.node("a").locks.acquire("l", request, caller());
    await cluster.node("a").registers.put("k", put("old", { fence: old.fence }), caller());
    await cluster.node("b").locks.release("l", old.fence, caller());
    const { body: now } = await cluster.node("c").locks.acquire("l", request, caller());
    await cluster.node("d").registers.put("k", put("new", { fence: now.fence }), caller());
    const late = await assertRejects(
      () => cluster.node("a").registers.put("k", put("late", { fence: old.fence }), caller()),
      QuorateError,
    );
    assertEquals([late.code, late.facts.more], ["fence-too-low", { fence: now.fence }]);
    await cluster.node("b").registers.delete("k", { fence: now.fence }, caller());
    assertEquals(
      await codeOf(cluster.node("e").registers.put("k", put("late", { fence: old.fence }), caller())),
      "fence-too-low",
    );
    assertEquals(await read(cluster, "e", "k"), null);
  }));

Deno.test("registers: the same Idempotency-Key through another node writes once; with other bytes it is a mismatch", () =>
  withCluster(5, async (cluster) => {
    const same = caller();
    const { body: one } = await cluster.node("a").registers.put("k", put("one"), same);
    await cluster.node("b").registers.put("k", put("two"), caller());
    const { body: again } = await cluster.node("c").registers.put("k", put("one"), same);
    assertEquals(again.revision, one.revision);
    assertEquals(await read(cluster, "d", "k"), "two");
    assertEquals(await codeOf(cluster.node("d").registers.put("k", put("other"), same)), "idempotency-mismatch");
  }));

Deno.test("registers: an ephemeral value is kept alive by putting it again, and ends for readers and watchers when it is not", () =>
  withCluster(3, async (cluster) => {
    const slow = () => caller({ timeoutMs: 60_000 });
    const alive = put("up", { ttlMs: 10_000 });
    const { body: first } = await cluster.node("a").registers.put("svc", alive, slow());
    for (let i = 0; i < 10; i++) {
      await new Promise((resolve) => setTimeout(resolve, 150));
      const { body } = await cluster.node("b").registers.put("svc", alive, slow());
      assertEquals(body.revision, first.revision, "who keeps it alive changes nothing");
      assertEquals(await read(cluster, "c", "svc"), "up");
    }
    // Nobody reads: the node that wrote it ends it, for all to learn.
    const stale = async () =>
      await cluster.node("c").registers.get("svc", { stale: true, timeoutMs: 1_000 }).catch(() => null);
    await until("it has ended", async () => await stale() === null);
    assertEquals(await read(cluster, "a", "svc"), null);
    const { body: reborn } = await cluster.node("c").registers.put("svc", put("up", { ifNoneMatch: ["*"] }), slow());
    assertGreater(BigInt(reborn.revision), BigInt(first.revision));
  }, 10));

Deno.test("registers: the node that wrote an ephemeral value is gone: who reads it once it ran out ends it", () =>
  withCluster(5, async (cluster) => {
    const slow = () => caller({ timeoutMs: 60_000 });
    await cluster.node("a").registers.put("read", put("up", { ttlMs: 2_000 }), slow());
    await cluster.node("a").registers.put("taken", put("up", { ttlMs: 2_000 }), slow());
    cluster.kill("a");
    await until("a reader sees that it ended", async () => await read(cluster, "c", "read") === null);
    await until(
      "who creates it anew may",
      () =>
        cluster.node("d").registers.put("taken", put("next", { ifNoneMatch: ["*"] }), slow()).then(
          () => true,
          () => false,
        ),
    );
    assertEquals(await read(cluster, "b", "taken"), "next");
  }, 10));

Deno.test("registers: keys by prefix in pages, without those that were deleted", () =>
  withCluster(3, async (cluster) => {
    const { registers } = cluster.node("a");
    for (const name of ["svc/a", "svc/b", "svc/c", "svc/d", "svc/e", "other"]) {
      await registers.put(name, put(name), caller());
    }
    await registers.put("svc/c", put("", { ttlMs: 60_000 }), caller());
    for (const name of ["svc/b", "svc/d"]) await registers.delete(name, {}, caller());
    const all: string[] = [];
    let cursor: string | null = null;
    let pages = 0;
    do {
      const page = await registers.list({ prefix: "svc/", limit: 2, cursor, timeoutMs: 30_000, values: false });
      all.push(...page.items.map(({ key }) => key));
      if (pages === 0) {
        assertEquals(page.items.map(({ key, sizeBytes, ttlMs }) => [key, sizeBytes, ttlMs]), [
          ["svc/a", 5, undefined],
          ["svc/c", 0, 60_000],
        ]);
      }
      cursor = page.cursor;
      pages++;
    } while (cursor !== null && pages < 10);
    assertEquals(all, ["svc/a", "svc/c", "svc/e"]);
  }));

Deno.test("registers: the largest value goes through, at once from every node, and is on every disk", () =>
  withCluster(5, async (cluster) => {
    const large = (id: string) => ({
      bytes: btoa(id.repeat(KV_VALUE_MAX_BYTES)),
      contentType: '"'.repeat(256),
      ttlMs: 3_600_000,
    });
    await Promise.all(
      cluster.ids.map((id) => cluster.node(id).registers.put("k", large(id), caller({ timeoutMs: 60_000 }))),
    );
    const value = await read(cluster, "a", "k");
    assertEquals(value?.length, KV_VALUE_MAX_BYTES);
    for (const id of cluster.ids) assertEquals(await read(cluster, id, "k"), value);
  }));

for (const mode of ["uncoordinated", "classic", "multi", "prepare"] as const) {
  Deno.test(`registers, mode ${mode}: the largest values from every node and a learner, one after the other and at once`, async () => {
    const cluster = await memoryCluster(3, { learners: 1, modes: [{ prefix: "kv/", mode }] });
    try {
      const all = [...cluster.ids, ...cluster.learners];
      const large = (id: string, more: Partial<PutRequest> = {}) => put(id.repeat(KV_VALUE_MAX_BYTES), more);
      let revision = "0";
      for (const id of all) {
        const guard = revision === "0" ? { ifNoneMatch: ["*"] } : { ifMatch: [revision] };
        const { body } = await cluster.node(id).registers.put("k", large(id, guard), caller({ timeoutMs: 60_000 }));
        assertGreater(BigInt(body.revision), BigInt(revision));
        revision = body.revision;
        for (const other of all) assertEquals((await read(cluster, other, "k"))?.slice(0, 2), id + id);
      }
      await Promise.all(
        all.map((id) => cluster.node(id).registers.put("k", large(id), caller({ timeoutMs: 60_000 }))),
      );
      const last = await read(cluster, "a", "k");
      for (const id of all) assertEquals(await read(cluster, id, "k"), last);
    } finally {
      cluster.close();
    }
  });
}
