/** Registers over HTTP, each request through another node than the one before. */
import { assert, assertEquals } from "@std/assert";
import { KvDeletedShape, KvPageShape, KvWrittenShape } from "../../routes/kv.ts";
import { CONTENT_TYPE_MAX_CHARS, KV_VALUE_MAX_BYTES, LIST_VALUES_MAX_ITEMS } from "../../src/limits.ts";
import { type Apps, withApps } from "./memory_apps.ts";
import { type Bad, matrix, refuseAll, tell, tokensFor } from "./noun_requests.ts";

const PATH = "/v1/kv/config%2Fapp";

async function get(apps: Apps, id: string, path = PATH, headers: Record<string, string> = {}, method = "GET") {
  const response = await apps.ask(id, path, { method, headers });
  const bytes = new Uint8Array(await response.arrayBuffer());
  return { status: response.status, bytes, headers: response.headers };
}

Deno.test("kv over HTTP: bytes come out as they went in, with their type and their revision as ETag", () =>
  withApps(3, async (apps) => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const put = await apps.ask("a", PATH, { method: "PUT", body: bytes, headers: { "content-type": "image/png" } });
    const { revision } = KvWrittenShape.strict().parse(await put.json());
    assertEquals([put.status, put.headers.get("etag")], [200, `"${revision}"`]);
    const read = await get(apps, "b");
    assertEquals([read.status, read.headers.get("etag"), read.headers.get("content-type")], [
      200,
      `"${revision}"`,
      "image/png",
    ]);
    assertEquals(read.bytes, bytes);
    assertEquals([read.headers.get("consensus-path"), read.headers.get("x-content-type-options")], ["read", "nosniff"]);
    assert(read.headers.get("content-security-policy")?.includes("sandbox"));
    const head = await get(apps, "c", PATH, {}, "HEAD");
    assertEquals([head.status, head.bytes.length, head.headers.get("content-length"), head.headers.get("etag")], [
      200,
      0,
      "256",
      `"${revision}"`,
    ]);
    const stale = await get(apps, "a", `${PATH}?consistency=stale`);
    assertEquals(stale.bytes, bytes);
    const plain = { method: "PUT", body: bytes, headers: { "content-encoding": "identity" } };
    assertEquals((await apps.ask("b", PATH, plain)).status, 200);
    const empty = await apps.ask("b", PATH, { method: "PUT" });
    assertEquals(empty.status, 200);
    const none = await get(apps, "c");
    assertEquals([none.status, none.bytes.length, none.headers.get("content-type")], [
      200,
      0,
      "application/octet-stream",
    ]);
  }));

Deno.test("kv over HTTP: conditional reads are 304, conditional writes 412, and what was deleted is 404 for good", () =>
  withApps(3, async (apps) => {
    const first = await tell(apps, "a", "PUT", PATH, "one", { "if-none-match": "*" });
    const etag = first.headers.get("etag")!;
    for (const tags of [etag, `W/${etag}`, `"x,y" , ${etag}`, "*"]) {
      const same = await get(apps, "b", PATH, { "if-none-match": tags });
      assertEquals([same.status, same.bytes.length, same.headers.get("etag")], [304, 0, etag], tags);
    }
    assertEquals((await get(apps, "b", PATH, { "if-none-match": '"1"' })).status, 200);
    const failing: Record<string, string>[] = [
      { "if-none-match": "*" },
      { "if-none-match": `W/${etag}` },
      { "if-match": '"1"' },
      { "if-match": 'W/"1"' },
      { "if-match": '"*"' },
      { "if-match": '""' },
    ];
    for (const headers of failing) {
      for (const method of ["PUT", "DELETE"]) {
        // A body of DELETE is none of a value.
        const { status, body } = await tell(apps, "c", method, PATH, method === "PUT" ? "two" : undefined, headers);
        assertEquals(
          [status, body.code, body.revision],
          [412, "precondition-failed", first.body.revision],
          JSON.stringify(headers),
        );
      }
    }
    const second = await tell(apps, "b", "PUT", PATH, "two", { "if-match": `"7", ${etag}` });
    assertEquals(second.status, 200);
    const deleted = await tell(apps, "c", "DELETE", PATH, undefined, { "if-match": second.headers.get("etag")! });
    assertEquals([deleted.status, KvDeletedShape.strict().parse(deleted.body).outcome], [200, "deleted"]);
    const gone = await tell(apps, "a", "GET", PATH);
    assertEquals([gone.status, gone.body.code, gone.body.revision], [404, "not-found", deleted.body.revision]);
    assertEquals((await tell(apps, "b", "DELETE", PATH)).status, 404);
    assertEquals((await tell(apps, "c", "PUT", PATH, "x", { "if-match": "*" })).status, 412);
  }));

