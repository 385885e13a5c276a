/** Every noun on three real processes, each request through another node than the one before, also after nodes died. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { KV_VALUE_MAX_BYTES } from "../../src/limits.ts";
import { until } from "../replica/clocks.ts";
import { call, callAny, RealCluster, type Reply } from "./real_cluster.ts";

function said(reply: Reply | null, status: number): Record<string, unknown> {
  assertEquals(reply?.status, status, JSON.stringify(reply?.body));
  return reply!.body;
}

/** Raw bytes in and out. */
async function kv(base: string, method: string, path: string, body?: BodyInit, headers: Record<string, string> = {}) {
  const response = await fetch(`${base}/v1/kv/${path}`, { method, headers, body: body ?? null });
  return { status: response.status, headers: response.headers, bytes: new Uint8Array(await response.arrayBuffer()) };
}

Deno.test("real processes: elections, semaphores, sets of locks and registers, with every node killed once", async (t) => {
  const cluster = await RealCluster.start(3);
  const [a, b, c] = cluster.ids.map((id) => cluster.url(id)) as [string, string, string];
  try {
    let term = "";
    await t.step("a leader through one node is the leader through another, and what it proclaims too", async () => {
      const won = said(await call(a, "POST", "/v1/elections/e", { candidate: "one", ttlMs: 600_000 }), 200);
      term = String(won["term"]);
      assertEquals(said(await call(b, "POST", "/v1/elections/e", { candidate: "two" }), 409)["code"], "led");
      said(await call(b, "PUT", `/v1/elections/e/${term}`, { value: "10.0.0.1" }), 200);
      const { leader } = said(await call(c, "GET", "/v1/elections/e"), 200) as { leader: Record<string, unknown> };
      assertEquals([leader["candidate"], leader["value"], leader["term"]], ["one", "10.0.0.1", term]);
    });

    await t.step("permits taken here are missing there", async () => {
      said(await call(b, "POST", "/v1/semaphores/s", { limit: 3, permits: 2, ttlMs: 600_000 }), 200);
      const held = said(await call(c, "POST", "/v1/semaphores/s", { limit: 3, permits: 2 }), 409);
      assertEquals([held["code"], held["available"]], ["held", 1]);
      assertEquals(said(await call(a, "POST", "/v1/semaphores/s", { limit: 5 }), 409)["code"], "limit-mismatch");
    });

    await t.step("a set of locks is all or none", async () => {
      const { grants } = said(await call(c, "POST", "/v1/locks", { names: ["y", "x"], ttlMs: 600_000 }), 200);
      assertEquals((grants as { name: string }[]).map(({ name }) => name), ["y", "x"]);
      assertEquals(said(await call(a, "POST", "/v1/locks", { names: ["w", "x"] }), 409)["name"], "x");
      assertEquals(said(await call(b, "GET", "/v1/locks/w"), 200)["state"], "free");
    });

    const largest = new Uint8Array(KV_VALUE_MAX_BYTES).map((_, i) => i * 7);
    let etag = "";
    await t.step("the largest value goes through, is read at another node, and HEAD knows its size", async () => {
      const put = await kv(a, "PUT", "big", largest, { "content-type": "image/png", "fence": "2049" });
      assertEquals(put.status, 200);
      etag = put.headers.get("etag")!;
      const read = await kv(b, "GET", "big");
      assertEquals([read.status, read.headers.get("etag"), read.headers.get("content-type")], [200, etag, "image/png"]);
      assertEquals(read.bytes, largest);
      const head = await kv(c, "HEAD", "big");
      assertEquals([head.status, head.headers.get("content-length")], [200, String(KV_VALUE_MAX_BYTES)]);
      assertEquals((await kv(c, "GET", "big", undefined, { "if-none-match": etag })).status, 304);
      const over = await kv(b, "PUT", "big", new Uint8Array(KV_VALUE_MAX_BYTES + 1));
      assertEquals(over.status, 413);
    });

    await t.step(
      "a write of unknown fate is decided once: the same key at a node that lives gets the answer",
      async () => {
        await cluster.kill("a");
        const key = { "idempotency-key": "put-1", "if-match": etag };
        const first = await kv(b, "PUT", "big", "small", key);
        assertEquals(first.status, 200);
        const again = await kv(c, "PUT", "big", "small", key);
        assertEquals([again.status, again.headers.get("etag")], [200, first.headers.get("etag")]);
        assertEquals((await kv(c, "PUT", "big", "other", key)).status, 422);
        await cluster.startNode("a");
      },
    );

    await t.step("all were killed at once: who leads, who holds and what was written is as it was", async () => {
      await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
      await Promise.all(cluster.ids.map((id) => cluster.startNode(id)));
      const { leader } = said(await call(c, "GET", "/v1/elections/e"), 200) as { leader: Record<string, unknown> };
      assertEquals(leader["term"], term);
      assertEquals(said(await call(a, "GET", "/v1/semaphores/s"), 200)["available"], 1);
      assertEquals(said(await call(b, "GET", "/v1/locks/x"), 200)["state"], "held");
      assertEquals(new TextDecoder().decode((await kv(a, "GET", "big")).bytes), "small");
      const late = await kv(b, "PUT", "big", "late", { "fence": "1025" });
      assertEquals([late.status, JSON.parse(new TextDecoder().decode(late.bytes)).code], [412, "fence-too-low"]);
    });

    await t.step("the next leader has a larger term", async () => {
      said(await call(b, "DELETE", `/v1/elections/e/${term}`), 200);
      const next = said(await callAny([c, a], 0, "POST", "/v1/elections/e", { candidate: "two" }, 5), 200);
      assertGreater(BigInt(String(next["term"])), BigInt(term));
    });

    await t.step("an ephemeral value whose writer was killed ends for its readers", async () => {
      assertEquals((await kv(a, "PUT", "svc%2F1?ttlMs=1000", "up")).status, 200);
      assertEquals((await kv(b, "GET", "svc%2F1")).status, 200);
      await cluster.kill("a");
      await until("it ends", async () => (await kv(c, "GET", "svc%2F1")).status === 404);
      const { items } = said(await call(b, "GET", "/v1/kv?prefix=svc%2F"), 200);
      assertEquals(items, []);
    });
    assert(etag !== "");
  } finally {
    await cluster.stop();
  }
});
