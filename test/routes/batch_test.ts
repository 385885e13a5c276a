/** Batches: each operation as if it had come alone, results in order, and nothing done of what is malformed. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { BATCH_AT_ONCE, BATCH_MAX_BYTES, BATCH_MAX_OPERATIONS } from "../../src/limits.ts";
import { type Apps, withApps } from "./memory_apps.ts";
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
    assertEquals(
      (await batch(apps, "a", smuggled, { authorization: "Bearer t" })).body.field,
      "0.headers.authorization",
    );
  }, { tokens: TOKENS }));

Deno.test("batch: what is malformed anywhere is refused as a whole, by the place of it, and nothing is done", async () => {
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
    [[good, { ...good, path: "/v1/locks/../a" }], "1.path"],
    [[good, { ...good, path: "/v1/locks/%2e%2e" }], "1.path"],
    [[good, { ...good, path: "/v1/locks/ä" }], "1.path"],
    [[good, { ...good, path: "/v1/locks/a b" }], "1.path"],
    [[good, { ...good, path: "/v1/../paxos/acceptor" }], "1.path"],
    [[good, { ...good, path: "/v1/batch" }], "1.path"],
    [[good, { ...good, path: "/v1/batch?x" }], "1.path"],
    [[good, { method: "GET", path: "/v1/locks/a/events" }], "1.path"],
    [[good, { method: "GET", path: "/v1/locks/events?prefix=" }], "1.path"],
    [[good, { ...good, body: { waitMs: 5 } }], "1.waitMs"],
    [[good, { method: "GET", path: "/v1/locks/a?after=0&waitMs=5" }], "1.waitMs"],
    [[good, { method: "GET", path: "/v1/locks/a", body: {} }], "1.body"],
    [[good, { ...good, headers: { Accept: "text/event-stream" } }], "1.headers.Accept"],
    [[good, { ...good, headers: { Host: "x" } }], "1.headers.Host"],
    [[good, { ...good, headers: { "Idempotency-Key": 5 } }], "1.headers.Idempotency-Key"],
    [[good, { ...good, headers: { "Idempotency-Key": "a\nb" } }], "1.headers.Idempotency-Key"],
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