Deno.test("kv over HTTP: a write with an older fence than one seen is 412, through deletion too", () =>
  withApps(3, async (apps) => {
    assertEquals((await tell(apps, "a", "PUT", PATH, "new", { fence: "2049" })).status, 200);
    for (const [id, method] of [["b", "PUT"], ["c", "DELETE"]] as const) {
      const late = await tell(apps, id, method, PATH, method === "PUT" ? "late" : undefined, { fence: "1025" });
      assertEquals([late.status, late.body.code, late.body.fence], [412, "fence-too-low", "2049"]);
    }
    assertEquals((await tell(apps, "c", "DELETE", PATH, undefined, { fence: "2049" })).status, 200);
    assertEquals((await tell(apps, "a", "PUT", PATH, "late", { fence: "1025" })).status, 412);
    assertEquals((await tell(apps, "a", "GET", PATH)).status, 404);
  }));

Deno.test("kv over HTTP: the same key writes once, with other bytes, type or condition it is a mismatch", () =>
  withApps(3, async (apps) => {
    const key = { "idempotency-key": "once" };
    const first = await tell(apps, "a", "PUT", PATH, "one", key);
    await tell(apps, "b", "PUT", PATH, "two");
    const again = await tell(apps, "c", "PUT", PATH, "one", key);
    assertEquals([again.status, again.body], [200, first.body]);
    assertEquals(new TextDecoder().decode((await get(apps, "a")).bytes), "two");
    for (
      const [body, headers] of [["other", {}], ["one", { "content-type": "text/html" }], ["one", {
        fence: "7",
      }]] as const
    ) {
      const other = await tell(apps, "b", "PUT", PATH, body, { ...key, ...headers });
      assertEquals([other.status, other.body.code], [422, "idempotency-mismatch"]);
    }
  }));

Deno.test("kv over HTTP: the largest value is taken, one byte more is 413, announced or not, and nothing is changed", () =>
  withApps(3, async (apps) => {
    const largest = new Uint8Array(KV_VALUE_MAX_BYTES).fill(0xff);
    const type = `text/${"x".repeat(CONTENT_TYPE_MAX_CHARS - 5)}`;
    const put = await apps.ask("a", PATH, { method: "PUT", body: largest, headers: { "content-type": type } });
    assertEquals([put.status, await put.json().then(({ code }) => code)], [200, undefined]);
    const over = new Uint8Array(KV_VALUE_MAX_BYTES + 1);
    const announced = await apps.ask("b", PATH, {
      method: "PUT",
      body: over,
      headers: { "content-length": `${over.length}` },
    });
    const chunked = await apps.ask(
      "c",
      PATH,
      { method: "PUT", body: ReadableStream.from([over]), duplex: "half" } as RequestInit,
    );
    for (const response of [announced, chunked]) {
      assertEquals([response.status, (await response.json()).code], [413, "too-large"]);
    }
    assertEquals((await get(apps, "b")).bytes, largest);
    assertEquals(apps.reports, []);
  }));

