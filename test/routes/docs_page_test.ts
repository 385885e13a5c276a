/** /docs: the whole document as text, and nothing that would have to be fetched. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { docsPage } from "../../routes/docs_page.ts";
import type { OpenApi } from "../../routes/document.ts";
import { PROBLEMS } from "../../src/http/problem.ts";
import { scripted } from "./scripted_node.ts";

Deno.test("/docs: every operation, parameter, shape and error is on it", async () => {
  const { app } = scripted();
  const document: OpenApi = await (await app.request("/openapi.json")).json();
  const response = await app.request("/docs");
  assertEquals([response.status, response.headers.get("content-type")], [200, "text/html; charset=utf-8"]);
  const html = await response.text();
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, { summary, parameters = [] }] of Object.entries(item)) {
      assert(html.includes(`<b>${method.toUpperCase()}</b> ${path} `), `${method} ${path}`);
      const said = summary!.replaceAll('"', "&quot;").replaceAll(/`([^`]+)`/g, "<code>$1</code>");
      assert(html.includes(said), summary);
      for (const { name } of parameters) assert(html.includes(`<code>${name}</code>`), name);
    }
  }
  // In the order of the sections: locks first, what a node says of itself last.
  const sections = [...html.matchAll(/<h2 id="section-(\w+)"/g)].map(([, name]) => name!);
  assertEquals(sections, ["Locks", "Elections", "Semaphores", "Registers", "Sessions", "Batch", "Node"]);
  assert(html.includes("a whole number of 1,000 to 3,600,000, else 30000"));
  assert(html.includes("&quot;fence&quot;: &quot;6145&quot;"));
  for (const name of Object.keys(document.components.schemas)) assert(html.includes(`id="shape-${name}"`), name);
  for (const code of Object.keys(PROBLEMS)) assert(html.includes(`id="error-${code}"`), code);
  // Every link within the page has its end.
  const links = [...html.matchAll(/href="#([^"]+)"/g)];
  assertGreater(links.length, 100);
  for (const [, id] of links) assert(html.includes(`id="${id}"`), id);
});

Deno.test("/docs: nothing external is referenced, nothing runs, and the browser is told so", async () => {
  const { app } = scripted();
  const response = await app.request("/docs");
  const html = await response.text();
  for (const [reference] of html.matchAll(/(?:src|href|action|data|poster|srcset)\s*=\s*"?[^"\s>]*/gi)) {
    assert(/^href="(?:#|\/openapi\.json$)/.test(reference), reference);
  }
  for (const banned of [/<script/i, /<link/i, /<img/i, /<iframe/i, /@import/i, /url\(/i, /\/\/[a-z]/i, /\son\w+=/i]) {
    assert(!banned.test(html), `${banned}`);
  }
  const policy = response.headers.get("content-security-policy") ?? "";
  assert(policy.startsWith("default-src 'none'") && !policy.includes("http"), policy);
});

Deno.test("/docs: what the document says is text, never markup", () => {
  const evil = `<script>alert("1")</script>&`;
  const document = {
    openapi: "3.1.0",
    info: { title: evil, version: evil, description: evil },
    paths: {
      [`/${evil}`]: {
        get: {
          summary: evil,
          parameters: [{ name: evil, in: "query", description: evil, schema: { type: evil, description: evil } }],
          requestBody: { content: { [evil]: { schema: { evil } } } },
          responses: { 200: { description: evil, content: { [evil]: { schema: { evil } } } } },
        },
      },
    },
    tags: [{ name: evil, description: evil }],
    components: {
      schemas: { Evil: { type: "object", properties: { [evil]: { enum: [evil], description: evil } } } },
      examples: { "evil-code": { value: { title: evil } } },
    },
  } as unknown as OpenApi;
  const html = docsPage(document);
  assert(!html.includes("<script"), html);
  assert(html.includes("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;"));
});
