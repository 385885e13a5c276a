/** Bad input is refused by field, before anything reaches the node. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { defaultHolder } from "../../routes/input.ts";
import { rawPath } from "../../src/http/request_head.ts";
import {
  BATCH_MAX_BYTES,
  BODIES_MAX_BYTES,
  BODY_DEADLINE_MS,
  BODY_MAX_BYTES,
  JSON_MAX_DEPTH,
} from "../../src/limits.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";
import { type Json, raw, scripted, serving } from "./scripted_node.ts";

/** Sends it through the app, asserts the refusal and that the node heard nothing. */
async function refused(
  method: string,
  path: string,
  body: BodyInit | null,
  status: number,
  code: string,
  field?: string,
  headers: Record<string, string> = {},
): Promise<Json> {
  const { app, calls, reports } = scripted();
  const init = { method, body, headers, duplex: "half" } as RequestInit;
  const response = await app.request(path, init);
  const problem = await response.json();
  const where = `${method} ${path} ${typeof body === "string" ? body.slice(0, 60) : ""} → ${JSON.stringify(problem)}`;
  assertEquals([response.status, problem.code, problem.field], [status, code, field], where);
  assertEquals(response.headers.get("content-type"), "application/problem+json", where);
  assertEquals(problem.requestId, response.headers.get("x-request-id"), where);
  assertEquals([calls, reports], [[], []], where);
  return problem;
}

const badField = (body: string, field: string) => refused("POST", "/v1/locks/a", body, 400, "invalid-request", field);