Deno.test("kv over HTTP: bad input names its field, and the value is as it was", () =>
  withApps(3, async (apps) => {
    await tell(apps, "a", "PUT", PATH, "one");
    const before = (await get(apps, "b")).headers.get("etag");
    const many = Array.from({ length: 17 }, (_, i) => `"${i + 1}"`).join(",");
    await refuseAll(apps, [
      ["PUT", PATH, "x", "If-Match", { "if-match": "1025" }],
      ["PUT", PATH, "x", "If-Match", { "if-match": "" }],
      ["PUT", PATH, "x", "If-Match", { "if-match": '"1",' }],
      ["PUT", PATH, "x", "If-Match", { "if-match": '*, "1"' }],
      ["PUT", PATH, "x", "If-None-Match", { "if-none-match": many }],
      ["DELETE", PATH, undefined, "If-Match", { "if-match": '"1' }],
      ["GET", PATH, undefined, "If-None-Match", { "if-none-match": "x" }],
      ["PUT", PATH, "x", "Fence", { fence: "0" }],
      ["PUT", PATH, "x", "Fence", { fence: "1e3" }],
      ["PUT", PATH, "x", "Fence", { fence: "1".repeat(21) }],
      ["PUT", PATH, "x", "Content-Type", { "content-type": "text" }],
      ["PUT", PATH, "x", "Content-Range", { "content-range": "bytes 0-0/2" }],
      ["PUT", PATH, "x", "Content-Encoding", { "content-encoding": "gzip" }],
      ["PUT", PATH, "x", "Content-Encoding", { "content-encoding": "identity, br" }],
      ["PUT", PATH, "x", "Content-Type", { "content-type": `text/${"x".repeat(CONTENT_TYPE_MAX_CHARS)}` }],
      ["PUT", `${PATH}?ttlMs=999`, "x", "ttlMs"],
      ["PUT", `${PATH}?ttlMs=3600001`, "x", "ttlMs"],
      ["PUT", `${PATH}?ttlMs=1e4`, "x", "ttlMs"],
      ["PUT", `${PATH}?session=s`, "x", "session"],
      ["PUT", PATH, "x", "Idempotency-Key", { "idempotency-key": "a b" }],
      ["DELETE", PATH, { any: 1 }, "any"],
      ["GET", `${PATH}?ttlMs=1000`, undefined, "ttlMs"],
      ["GET", "/v1/kv?limit=1001", undefined, "limit"],
      ["GET", `/v1/kv?cursor=${"0".repeat(2_042)}`, undefined, "cursor"],
      ["GET", `/v1/kv?cursor=${"0".repeat(513)}`, undefined, "cursor"],
      ["GET", "/v1/kv?cursor=%00", undefined, "cursor"],
      ["GET", `${PATH}?after=0`, undefined, "If-None-Match", { "if-none-match": "x" }],
      ["GET", "/v1/kv?values=1", undefined, "values"],
      ["PUT", "/v1/kv/", "x", "key"],
      ["PUT", "/v1/kv/a%00b", "x", "key"],
      ["PUT", "/v1/kv/..%2Fa", "x", "key"],
      ...["GET", "PUT", "DELETE"].flatMap((method): Bad[] => [
        [method, "/v1/kv/%FF", undefined, "key"],
        [method, "/v1/kv/-?key=a%00b", undefined, "key"],
        [method, "/v1/kv/a?key=b", undefined, "key"],
        [method, "/v1/kv/-?name=b", undefined, "name"],
      ]),
      ["GET", "/v1/kv/-?name=b&after=0", undefined, "name"],
      ["GET", "/v1/kv/-?key=%2Fb&after=0", undefined, "key"],
      ["GET", "/v1/kv/-/events?name=b", undefined, "name"],
      ["GET", "/v1/kv/-/events?key=", undefined, "key"],
    ]);
    assertEquals((await get(apps, "c")).headers.get("etag"), before);
    assertEquals(apps.reports, []);
  }));

Deno.test("kv over HTTP: a key in the query is the one in the path, for every method, and answers call it key", () =>
  withApps(3, async (apps) => {
    const written = await tell(apps, "a", "PUT", "/v1/kv/-?key=q%2F1&ttlMs=60000", "one");
    const { revision } = written.body;
    assertEquals(written.body, { key: "q/1", revision, ttlMs: 60_000 });
    for (const path of ["/v1/kv/q%2F1", "/v1/kv/-?key=q%2F1", "/v1/kv/-?key=q%2F1&after=0"]) {
      const { status, bytes, headers } = await get(apps, "b", path);
      assertEquals([status, new TextDecoder().decode(bytes), headers.get("etag")], [200, "one", `"${revision}"`], path);
    }
    assertEquals((await get(apps, "c", `/v1/kv/-?key=q%2F1&after=${revision}`)).status, 304);
    const deleted = await tell(apps, "c", "DELETE", "/v1/kv/-?key=q%2F1");
    assertEquals(deleted.body, { outcome: "deleted", key: "q/1", revision: deleted.body.revision });
    assertEquals((await tell(apps, "a", "GET", "/v1/kv/-?key=q%2F1")).status, 404);
  }));

