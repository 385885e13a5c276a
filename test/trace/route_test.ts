/** GET /v1/trace/:name of a traced node, and what a client makes of it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { traceFrom } from "../../src/cli/trace.ts";
import { TraceRing } from "../../src/observe/trace.ts";
import { scripted, serving } from "../routes/scripted_node.ts";
import { ManualClock } from "../transport/manual_clock.ts";

function tracedNode() {
  const trace = new TraceRing("a", new ManualClock());
  trace.record({ type: "request", key: "lock/deploy/api", id: "one", what: "acquire" });
  return scripted({}, { trace });
}

const LOCAL = { headers: { host: "localhost" } };

Deno.test("trace route: events of this node, or drawn", async () => {
  const { app } = tracedNode();
  const json = await app.request("http://localhost/v1/trace/deploy%2Fapi", LOCAL);
  assertEquals(await json.json(), {
    node: "a",
    key: "lock/deploy/api",
    events: [{ node: "a", seq: 1, atMs: 1_000, key: "lock/deploy/api", kind: "request", id: "one", what: "acquire" }],
  });
  const text = await app.request("http://localhost/v1/trace/-?name=deploy/api&format=text", LOCAL);
  assertEquals(text.headers.get("content-type"), "text/plain; charset=utf-8");
  assert((await text.text()).includes("X------>|     request acquire c1"));
  const svg = await app.request("http://localhost/v1/trace/-?name=deploy/api&format=svg", LOCAL);
  assertEquals(svg.headers.get("content-type"), "image/svg+xml");
  assert((await svg.text()).startsWith("<svg "));
});

Deno.test("trace route: a name nobody used is empty, a wrong format is refused, a node not traced has none", async () => {
  const { app } = tracedNode();
  const empty = await app.request("http://localhost/v1/trace/other", LOCAL);
  assertEquals((await empty.json()).events, []);
  const wrong = await app.request("http://localhost/v1/trace/other?format=png", LOCAL);
  assertEquals([wrong.status, (await wrong.json()).field], [400, "format"]);
  const off = await scripted().app.request("http://localhost/v1/trace/other", LOCAL);
  assertEquals([off.status, (await off.json()).code], [404, "no-route"]);
});

Deno.test("trace route: only for who may read the name", async () => {
  const trace = new TraceRing("a", new ManualClock());
  const scopes = [{ noun: "lock", verbs: ["read"], pattern: "mine/*" }] as const;
  const { app } = scripted({}, { trace, tokens: [{ subject: "ci", sha256: sha256Hex("secret"), scopes }] });
  const status = async (path: string, headers: Record<string, string>) =>
    (await app.request(`http://localhost/v1/trace/${path}`, { headers: { host: "localhost", ...headers } })).status;
  const known = { authorization: "Bearer secret" };
  assertEquals(await status("mine%2Fx", {}), 401);
  assertEquals(await status("yours%2Fx", known), 403);
  assertEquals(await status("mine%2Fx", known), 200);
});

Deno.test("trace: a client reads what a node remembers, or is told in one line why there is nothing", async () => {
  await serving(tracedNode(), async (port) => {
    const { node, events } = await traceFrom(`http://127.0.0.1:${port}`, "deploy/api");
    assertEquals([node, events.length], ["a", 1]);
  });
  await serving(scripted(), async (port) => {
    await assertRejects(() => traceFrom(`http://127.0.0.1:${port}`, "x"), Error, "is not traced");
  });
});