describe("a body that is wrong", () => {
  it("is refused if it is not JSON", async () => {
    for (const text of ["{", "nonsense", '{"ttlMs":}', "{} {}", " ", "{'a':1}", '{"ttlMs":NaN}', '{"ttlMs":01}']) {
      await badField(text, "body");
    }
  });

  it("is refused if it is not an object", async () => {
    for (const text of ["[]", "null", "3", '"a"', "true", "1e400"]) await badField(text, "body");
  });

  it("is refused if it is not UTF-8", async () => {
    const bytes = (...values: number[]) => new Uint8Array(values);
    const bad = [bytes(0xff), bytes(0x22, 0xed, 0xa0, 0x80, 0x22), bytes(0x22, 0xc0, 0x80, 0x22)];
    for (const body of bad) await refused("POST", "/v1/locks/a", body, 400, "invalid-request", "body");
  });

  it("is refused by the field of a wrong type or range", async () => {
    for (const value of ["-1", "0", "999", "3600001", '"10"', "1.5", "30000.5", "1e21", "1e400", "null", "[]", "{}"]) {
      await badField(`{"ttlMs":${value}}`, "ttlMs");
      await refused("PUT", "/v1/locks/a/1", `{"ttlMs":${value}}`, 400, "invalid-request", "ttlMs");
    }
    for (const value of ["-1", "300001", '"0"', "0.5", "1e400", "null"]) {
      await badField(`{"waitMs":${value}}`, "waitMs");
    }
    for (const value of ["-1", "60001", '"0"']) await badField(`{"lockDelayMs":${value}}`, "lockDelayMs");
    for (const value of ['"both"', "1", "null"]) await badField(`{"mode":${value}}`, "mode");
    for (const value of ['"true"', "1", "null"]) await badField(`{"renews":${value}}`, "renews");
    for (const value of ['""', `"${"é".repeat(65)}"`, "1", '"a\\nb"', '"\\u0085"', '"\\ud800"']) {
      await badField(`{"holder":${value}}`, "holder");
    }
    for (const value of [`"${"é".repeat(129)}"`, "{}", '"\\udfff"']) {
      await badField(`{"metadata":${value}}`, "metadata");
    }
    for (const value of [undefined, '""', `"${"é".repeat(129)}"`, "1"]) {
      const body = value === undefined ? null : `{"reason":${value}}`;
      await refused("DELETE", "/v1/locks/a", body, 400, "invalid-request", "reason");
    }
  });

  it("is refused by the name of a field nobody knows", async () => {
    await badField('{"ttl":1000}', "ttl");
    await badField('{"session":"s"}', "session");
    await badField('{"__proto__":{}}', "__proto__");
    await badField('{"constructor":1}', "constructor");
    await refused("PUT", "/v1/locks/a/1", '{"holder":"h"}', 400, "invalid-request", "holder");
    await refused("DELETE", "/v1/locks/a/1", '{"reason":"r"}', 400, "invalid-request", "reason");
  });

  it("is refused above its limit, by Content-Length", async () => {
    const over = " ".repeat(BODY_MAX_BYTES + 1);
    const announced = { "content-length": `${over.length}` };
    await refused("POST", "/v1/locks/a", over, 413, "too-large", undefined, announced);
    await refused("PUT", "/v1/locks/a/1", over, 413, "too-large", undefined, announced);
    await refused("DELETE", "/v1/locks/a/1", over, 413, "too-large", undefined, announced);
    // At the limit it is read, and found to be no JSON.
    await refused("POST", "/v1/locks/a", over.slice(1), 400, "invalid-request", "body");
  });

  it("is refused above its limit without Content-Length, and not read to its end", async () => {
    let pulled = 0;
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled += 16_384;
        controller.enqueue(new Uint8Array(16_384).fill(0x20));
      },
      cancel: () => {
        cancelled = true;
      },
    });
    await refused("POST", "/v1/locks/a", endless, 413, "too-large");
    assertEquals([cancelled, pulled <= BODY_MAX_BYTES + 4 * 16_384], [true, true]);
  });

  it("is refused above its limit if Content-Length lies", async () => {
    const body = " ".repeat(BODY_MAX_BYTES + 1);
    await refused("POST", "/v1/locks/a", body, 413, "too-large", undefined, { "content-length": "2" });
  });

  it("is refused if its end does not come in time, and nothing of it reaches the node", async () => {
    const clock = new ManualClock();
    const { app, calls } = scripted({}, { after: (ms, run) => clock.after(ms, run) });
    for (const [method, path] of [["POST", "/v1/locks/a"], ["PUT", "/v1/kv/a"], ["POST", "/v1/batch"]] as const) {
      const begun = new ReadableStream({ start: (stream) => stream.enqueue(new TextEncoder().encode("{")) });
      const asked = app.request(path, { method, body: begun });
      await settled();
      await clock.pass(BODY_DEADLINE_MS);
      const response = await asked;
      const { code, retryable, outcome } = await response.json();
      assertEquals([response.status, code, retryable, outcome], [408, "request-timeout", true, "none"], path);
    }
    assertEquals([calls, clock.timers], [[], 0]);
  });

  it("is refused if its end does not come in time, over a real socket", async () => {
    const clock = new ManualClock();
    const node = scripted({}, { after: (ms, run) => clock.after(ms, run) });
    await serving(node, async (port) => {
      const asked = raw(port, "POST /v1/locks/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{");
      for (let i = 0; i < 1_000 && clock.timers === 0; i++) await settled();
      await clock.pass(BODY_DEADLINE_MS);
      const { status, headers, body } = await asked;
      assertEquals([status, body.code, body.outcome, body.retryable], [408, "request-timeout", "none", true]);
      assertEquals(headers.get("content-type"), "application/problem+json");
    });
    assertEquals([node.calls, node.reports, clock.timers], [[], [], 0]);
  });

  it("makes way if it is the oldest and there is no room for all that are not at their end", async () => {
    const clock = new ManualClock();
    const { app, calls } = scripted({}, { after: (ms, run) => clock.after(ms, run) });
    const bytes = new Uint8Array(BATCH_MAX_BYTES).fill(0x20);
    const sending = () => {
      const body = new ReadableStream({ start: (stream) => stream.enqueue(bytes) });
      return app.request("/v1/batch", { method: "POST", body });
    };
    const all = Array.from({ length: BODIES_MAX_BYTES / BATCH_MAX_BYTES + 1 }, sending);
    const response = await all[0]!;
    const { code, detail, retryable, outcome } = await response.json();
    assertEquals([response.status, code, retryable, outcome], [408, "request-timeout", true, "none"]);
    assertStringIncludes(detail, "its room was needed for others");
    await clock.pass(BODY_DEADLINE_MS);
    const others = await Promise.all(all.slice(1));
    for (const other of others) assertStringIncludes((await other.json()).detail, "did not come to its end");
    assertEquals([calls, clock.timers], [[], 0]);
  });

  it("is refused if it is nested too deep, however deep", async () => {
    const nested = (levels: number) => `{"metadata":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`;
    await badField(nested(JSON_MAX_DEPTH + 1), "body");
    await badField(nested(30_000), "body");
    await badField(`{"a":`.repeat(10_000), "body");
    // Deep enough to pass, and then of a wrong type; brackets in a string are no depth.
    await badField(nested(JSON_MAX_DEPTH), "metadata");
    await badField(`{"holder":"${"[".repeat(200)}"}`, "holder");
    await badField(`{"mode":"\\"${"{".repeat(100)}"}`, "mode");
  });
});

