import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { raw, scripted, serving } from "./scripted_node.ts";

const tokens = parseTokens(JSON.stringify([
  { subject: "deployer", sha256: sha256Hex("t-write"), scopes: ["lock:read,write:deploy/*"] },
  { subject: "root", sha256: sha256Hex("t-admin"), scopes: ["admin:*"] },
]));
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

describe("with tokens", () => {
  it("nothing under /v1 is answered without a known one", async () => {
    const { app, calls } = scripted({}, { tokens });
    for (const headers of [{}, bearer("wrong"), { authorization: "Basic dDp0" }, { authorization: "t-write" }]) {
      for (const path of ["/v1/locks/deploy%2Fa", "/v1/status", "/v1/nothing", "/v1", "/v1/locks/"]) {
        const response = await app.request(path, { headers });
        assertEquals([response.status, (await response.json()).code], [401, "unauthenticated"], path);
        assertEquals(response.headers.get("www-authenticate"), "Bearer");
      }
    }
    assertEquals(calls, []);
  });

  it("a peer's credential is none of a client's", async () => {
    const { app, calls } = scripted({}, { tokens });
    const headers = { "quorate-peer": "b", "quorate-to": "a.i.1", "quorate-count": "1", "quorate-mac": "v1=00" };
    assertEquals((await app.request("/v1/locks/deploy%2Fa", { headers })).status, 401);
    assertEquals(calls, []);
  });

  it("the subject of the token is the caller", async () => {
    const { app, calls } = scripted({}, { tokens });
    const response = await app.request("/v1/locks/deploy%2Fa", { method: "POST", headers: bearer("t-write") });
    assertEquals(response.status, 200);
    assertEquals((calls[0]?.args[2] as { subject: string }).subject, "deployer");
  });

  it("what no scope allows is 403", async () => {
    const { app, calls } = scripted({}, { tokens });
    const cases: [string, string, string, string?][] = [
      ["t-write", "POST", "/v1/locks/other"],
      ["t-write", "GET", "/v1/locks/other"],
      ["t-write", "GET", "/v1/locks/-?name=other"],
      ["t-write", "GET", "/v1/locks/other/history"],
      ["t-write", "GET", "/v1/locks/other/events"],
      ["t-write", "GET", "/v1/locks/other?after=0"],
      ["t-admin", "GET", "/v1/locks"],
      ["t-admin", "GET", "/v1/locks/events?prefix=deploy%2F"],
      ["t-write", "DELETE", "/v1/locks/deploy%2Fa", '{"reason":"r"}'],
      ["t-admin", "POST", "/v1/locks/deploy%2Fa"],
      ["t-admin", "PUT", "/v1/locks/deploy%2Fa/1"],
      ["t-admin", "DELETE", "/v1/locks/deploy%2Fa/1"],
    ];
    for (const [token, method, path, body] of cases) {
      const response = await app.request(path, { method, headers: bearer(token), body: body ?? null });
      assertEquals([response.status, (await response.json()).code], [403, "forbidden"], `${method} ${path}`);
    }
    assertEquals(calls, []);
    const force = { method: "DELETE", headers: bearer("t-admin"), body: '{"reason":"r"}' };
    assertEquals((await app.request("/v1/locks/deploy%2Fa", force)).status, 200);
  });

  it("a listing asks the node only for what the caller may read", async () => {
    const prefixes = async (prefix: string) => {
      const { app, calls } = scripted({}, { tokens });
      const response = await app.request(`/v1/locks?prefix=${prefix}`, { headers: bearer("t-write") });
      assertEquals(response.status, 200, prefix);
      return calls.map(({ args }) => (args[0] as { prefix: string }).prefix);
    };
    for (const prefix of ["", "dep", "deploy", "deploy%2F"]) assertEquals(await prefixes(prefix), ["deploy/"]);
    assertEquals(await prefixes("deploy%2Fa"), ["deploy/a"]);
    for (const prefix of ["other", "deployx", "z"]) assertEquals(await prefixes(prefix), []);
  });

  it("probes and the document need none", async () => {
    const { app } = scripted({}, { tokens });
    for (const path of ["/healthz", "/readyz", "/openapi.json"]) assertEquals((await app.request(path)).status, 200);
  });

  it("any Host and Origin will do: the token is what a page has not", async () => {
    const { app } = scripted({}, { tokens });
    const headers = { ...bearer("t-write"), host: "quorate.example", origin: "https://ops.example" };
    assertEquals((await app.request("/v1/locks/deploy%2Fa", { headers })).status, 200);
  });
});

describe("without tokens", () => {
  it("Host must be a loopback name", async () => {
    const node = scripted();
    await serving(node, async (port) => {
      const get = (line: string) => raw(port, `GET ${line}\r\n\r\n`);
      for (const host of ["localhost", "LOCALHOST:1", "127.0.0.1:8701", "[::1]", "[::1]:80"]) {
        assertEquals((await get(`/v1/locks/a HTTP/1.1\r\nHost: ${host}`)).status, 200, host);
      }
      // HTTP/1.0 need not have one, and no browser leaves it out.
      assertEquals((await get("/v1/locks/a HTTP/1.0")).status, 200);
      for (
        const host of ["evil.example", "localhost.evil.example", "127.0.0.2", "evil:80", "127.1", "0.0.0.0", "[::2]"]
      ) {
        const { status, body } = await get(`/v1/locks/a HTTP/1.1\r\nHost: ${host}`);
        assertEquals([status, body.code], [403, "cross-site"], host);
      }
      const absolute = await get("http://evil.example/v1/locks/a HTTP/1.1\r\nHost: localhost");
      assertEquals([absolute.status, absolute.body.code], [403, "cross-site"]);
    });
    assertEquals([node.calls.length, node.reports], [6, []]);
  });

  it("a Host that would change the path is refused", async () => {
    const node = scripted();
    await serving(node, async (port) => {
      for (const host of ["localhost/v1/locks/a?", "localhost#", "localhost@evil", "a b", "x\\y", "l%6fcalhost"]) {
        const { status, body } = await raw(port, `GET /healthz HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
        assertEquals([status, body.code, body.field], [400, "invalid-request", "Host"], host);
      }
    });
    assertEquals(node.calls, []);
  });

  it("pages of another origin are refused", async () => {
    const { app, calls } = scripted();
    const ask = (headers: Record<string, string>) =>
      app.request("/v1/locks/a", { method: "POST", headers: { host: "127.0.0.1:8701", ...headers } });
    const foreign: Record<string, string>[] = [
      { origin: "https://evil.example" },
      { origin: "null" },
      { origin: "http://127.0.0.1:3000" },
      { origin: "http://localhost:8701" },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
      { "sec-fetch-site": "cross-site", origin: "http://127.0.0.1:8701" },
    ];
    for (const headers of foreign) {
      const response = await ask(headers);
      assertEquals([response.status, (await response.json()).code], [403, "cross-site"], JSON.stringify(headers));
    }
    assertEquals(calls, []);
    const preflight = await app.request("/v1/locks/a", {
      method: "OPTIONS",
      headers: { origin: "https://evil.example" },
    });
    assertEquals([preflight.status, preflight.headers.get("access-control-allow-origin")], [403, null]);
    for (
      const headers of [{ origin: "http://127.0.0.1:8701", "sec-fetch-site": "same-origin" }, {
        "sec-fetch-site": "none",
      }]
    ) {
      assertEquals((await ask(headers as Record<string, string>)).status, 200);
    }
  });
});
