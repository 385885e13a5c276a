/** Batches: each operation as if it had come alone, results in order, and nothing done of what is malformed. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { BATCH_AT_ONCE, BATCH_MAX_BYTES, BATCH_MAX_OPERATIONS } from "../../src/limits.ts";
import { type Apps, memoryApps, withApps } from "./memory_apps.ts";
import { answer, GRANT, type Json, raw, scripted, serving } from "./scripted_node.ts";

type Operation = { method: string; path: string; body?: unknown; headers?: Record<string, string> };

async function batch(apps: Apps, id: string, operations: unknown, headers: Record<string, string> = {}) {
  const response = await apps.ask(id, "/v1/batch", { method: "POST", headers, body: JSON.stringify(operations) });
  return { status: response.status, body: await response.json() as Json };
}

const post = (name: string, body: unknown = {}): Operation => ({ method: "POST", path: `/v1/locks/${name}`, body });

Deno.test("batch: grants, renewals and releases of many names through two nodes; one that fails fails alone", () =>
  withApps(3, async (apps) => {
    const names = Array.from({ length: 40 }, (_, i) => `n${i}`);
    const granted = await batch(apps, "a", names.map((name) => post(name)));
    assertEquals([granted.status, granted.body.length], [200, names.length]);
    const fences = granted.body.map(({ status, body }: Json, i: number) => {
      assertEquals([status, body.name], [200, names[i]], "in order");
      return body.fence;
    });
    const renewals = names.map((name, i) => ({ method: "PUT", path: `/v1/locks/${name}/${fences[i]}`, body: {} }));
    const mixed = [...renewals, { method: "PUT", path: "/v1/locks/n0/999999" }, post("n1"), {
      method: "GET",
      path: "/v1/locks/-?name=n2",
    }, { method: "GET", path: "/v1/nothing" }];
    const renewed = await batch(apps, "b", mixed);
    const statuses = renewed.body.map(({ status }: Json) => status);
    assertEquals(statuses.slice(0, names.length), names.map(() => 200));
    assertEquals(statuses.slice(names.length), [404, 409, 200, 404]);
    assertEquals(renewed.body.at(-3).body.code, "held");
    assertEquals(renewed.body.at(-2).body.holders[0].fence, fences[2]);
    const released = await batch(
      apps,
      "c",
      names.map((name, i) => ({ method: "DELETE", path: `/v1/locks/${name}/${fences[i]}` })),
    );
    assert(released.body.every(({ body }: Json) => body.outcome === "released"));
  }));

Deno.test("batch: repeated through another node with the same keys, it comes to the same", () =>
  withApps(3, async (apps) => {
    const operations = ["x", "y"].map((name) => ({ ...post(name), headers: { "Idempotency-Key": `key-${name}` } }));
    const first = await batch(apps, "a", operations);
    const again = await batch(apps, "c", operations);
    assertEquals(again.body.map(({ body }: Json) => body.fence), first.body.map(({ body }: Json) => body.fence));
  }));

Deno.test("batch: a name sees its operations in their order", () =>
  withApps(3, async (apps) => {
    for (let i = 0; i < 5; i++) {
      const [grant] = (await batch(apps, "a", [post("o")])).body;
      const release = { method: "DELETE", path: `/v1/locks/o/${grant.body.fence}` };
      const { body } = await batch(apps, "b", [post("o"), release, post("o"), post("o")]);
      assertEquals(body.map(({ status }: Json) => status), [409, 200, 200, 409]);
      await batch(apps, "c", [{ method: "DELETE", path: `/v1/locks/o/${body[2].body.fence}` }]);
    }
  }));

const TOKENS = parseTokens(JSON.stringify([
  { subject: "s", sha256: sha256Hex("t"), scopes: ["lock:read,write:mine/*"] },
]));

Deno.test("batch: scopes are those of each operation, and nobody gets in without a credential", () =>
  withApps(3, async (apps) => {
    const operations = [post("mine%2Fa"), post("other"), { method: "GET", path: "/v1/locks" }];
    assertEquals((await batch(apps, "a", operations)).body.code, "unauthenticated");
    const { body } = await batch(apps, "a", operations, { authorization: "Bearer t" });
    assertEquals(body.map(({ status }: Json) => status), [200, 403, 200]);
    const smuggled = [{ ...operations[0], headers: { authorization: "Bearer other" } }];
    const [{ status, body: refused }] = (await batch(apps, "a", smuggled, { authorization: "Bearer t" })).body;
    assertEquals([status, refused.field], [400, "headers.authorization"]);
  }, { tokens: TOKENS }));

Deno.test("batch: what is no list of operations is refused as a whole, by the place of it, and nothing is done", async () => {
  const { app, calls } = scripted();
  const good = post("a");
  const cases: [unknown, string][] = [
    [{}, "body"],
    [[], "body"],
    ["x", "body"],
    [null, "body"],
    [[good, 5], "1"],
    [[good, {}], "1.method"],
    [[good, { ...good, method: "PATCH" }], "1.method"],
    [[good, { ...good, method: "get" }], "1.method"],
    [[good, { ...good, extra: 1 }], "extra"],
    [[good, { ...good, path: 5 }], "1.path"],
    [[good, { ...good, path: "" }], "1.path"],
    [[good, { ...good, path: "/paxos/acceptor" }], "1.path"],
    [[good, { ...good, path: "http://elsewhere/v1/locks/a" }], "1.path"],
    [[good, { ...good, path: "/v1/locks/a#b" }], "1.path"],
    [[good, { ...good, headers: { "Idempotency-Key": 5 } }], "1.headers.Idempotency-Key"],
    [[good, { ...good, base64: false }], "1.base64"],
    [Array.from({ length: BATCH_MAX_OPERATIONS + 1 }, () => good), "body"],
  ];
  for (const [body, field] of cases) {
    const response = await app.request("/v1/batch", { method: "POST", body: JSON.stringify(body) });
    const problem = await response.json();
    const what = JSON.stringify(body).slice(0, 200);
    assertEquals([response.status, problem.code, problem.field], [400, "invalid-request", field], what);
  }
  for (const body of ["", "[", "{}{}"]) {
    const response = await app.request("/v1/batch", { method: "POST", body });
    assertEquals([response.status, (await response.json()).field], [400, "body"], body);
  }
  assertEquals((await app.request("/v1/batch?x=1", { method: "POST", body: JSON.stringify([good]) })).status, 400);
  assertEquals(calls, []);
});

Deno.test("batch: what is wrong with one operation is its own answer, and the others are done", async () => {
  const get = (path: string) => ({ method: "GET", path });
  const posted = (more: object) => ({ ...post("b"), ...more });
  const cases: [Operation | object, string][] = [
    [posted({ path: "/v1/locks/../a" }), "path"],
    [posted({ path: "/v1/locks/%2e%2e" }), "path"],
    [posted({ path: "/v1/locks/ä" }), "path"],
    [posted({ path: "/v1/locks/a\\b" }), "path"],
    [posted({ path: "/v1/locks/a\tb" }), "path"],
    [posted({ path: "/v1/../paxos/acceptor" }), "path"],
    [posted({ path: "/v1/locks/%zz" }), "name"],
    [posted({ path: "/v1/batch" }), "path"],
    [posted({ path: "/v1/batch?x" }), "path"],
    [get("/v1/locks/a/events"), "path"],
    [get("/v1/kv/a/events"), "path"],
    [get("/v1/locks/events?prefix="), "path"],
    [posted({ body: { waitMs: 5 } }), "waitMs"],
    [posted({ body: '{"waitMs":2500}' }), "waitMs"],
    [posted({ body: '\ufeff{"waitMs":2500}' }), "waitMs"],
    [posted({ body: btoa('{"waitMs":2500}'), base64: true }), "waitMs"],
    [posted({ body: "é", base64: true }), "body"],
    [posted({ body: {}, base64: true }), "body"],
    [{ method: "POST", path: "/v1/locks", body: '{"names":["a","b"],"waitMs":2500}' }, "waitMs"],
    [{ method: "POST", path: "/v1/elections/e", body: '{"waitMs":2500}' }, "waitMs"],
    [{ method: "POST", path: "/v1/semaphores/s", body: '{"limit":1,"waitMs":2500}' }, "waitMs"],
    [get("/v1/locks/a?after=0&waitMs=5"), "waitMs"],
    [get("/v1/locks/-?name=a&%61fter=0&waitMs=5"), "waitMs"],
    [{ ...get("/v1/locks/a"), body: {} }, "body"],
    [posted({ headers: { Accept: "text/event-stream" } }), "headers.Accept"],
    [posted({ headers: { Host: "x" } }), "headers.Host"],
    [posted({ headers: { "Idempotency-Key": "a\nb" } }), "headers.Idempotency-Key"],
  ];
  const { app, calls } = scripted();
  const operations = cases.flatMap(([bad], i) => [post(`good-${i}`), bad]);
  const response = await app.request("/v1/batch", { method: "POST", body: JSON.stringify(operations) });
  const results: Json[] = await response.json();
  assertEquals([response.status, results.length], [200, operations.length]);
  cases.forEach(([bad, field], i) => {
    const { status, headers, body } = results[2 * i + 1];
    const what = JSON.stringify(bad);
    assertEquals([status, body.code, body.field], [400, "invalid-request", field], what);
    assertEquals([headers["Content-Type"], body.status], ["application/problem+json", 400], what);
    assertEquals(results[2 * i].status, 200, what);
  });
  assertEquals(calls.map(({ args }) => args[0]).sort(), cases.map((_, i) => `good-${i}`).sort());
});

Deno.test("batch: a path is what encodeURIComponent makes of a name, as alone", () =>
  withApps(3, async (apps) => {
    const names = ["it's", "a b", "c/d", "(e)*!~", "ü✅", "100%", "&=+?#"];
    for (const name of names) {
      const puts = [`/v1/kv/-?key=${encodeURIComponent(name)}`, `/v1/kv/${encodeURIComponent(name)}`];
      const { body } = await batch(apps, "a", puts.map((path) => ({ method: "PUT", path, body: "x" })));
      assertEquals(body.map((one: Json) => [one.status, one.body.key]), [[200, name], [200, name]], name);
    }
    const { items } = await (await apps.ask("b", "/v1/kv")).json();
    assertEquals(items.map(({ key }: Json) => key).sort(), names.toSorted());
  }));

Deno.test("batch: a value keeps every byte, whatever its type says, and brings the tag to go on with", () =>
  withApps(3, async (apps) => {
    const values: [Uint8Array<ArrayBuffer>, string, string, true | undefined][] = [
      [new Uint8Array([0xff, 0, 0xfe]), "application/octet-stream", "/wD+", true],
      [new Uint8Array([0xef, 0xbb, 0xbf, 0x61]), "text/plain", "\ufeffa", undefined],
      [new TextEncoder().encode('{"n": 1e400}'), "application/json", '{"n": 1e400}', undefined],
      [new TextEncoder().encode("{"), "application/json", "{", undefined],
      [new Uint8Array(), "text/plain", "", undefined],
    ];
    for (const [i, [bytes, type]] of values.entries()) {
      const put = { method: "PUT", body: bytes, headers: { "content-type": type } };
      assertEquals((await apps.ask("a", `/v1/kv/v${i}`, put)).status, 200);
    }
    const { body: results } = await batch(apps, "b", values.map((_, i) => ({ method: "GET", path: `/v1/kv/v${i}` })));
    for (const [i, [, type, text, base64]] of values.entries()) {
      const { status, headers, body, base64: isBase64 } = results[i];
      assertEquals([status, body, isBase64, headers["Content-Type"]], [200, text, base64, type]);
      const alone = await apps.ask("c", `/v1/kv/v${i}`);
      await alone.body?.cancel();
      assertEquals(headers["ETag"], alone.headers.get("etag"));
      assertEquals(headers["Consensus-Instance"], alone.headers.get("consensus-instance"));
    }
    const [, tag] = /"([0-9]+)"/.exec(results[0].headers["ETag"])!;
    const swap = { method: "PUT", path: "/v1/kv/v0", body: "gQ==", base64: true, headers: { "If-Match": `"${tag}"` } };
    assertEquals((await batch(apps, "c", [swap])).body[0].status, 200);
    const swapped = new Uint8Array(await (await apps.ask("a", "/v1/kv/v0")).arrayBuffer());
    assertEquals([...swapped], [0x81]);
    const [held, missing] = (await batch(apps, "a", [post("h"), post("h"), { method: "GET", path: "/v1/kv/none" }]))
      .body
      .slice(1);
    assertEquals([held.status, held.headers["Retry-After"] !== undefined], [409, true]);
    assertEquals([missing.status, missing.body.code, missing.base64], [404, "not-found", undefined]);
    assertEquals(apps.reports, []);
  }));

Deno.test("batch: a name sees its operations in their order however each writes it", () =>
  withApps(3, async (apps) => {
    const paths = ["/v1/kv/-?key=o", "/v1/kv/o", "/v1/kv/%6F", "/v1/kv/-?timeoutMs=4000&key=%6f"];
    const puts = Array.from({ length: 16 }, (_, i) => ({ method: "PUT", path: paths[i % 4]!, body: `${i}` }));
    const { body } = await batch(apps, "a", puts);
    const revisions = body.map((one: Json) => Number(one.body.revision));
    assertEquals(revisions, revisions.toSorted((a: number, b: number) => a - b));
    assertEquals(await (await apps.ask("b", "/v1/kv/o")).text(), "15");
  }));

Deno.test("batch: exactly as many operations and bytes as allowed are done; a byte more is not", async () => {
  const { app, calls } = scripted();
  const many = Array.from({ length: BATCH_MAX_OPERATIONS }, (_, i) => post(`n${i}`));
  assertEquals((await app.request("/v1/batch", { method: "POST", body: JSON.stringify(many) })).status, 200);
  assertEquals(calls.length, BATCH_MAX_OPERATIONS);
  calls.length = 0;
  const text = JSON.stringify([post("a")]);
  for (const [more, status] of [[1, 413], [0, 200]] as const) {
    const body = text + " ".repeat(BATCH_MAX_BYTES - text.length + more);
    assertEquals((await app.request("/v1/batch", { method: "POST", body })).status, status);
    assertEquals(calls.length, 1 - more);
  }
});

Deno.test("batch: never more names at work at once than the bound, whatever comes", async () => {
  let inside = 0;
  let most = 0;
  const { app } = scripted({
    acquire: async () => {
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setTimeout(resolve, 1));
      inside--;
      return answer(GRANT);
    },
  });
  const body = JSON.stringify(Array.from({ length: 100 }, (_, i) => post(`n${i}`)));
  assertEquals((await app.request("/v1/batch", { method: "POST", body })).status, 200);
  assertEquals(most, BATCH_AT_ONCE);
});

Deno.test("batch: over a real socket an operation's body is read, whatever its method", async () => {
  const apps = await memoryApps(1);
  try {
    const operations = [
      post("a"),
      { method: "DELETE", path: "/v1/locks/a", body: { reason: "test" } },
      { method: "PUT", path: "/v1/kv/a", body: "ä" },
    ];
    const response = await fetch(`${apps.url("a")}/v1/batch`, { method: "POST", body: JSON.stringify(operations) });
    const results: Json[] = await response.json();
    assertEquals(results.map(({ status }) => status), [200, 200, 200]);
    assertEquals(results[1].body.outcome, "forced");
    assertEquals(await (await fetch(`${apps.url("a")}/v1/kv/a`)).text(), "ä");
  } finally {
    await apps.close();
  }
});

Deno.test("batch: over a real socket, without tokens, the Host and Origin of the batch are those of each operation", async () => {
  const node = scripted();
  const body = JSON.stringify([post("a"), { method: "GET", path: "/v1/status" }]);
  await serving(node, async (port) => {
    const send = (headers: string) =>
      raw(port, `POST /v1/batch HTTP/1.1\r\n${headers}\r\nContent-Length: ${body.length}\r\n\r\n`, body);
    const good = await send(`Host: localhost:${port}`);
    assertEquals(good.body.map(({ status }: Json) => status), [200, 200]);
    for (const headers of ["Host: evil.example", `Host: localhost:${port}\r\nOrigin: http://evil.example`]) {
      assertEquals((await send(headers)).body.code, "cross-site");
    }
  });
  assertGreater(node.calls.length, 0);
});
