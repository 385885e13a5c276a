import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { PROBLEMS } from "../../src/http/problem.ts";
import { type ErrorCode, QuorateError } from "../../src/errors.ts";
import { raw, scripted, serving, STATUS } from "./scripted_node.ts";

describe("X-Request-Id", () => {
  it("is the caller's if it is sane", async () => {
    const { app } = scripted();
    for (const id of ["r-1", "~".repeat(64)]) {
      const response = await app.request("/healthz", { headers: { "x-request-id": id } });
      assertEquals(response.headers.get("x-request-id"), id);
    }
  });

  it("is made otherwise", async () => {
    const { app } = scripted();
    for (const id of ["", "a b", "r".repeat(65), "é"]) {
      const response = await app.request("/nothing", { headers: { "x-request-id": id } });
      const made = response.headers.get("x-request-id") ?? "";
      assert(/^id-\d+$/.test(made), made);
      assertEquals((await response.json()).requestId, made);
    }
  });
});

describe("what has no route", () => {
  it("is a 404 problem", async () => {
    const { app, calls } = scripted();
    for (
      const path of ["/", "/v1", "/v1/", "/v2", "/v1/lock%73/a", "/v1/locks/a/b/c", "/healthz/", "/%", "/v1//locks"]
    ) {
      const response = await app.request(path);
      assertEquals([response.status, response.headers.get("content-type")], [404, "application/problem+json"], path);
      assertEquals((await response.json()).code, "no-route", path);
    }
    assertEquals(calls, []);
  });

  it("is a 405 with Allow where another method has one", async () => {
    const { app, calls } = scripted();
    const cases: [string, string, string][] = [
      ["PUT", "/v1/locks/a", "GET, HEAD, POST, DELETE"],
      ["OPTIONS", "/v1/locks/a", "GET, HEAD, POST, DELETE"],
      ["GET", "/v1/locks/a/1", "PUT, DELETE"],
      ["POST", "/v1/locks/a/1", "PUT, DELETE"],
      ["PUT", "/v1/locks", "GET, HEAD, POST"],
      ["POST", "/v1/kv/a", "GET, HEAD, PUT, DELETE"],
      ["POST", "/v1/elections", "GET, HEAD"],
      ["PATCH", "/v1/semaphores/a/1", "PUT, DELETE"],
      ["POST", "/v1/status", "GET, HEAD"],
      ["DELETE", "/healthz", "GET, HEAD"],
      ["PROPFIND", "/healthz", "GET, HEAD"],
    ];
    for (const [method, path, allow] of cases) {
      const response = await app.request(path, { method });
      assertEquals([response.status, response.headers.get("allow")], [405, allow], `${method} ${path}`);
      assertEquals((await response.json()).code, "method-not-allowed");
    }
    assertEquals(calls, []);
  });
});

describe("errors", () => {
  it("have the status of the one table, whatever code the node rejects with", async () => {
    for (const [code, row] of Object.entries(PROBLEMS)) {
      const { app, reports } = scripted({
        get: () => {
          throw new QuorateError(code as ErrorCode, "detail", { retryAfterMs: 1 });
        },
      });
      const response = await app.request("/v1/locks/a");
      const problem = await response.json();
      assertEquals([response.status, problem.status, problem.code, problem.title, problem.retryable], [
        row.status,
        row.status,
        code,
        row.title,
        row.retryable,
      ]);
      assertEquals([response.headers.get("retry-after"), problem.retryAfterMs], ["1", 1]);
      assertEquals(problem.outcome, row.outcome);
      assertEquals(reports, []);
    }
  });

  it("cannot be disguised by further facts", async () => {
    const { app } = scripted({
      get: () => {
        throw new QuorateError("held", "detail", { more: { status: 200, code: "x", requestId: "y", queue: 1 } });
      },
    });
    const problem = await (await app.request("/v1/locks/a")).json();
    assertEquals([problem.status, problem.code, problem.requestId, problem.queue], [409, "held", "id-1", 1]);
  });

  it("nobody expected are a 500 that tells the log and not the caller", async () => {
    for (const thrown of [new Error("password hunter2"), "hunter2", null]) {
      const { app, reports } = scripted({
        get: () => {
          throw thrown;
        },
      });
      const response = await app.request("/v1/locks/a");
      const text = await response.text();
      assertEquals([response.status, JSON.parse(text).code, text.includes("hunter2")], [500, "internal", false]);
      assertEquals("outcome" in JSON.parse(text), false);
      assertEquals(reports.length, 1);
      assertEquals(reports[0] === thrown || reports[0]?.cause === thrown, true);
    }
  });

  it("nobody expected, of a write, leave its outcome open", async () => {
    const { app } = scripted({
      release: () => {
        throw new Error("bug");
      },
    });
    const response = await app.request("/v1/locks/a/1", { method: "DELETE", headers: { "idempotency-key": "k" } });
    const problem = await response.json();
    assertEquals([problem.code, problem.outcome, problem.idempotencyKey], ["internal", "unknown", "k"]);
  });
});