describe("a name that is wrong", () => {
  const wrong = [
    "",
    "a".repeat(513),
    `${"%C3%A9".repeat(256)}a`,
    "%FF",
    "%25%FF",
    "%ED%A0%80",
    "%ED%BF%BF",
    "%C0%AE",
    "%",
    "%2",
    "%zz",
    "a%00b",
    "a%0Ab",
    "a%7F",
    "%C2%85",
    "%2Fa",
    "a%2F",
    "%2F",
    "a%2F..",
    "..%2Fa",
    "a%2F.%2Fb",
  ];

  it("is refused in the path and as ?name=, on every route", async () => {
    for (const name of wrong) {
      for (const path of [`/v1/locks/${name}`, `/v1/locks/-?name=${name}`]) {
        for (const method of ["GET", "POST", "DELETE"]) {
          const body = method === "DELETE" ? '{"reason":"r"}' : null;
          await refused(method, path, body, 400, "invalid-request", "name");
        }
      }
      for (const method of ["PUT", "DELETE"]) {
        await refused(method, `/v1/locks/${name}/1`, null, 400, "invalid-request", "name");
        await refused(method, `/v1/locks/-/1?name=${name}`, null, 400, "invalid-request", "name");
      }
      await refused("GET", `/v1/locks/${name}/history`, null, 400, "invalid-request", "name");
    }
    for (const name of [".", "..", "%2e%2E"]) {
      await refused("POST", `/v1/locks/-?name=${name}`, null, 400, "invalid-request", "name");
    }
  });

  it("is refused if it is given twice", async () => {
    await refused("GET", "/v1/locks/a?name=b", null, 400, "invalid-request", "name");
    await refused("GET", "/v1/locks/-?name=a&name=a", null, 400, "invalid-request", "name");
  });

  it("never becomes a 5xx or another name where a URL parser folds it away", async () => {
    // app.request parses the URL, as an edge would.
    await refused("POST", "/v1/locks/..", null, 404, "no-route");
    await refused("POST", "/v1/locks/%2e%2e", null, 404, "no-route");
    await refused("POST", "/v1/locks/.", null, 400, "invalid-request", "name");
    await refused("DELETE", "/v1/locks/a/..", '{"reason":"r"}', 400, "invalid-request", "name");
  });

  it("is refused as it comes over the wire, unparsed", async () => {
    const node = scripted();
    await serving(node, async (port) => {
      const names = ["..", ".", "%2e%2e", "%2E.", "%FF", "%ED%A0%80", "%25%FF", "", "%2Fa", "a%2F%2e%2e", "%zz"];
      for (const name of names) {
        for (const path of [`/v1/locks/${name}`, `/v1/locks/-?name=${name}`]) {
          const { status, body } = await raw(port, `POST ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
          assertEquals([status, body.code, body.field], [400, "invalid-request", "name"], path);
        }
      }
      const { status, body } = await raw(port, "DELETE /v1/locks/a/.. HTTP/1.1\r\nHost: localhost\r\n\r\n");
      assertEquals([status, body.code, body.field], [400, "invalid-request", "fence"]);
      // Refused by the HTTP parser itself.
      const odd = new Uint8Array([...new TextEncoder().encode("GET /v1/locks/"), 0xff, 0x20]);
      const rest = "HTTP/1.1\r\nHost: localhost\r\n\r\n";
      assertEquals((await raw(port, odd, rest)).status, 400);
    });
    assertEquals([node.calls, node.reports], [[], []]);
  });
});

describe("a name that is right", () => {
  it("reaches the node as it was meant", async () => {
    const right: [string, string][] = [
      ["a", "a"],
      ["-", "-"],
      ["%25FF", "%FF"],
      ["deploy%2Fapi", "deploy/api"],
      ["%E2%98%83", "☃"],
      ["%F0%9F%94%92", "🔒"],
      ["...", "..."],
      ["a..b", "a..b"],
      ["a%20b", "a b"],
      ["%3Fa%23b", "?a#b"],
      ["a".repeat(512), "a".repeat(512)],
      ["__proto__", "__proto__"],
      ["history", "history"],
    ];
    for (const [sent, meant] of right) {
      const { app, calls } = scripted();
      for (const path of [`/v1/locks/${sent}`, `/v1/locks/-?name=${sent}`]) {
        await (await app.request(path)).body?.cancel();
      }
      assertEquals(calls.map((call) => call.args[0]), [meant, meant]);
    }
    const { app, calls } = scripted();
    await app.request(`/v1/locks/-?${new URLSearchParams({ name: "a +b/c" })}`);
    await app.request("/v1/locks/a+b");
    assertEquals(calls.map((call) => call.args[0]), ["a +b/c", "a+b"]);
  });
});

describe("the rest of a request", () => {
  it("is refused by the fence", async () => {
    for (const fence of ["0", "01", "-1", "1.0", "1e3", "x", "1".repeat(21), "%31", "+1", "0x1"]) {
      for (const method of ["PUT", "DELETE"]) {
        await refused(method, `/v1/locks/a/${fence}`, null, 400, "invalid-request", "fence");
      }
    }
  });

  it("is refused by the parameter of the query", async () => {
    for (const value of ["99", "30001", "-1", "", "1e3", "0500", "500.5", "abc", "99999999999999999999"]) {
      await refused("GET", `/v1/locks/a?timeoutMs=${value}`, null, 400, "invalid-request", "timeoutMs");
      await refused("POST", `/v1/locks/a?timeoutMs=${value}`, null, 400, "invalid-request", "timeoutMs");
    }
    for (const value of ["0", "1001", "x"]) {
      await refused("GET", `/v1/locks?limit=${value}`, null, 400, "invalid-request", "limit");
    }
    await refused("GET", "/v1/locks/a?consistency=strong", null, 400, "invalid-request", "consistency");
    await refused("POST", "/v1/locks/a?consistency=stale", null, 400, "invalid-request", "consistency");
    for (const after of ["", "-1", "01", "x", "1.5", "123456789012345678901"]) {
      await refused("GET", `/v1/locks/a?after=${after}`, null, 400, "invalid-request", "after");
    }
    for (const value of ["-1", "300001", "x"]) {
      await refused("GET", `/v1/locks/a?after=0&waitMs=${value}`, null, 400, "invalid-request", "waitMs");
    }
    await refused("GET", "/v1/locks/a?waitMs=300001", null, 400, "invalid-request", "waitMs");
    await refused("GET", "/v1/locks/a?after=0&consistency=strong", null, 400, "invalid-request", "consistency");
    await refused("GET", "/v1/locks/a/history?after=0", null, 400, "invalid-request", "after");
    await refused("GET", "/v1/locks/a/events?after=0", null, 400, "invalid-request", "after");
    await refused("GET", "/v1/locks/a/events?timeoutMs=0", null, 400, "invalid-request", "timeoutMs");
    await refused("GET", "/v1/locks/events?prefix=%00", null, 400, "invalid-request", "prefix");
    await refused("GET", `/v1/locks/events?prefix=${"a".repeat(513)}`, null, 400, "invalid-request", "prefix");
    await refused("GET", "/v1/locks/events?prefix=a&prefix=b", null, 400, "invalid-request", "prefix");
    await refused("GET", "/v1/locks/events?prefix=a&name=b", null, 400, "invalid-request", "name");
    await refused("GET", "/v1/locks/a?__proto__=3", null, 400, "invalid-request", "__proto__");
    await refused("GET", "/v1/locks/a?timeoutMs=500&timeoutMs=500", null, 400, "invalid-request", "timeoutMs");
    await refused("GET", "/v1/locks/a?%FF=1", null, 400, "invalid-request", "query");
    await refused("GET", "/v1/locks?prefix=%FF", null, 400, "invalid-request", "prefix");
    await refused("GET", `/v1/locks?prefix=${"a".repeat(513)}`, null, 400, "invalid-request", "prefix");
    await refused("GET", "/v1/locks?prefix=%00", null, 400, "invalid-request", "prefix");
    for (const cursor of ["", "a%00", "%FF", "0".repeat(513), "0".repeat(2_042), "%C3%A9".repeat(257)]) {
      for (const noun of ["locks", "elections", "semaphores", "kv", "sessions"]) {
        await refused("GET", `/v1/${noun}?cursor=${cursor}`, null, 400, "invalid-request", "cursor");
      }
    }
    await refused("GET", "/v1/status?verbose", null, 400, "invalid-request", "verbose");
  });

  it("is refused by the Idempotency-Key", async () => {
    for (const key of ["", "a b", "é", "k".repeat(65)]) {
      const headers = { "idempotency-key": key };
      await refused("POST", "/v1/locks/a", null, 400, "invalid-request", "Idempotency-Key", headers);
    }
  });

  it("is told how a name with a slash is written, where a path fits nothing or another method", async () => {
    const cases: [string, string, number, string][] = [
      ["PUT", "/v1/kv/svc/api/3", 404, "/v1/kv/svc%2Fapi%2F3, /v1/kv/-?key=svc/api/3"],
      ["POST", "/v1/locks/a/b", 405, "/v1/locks/a%2Fb, /v1/locks/-?name=a/b"],
      ["GET", "/v1/elections/a/b/", 404, "/v1/elections/a%2Fb, /v1/elections/-?name=a/b"],
      ["POST", "/v1/locks/a+b/c&d%20=", 405, "/v1/locks/a+b%2Fc&d%20=, /v1/locks/-?name=a%2Bb/c%26d%20="],
      ["POST", `/v1/locks/${"a/".repeat(5_000)}b`, 404, "written %2F"],
      ["POST", "/v1/locks/a/", 404, "leave out the slash at the end"],
      ["PUT", "/v1/kv/a/", 404, "leave out the slash at the end"],
    ];
    for (const [method, path, status, hint] of cases) {
      const code = status === 404 ? "no-route" : "method-not-allowed";
      const problem = await refused(method, path, null, status, code);
      assertStringIncludes(problem.detail, hint, path);
      assertEquals(problem.detail.length < 600, true);
    }
    for (const method of ["PUT", "DELETE"]) {
      const problem = await refused(method, "/v1/locks/a/b", null, 400, "invalid-request", "fence");
      assertStringIncludes(problem.detail, "%2F");
    }
    assertEquals((await refused("GET", "/v1/nothing/a/b", null, 404, "no-route")).detail.includes("%2F"), false);
  });

  it("may say what does nothing there", async () => {
    for (const query of ["waitMs=0", "waitMs=5000", "waitMs=0&consistency=stale&timeoutMs=5000"]) {
      const { app, calls } = scripted();
      const response = await app.request(`/v1/locks/a?${query}`);
      assertEquals([response.status, calls.map(({ method }) => method)], [200, ["get"]], query);
      await response.body?.cancel();
    }
    const polled = { isNewer: false, body: null, receipt: { path: "read", instance: 3, ballot: "0..0" } };
    const { app, calls } = scripted({ poll: polled });
    assertEquals((await app.request("/v1/locks/a?after=0&consistency=stale")).status, 304);
    assertEquals(calls.map(({ method }) => method), ["poll"]);
  });

  it("says what would be right", async () => {
    const problem = await badField('{"ttlMs":1}', "ttlMs");
    assertStringIncludes(problem.detail, "ttlMs is not a whole number from 1000 to 3600000");
  });
});

describe("over real sockets", () => {
  it("a body above the limit is refused before it has come, with and without Content-Length", async () => {
    const node = scripted();
    await serving(node, async (port) => {
      const head = "POST /v1/locks/a HTTP/1.1\r\nHost: localhost\r\n";
      const announced = await raw(port, `${head}Content-Length: 10000000\r\n\r\n{`);
      assertEquals([announced.status, announced.body.code], [413, "too-large"]);

      // One chunk over the limit, and no last chunk: the answer does not wait for it.
      const size = BODY_MAX_BYTES + 1;
      const chunk = `${size.toString(16)}\r\n${" ".repeat(size)}\r\n`;
      const chunked = await raw(port, `${head}Transfer-Encoding: chunked\r\n\r\n${chunk}`);
      assertEquals([chunked.status, chunked.body.code], [413, "too-large"]);

      // Both headers: the chunks are what is read, so the length must not be what is believed.
      const both = await raw(port, `${head}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`);
      assertEquals(both.status >= 400 && both.status < 500, true, `${both.status}`);
    });
    assertEquals([node.calls, node.reports], [[], []]);
  });

  it("a small chunked body is taken", async () => {
    const node = scripted();
    await serving(node, async (port) => {
      const head = "POST /v1/locks/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
      const { status } = await raw(port, `${head}6\r\n{"ttlM\r\n9\r\ns": 5000}\r\n0\r\n\r\n`);
      assertEquals(status, 200);
    });
    assertEquals((node.calls[0]?.args[1] as Json).ttlMs, 5000);
  });
});

describe("rawPath", () => {
  it("is the path as sent", () => {
    assertEquals(rawPath({ url: "http://h:1/a/%2e%2e/b?c/d#e" }), "/a/%2e%2e/b");
    assertEquals(rawPath({ url: "http://h/a#b?c" }), "/a");
    assertEquals(rawPath({ url: "http://h" }), "/");
  });
});

describe("defaultHolder", () => {
  it("is a UUID that the same subject and key get again", () => {
    const holder = defaultHolder("local", "k");
    assertEquals(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(holder), true);
    assertEquals(defaultHolder("local", "k"), holder);
    assertEquals(new Set([holder, defaultHolder("local", "l"), defaultHolder("other", "k")]).size, 3);
  });
});
