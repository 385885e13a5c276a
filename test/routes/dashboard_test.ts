/** `/` for browsers: a page that loads from its node alone, and nothing new for a client of the API. */
import { OpenAPIHono } from "@hono/zod-openapi";
import { assert, assertEquals, assertGreater } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import type { Env } from "../../routes/answer.ts";
import { dashboardRoutes } from "../../routes/dashboard.ts";
import { scripted } from "./scripted_node.ts";

const BROWSER = { accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" };
const PAGE_MAX_BYTES = 150 * 1024;
const TOKENS = parseTokens(JSON.stringify([{ subject: "s", sha256: sha256Hex("t".repeat(16)), scopes: ["*:read:*"] }]));

Deno.test("/: a browser gets the page, at whatever node, and needs no token for it", async () => {
  for (const tokens of [null, TOKENS]) {
    const { app, calls } = scripted({}, { tokens });
    const response = await app.request("/", { headers: BROWSER });
    assertEquals([response.status, response.headers.get("content-type")], [200, "text/html; charset=utf-8"]);
    assertEquals(response.headers.get("vary"), "Accept");
    const html = await response.text();
    // What it is refused is a line in its console, so that it is told beforehand.
    assertEquals([html.includes(" data-tokens"), html.includes(" data-trace")], [tokens !== null, false]);
    assertEquals(calls, []);
  }
});

Deno.test("/: HEAD says the same without a body; other methods and other clients get what they got", async () => {
  const { app } = scripted();
  const head = await app.request("/", { method: "HEAD", headers: BROWSER });
  assertEquals([head.status, head.headers.get("content-type"), await head.text()], [
    200,
    "text/html; charset=utf-8",
    "",
  ]);
  for (
    const init of [
      {},
      { headers: { accept: "*/*" } },
      { headers: { accept: "application/json" } },
      { headers: { accept: "text/*" } },
      { headers: { accept: "text/html-not" } },
      { method: "POST", headers: BROWSER, body: "{}" },
      { method: "DELETE", headers: BROWSER },
    ]
  ) {
    const response = await app.request("/", init);
    assertEquals([response.status, response.headers.get("content-type")], [404, "application/problem+json"]);
    const { code, detail } = await response.json();
    assertEquals([code, detail], ["no-route", "nothing is here; see /openapi.json"]);
  }
});

Deno.test("/: its policy lets it load from the node alone, and make no markup of text", async () => {
  const { app } = scripted();
  const response = await app.request("/", { headers: BROWSER });
  const html = await response.text();
  const policy = response.headers.get("content-security-policy") ?? "";
  const [, style = ""] = /<style>([\s\S]*)<\/style>/.exec(html) ?? [];
  const digest = Uint8Array.fromHex(sha256Hex(style)).toBase64();
  assertEquals(policy.split("; "), [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'sha256-${digest}'`,
    "connect-src 'self'",
    "img-src 'self' blob:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ]);
  // Nothing runs that stands in the page itself, and nothing of another's is named.
  for (
    const banned of [/<script(?! type="module" src="\/)/i, /\son\w+=/i, /\sstyle=/i, /@import/i, /url\(/i, /https?:/i]
  ) {
    assert(!banned.test(html), `${banned}`);
  }
  const others = ["x-content-type-options", "referrer-policy", "cross-origin-opener-policy", "cache-control"];
  assertEquals(others.map((name) => response.headers.get(name)), ["nosniff", "no-referrer", "same-origin", "no-store"]);
});

Deno.test("/: all that it loads is there, of its type, and small", async () => {
  const { app, calls } = scripted();
  const html = await (await app.request("/", { headers: BROWSER })).text();
  const named = new Set([...html.matchAll(/(?:src|href)="(\/dashboard\/[^"]+)"/g)].map(([, path]) => path!));
  let bytes = html.length;
  const imported = new Set<string>();
  for (const path of named) {
    const response = await app.request(path);
    const type = path.endsWith(".svg") ? "image/svg+xml" : "text/javascript; charset=utf-8";
    assertEquals([response.status, response.headers.get("content-type")], [200, type], path);
    assertEquals(response.headers.get("x-content-type-options"), "nosniff");
    assert(response.headers.get("content-security-policy")?.startsWith("default-src 'none'"), path);
    const text = await response.text();
    for (const [, module] of text.matchAll(/ from "\.\/([^"]+)"/g)) imported.add(`/dashboard/${module}`);
    // No way to make markup of text, and no address but the node's own.
    assert(!/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser/.test(text), path);
    assert(!/https?:\/\/(?!www\.w3\.org\/2000\/svg)/.test(text), path);
    bytes += new TextEncoder().encode(text).length;
    const head = await app.request(path, { method: "HEAD" });
    assertEquals([head.status, await head.text()], [200, ""]);
    assertEquals((await app.request(path, { method: "POST" })).status, 405);
  }
  assertEquals([...imported].filter((path) => !named.has(path)), []);
  assertGreater(named.size, 8);
  assertGreater(PAGE_MAX_BYTES, bytes);
  assertEquals(calls, []);
});

Deno.test("/dashboard: nothing but its files, by no other way to write them", async () => {
  const { app } = scripted();
  for (
    const path of ["", "/", "/page.css", "/../app.ts", "/%2e%2e/app.ts", "/start.js/", "/dashboard.ts", "/START.JS"]
  ) {
    assertEquals((await app.request(`/dashboard${path}`)).status, 404, path);
  }
});

Deno.test("/: where its files are not there it is a problem that says so, for the page and for what it loads", async () => {
  const app = new OpenAPIHono<Env>();
  const counts = { read: 0 };
  app.onError((error, c) => c.json({ ...error }, 404));
  app.use("*", async (c, next) => {
    c.set("elapsedMs", () => 0);
    await next();
  });
  dashboardRoutes(app, { tokens: false, trace: false, metrics: false }, () => {
    counts.read++;
    return Promise.reject(new Error("no such file"));
  });
  for (const path of ["/", "/dashboard/start.js", "/"]) {
    const response = await app.request(path, { headers: BROWSER });
    assertEquals([response.status, (await response.json()).code], [404, "no-route"], path);
  }
  // Not looked for again and again.
  assertGreater(20, counts.read);
});

Deno.test("a browser at an unknown page gets a page; under /v1 and /paxos it gets the problem", async () => {
  const { app } = scripted();
  const page = await app.request("/no/such", { headers: BROWSER });
  assertEquals([page.status, page.headers.get("content-type")], [404, "text/html; charset=utf-8"]);
  assert(page.headers.get("content-security-policy")?.startsWith("default-src 'none'"));
  const text = await page.text();
  assert(text.includes('href="/"') && !text.includes("such<"), text);
  for (
    const [path, init] of [["/v1/nothing", { headers: BROWSER }], ["/paxos/x", { headers: BROWSER }], [
      "/x",
      {},
    ]] as const
  ) {
    const response = await app.request(path, init);
    assertEquals([response.status, response.headers.get("content-type")], [404, "application/problem+json"], path);
  }
});