describe("health", () => {
  it("/healthz is always 200", async () => {
    const { app, calls } = scripted({ readiness: "no quorum" });
    const response = await app.request("/healthz");
    assertEquals([response.status, await response.json(), calls], [200, { ok: true }, []]);
  });

  it("/readyz says why not", async () => {
    const ready = await scripted().app.request("/readyz");
    assertEquals([ready.status, await ready.json()], [200, { ready: true }]);
    const unready = await scripted({ readiness: "2 of 5 answer" }).app.request("/readyz");
    const problem = await unready.json();
    assertEquals([unready.status, problem.code, problem.detail], [503, "not-ready", "2 of 5 answer"]);
  });

  it("/v1/status is the node's", async () => {
    const response = await scripted().app.request("/v1/status");
    assertEquals([response.status, await response.json()], [200, STATUS]);
  });

  it("probes need no loopback Host", async () => {
    const node = scripted();
    await serving(node, async (port) => {
      assertEquals((await raw(port, "GET /readyz HTTP/1.1\r\nHost: probe.example\r\n\r\n")).status, 200);
    });
  });
});

describe("/openapi.json", () => {
  it("describes the routes, their limits and their errors", async () => {
    const { app } = scripted();
    const response = await app.request("/openapi.json");
    const text = await response.text();
    const document = JSON.parse(text);
    assertEquals([response.status, document.openapi, document.info.version], [200, "3.1.0", STATUS.version]);
    assertEquals(Object.keys(document.paths).sort(), [
      "/docs",
      "/healthz",
      "/livez",
      "/openapi.json",
      "/readyz",
      "/v1/access",
      "/v1/backup",
      "/v1/batch",
      "/v1/elections",
      "/v1/elections/events",
      "/v1/elections/{name}",
      "/v1/elections/{name}/events",
      "/v1/elections/{name}/history",
      "/v1/elections/{name}/queue/{key}",
      "/v1/elections/{name}/{term}",
      "/v1/kv",
      "/v1/kv/events",
      "/v1/kv/{key}",
      "/v1/kv/{key}/events",
      "/v1/locks",
      "/v1/locks/events",
      "/v1/locks/{name}",
      "/v1/locks/{name}/events",
      "/v1/locks/{name}/history",
      "/v1/locks/{name}/queue/{key}",
      "/v1/locks/{name}/{fence}",
      "/v1/raise",
      "/v1/repair",
      "/v1/semaphores",
      "/v1/semaphores/events",
      "/v1/semaphores/{name}",
      "/v1/semaphores/{name}/events",
      "/v1/semaphores/{name}/history",
      "/v1/semaphores/{name}/queue/{key}",
      "/v1/semaphores/{name}/{fence}",
      "/v1/sessions",
      "/v1/sessions/events",
      "/v1/sessions/{id}",
      "/v1/sessions/{id}/events",
      "/v1/status",
    ]);
    const post = document.paths["/v1/locks/{name}"].post;
    assertEquals(Object.keys(post.responses).sort(), [
      "200",
      "400",
      "401",
      "403",
      "404",
      "408",
      "409",
      "410",
      "413",
      "422",
      "429",
      "500",
      "503",
      "504",
    ]);
    assertEquals(post.responses["409"].description, "expired-command, held, cooling");
    const body = document.components.schemas.Acquire;
    assertEquals(body.additionalProperties, false);
    assertEquals([body.properties.ttlMs.minimum, body.properties.ttlMs.maximum], [1_000, 3_600_000]);
    assertEquals(body.properties.ttlMs.default, 30_000);
    // Every reference leads somewhere.
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      assert(name !== undefined && name in document.components.schemas, name ?? "");
    }
  });
});