Deno.test("kv over HTTP: keys by prefix in pages, ephemeral ones with what is left of them", () =>
  withApps(3, async (apps) => {
    for (const name of ["a", "b", "c"]) await tell(apps, "a", "PUT", `/v1/kv/svc%2F${name}?ttlMs=60000`, name);
    await tell(apps, "b", "PUT", "/v1/kv/other", "x");
    await tell(apps, "c", "DELETE", "/v1/kv/svc%2Fb");
    const first = KvPageShape.parse((await tell(apps, "a", "GET", "/v1/kv?prefix=svc%2F&limit=1")).body);
    assertEquals(first.items.map(({ key, sizeBytes, ttlMs }) => [key, sizeBytes, ttlMs]), [["svc/a", 1, 60_000]]);
    assert(first.items[0]!.lapsesInMs! > 50_000);
    const path = `/v1/kv?prefix=svc%2F&limit=5&cursor=${encodeURIComponent(first.cursor!)}`;
    const rest = KvPageShape.parse((await tell(apps, "a", "GET", path)).body);
    assertEquals([rest.items.map(({ key }) => key), rest.cursor], [["svc/c"], null]);
    const values = KvPageShape.parse((await tell(apps, "b", "GET", "/v1/kv?prefix=svc%2F&values=true")).body);
    assertEquals(values.items.map(({ value }) => atob(value!)), ["a", "c"]);
    assertEquals(first.items[0]?.value, undefined);
  }));

Deno.test("kv over HTTP: hedged to two nodes, one write", () =>
  withApps(3, async (apps) => {
    const headers = { "quorate-hedge": "0", "idempotency-key": "hedged" };
    const [one, two] = await Promise.all(["a", "b"].map((id) => tell(apps, id, "PUT", PATH, "hedged", headers)));
    assertEquals([one!.status, two!.status], [200, 200]);
    assertEquals(one!.body, two!.body);
  }));

Deno.test("kv over HTTP: written 300 times, the record stays as small", () =>
  withApps(3, async (apps) => {
    const record = () => apps.cluster.disk("a").records.get("kv/config/app")!.length;
    for (let i = 0; i < 100; i++) await tell(apps, "a", "PUT", PATH, `${i % 10}`);
    const early = record();
    for (let i = 0; i < 200; i++) await tell(apps, ["a", "b", "c"][i % 3]!, "PUT", PATH, `${i % 10}`);
    assert(record() < early * 1.5, `${early}, then ${record()} bytes`);
    assert(record() < 6_000, `${record()}`);
  }));

Deno.test("kv over HTTP: every route for who may, and for nobody else", () =>
  withApps(3, (apps) =>
    matrix(apps, [
      ["PUT", "/v1/kv/mine%2Fk", '"JSON"', "write"],
      ["GET", "/v1/kv/mine%2Fk", undefined, "read"],
      ["HEAD", "/v1/kv/mine%2Fk", undefined, "read"],
      ["DELETE", "/v1/kv/mine%2Fk", undefined, "write"],
      ["GET", "/v1/kv?prefix=mine%2F", undefined, "read"],
    ]), { tokens: tokensFor("kv") }));

Deno.test("kv over HTTP: a tag that a proxy made weak is its revision all the same, so compare and set goes on behind it", () =>
  withApps(3, async (apps) => {
    let { body: { revision } } = await tell(apps, "a", "PUT", PATH, "0");
    for (const [i, tags] of ['W/"R"', '"7", W/"R"', 'W/"R",W/"9"'].entries()) {
      const headers = { "if-match": tags.replace("R", revision) };
      const next = await tell(apps, "bca"[i]!, "PUT", PATH, `${i + 1}`, headers);
      assertEquals(next.status, 200, tags);
      assertEquals((await tell(apps, "b", "PUT", PATH, "late", headers)).status, 412, "only over that revision");
      revision = next.body.revision;
    }
    assertEquals((await get(apps, "c", `${PATH}?after=0`, { "if-none-match": `W/"${revision}"` })).status, 304);
    assertEquals((await tell(apps, "c", "DELETE", PATH, undefined, { "if-match": `W/"${revision}"` })).status, 200);
  }));

Deno.test("kv over HTTP: a page with values has as many as it can, whatever is asked for", () =>
  withApps(1, async (apps) => {
    const keys = Array.from({ length: LIST_VALUES_MAX_ITEMS + 2 }, (_, i) => `k${String(i).padStart(2, "0")}`);
    await Promise.all(keys.map((key) => tell(apps, "a", "PUT", `/v1/kv/${key}`, "x")));
    const seen: string[] = [];
    let cursor: string | null = "";
    for (let i = 0; i < 3 && cursor !== null; i++) {
      const more: string = cursor === "" ? "" : `&cursor=${cursor}`;
      const { status, body } = await tell(apps, "a", "GET", `/v1/kv?values=true&limit=1000${more}`);
      assertEquals([status, body.items.length <= LIST_VALUES_MAX_ITEMS], [200, true]);
      seen.push(...body.items.map(({ key }: { key: string }) => key));
      cursor = body.cursor;
    }
    assertEquals([seen, cursor], [keys, null]);
  }));
