/** GET /v1/trace/:name of a traced node, and what a client makes of it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { traceFrom } from "../../src/cli/trace.ts";
import { NOUNS } from "../../src/auth/scopes.ts";
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
  const unknown = await app.request("http://localhost/v1/trace/other?noun=locks", LOCAL);
  assertEquals([unknown.status, (await unknown.json()).field], [400, "noun"]);
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

Deno.test("trace route: of every noun, for who may read that noun, and of a session only for whom it belongs to", async () => {
  const trace = new TraceRing("a", new ManualClock());
  const tokens = NOUNS.map((noun) => ({
    subject: `of ${noun}`,
    sha256: sha256Hex(noun),
    scopes: [{ noun, verbs: ["read"], pattern: "*" }] as const,
  }));
  const owns = (_id: unknown, subject: unknown) => subject === "of session" && _id === "mine";
  const { app } = scripted({ owns }, { trace, tokens });
  for (const noun of NOUNS) trace.record({ type: "request", key: `${noun}/mine`, id: "one", what: `a ${noun}` });
  for (const noun of NOUNS) {
    for (const token of NOUNS) {
      const headers = { host: "localhost", authorization: `Bearer ${token}` };
      const path = `http://localhost/v1/trace/mine${noun === "lock" ? "" : `?noun=${noun}`}`;
      const response = await app.request(path, { headers });
      assertEquals(response.status, token === noun ? 200 : 403, `${noun} ${token}`);
      const { key, events } = await response.json();
      if (token === noun) assertEquals([key, events[0].what, events.length], [`${noun}/mine`, `a ${noun}`, 1]);
    }
  }
  const headers = { host: "localhost", authorization: "Bearer session" };
  const foreign = await app.request("http://localhost/v1/trace/theirs?noun=session", { headers });
  assertEquals([foreign.status, (await foreign.json()).code], [404, "not-found"]);
});

Deno.test("trace: a client reads what a node remembers, or is told in one line why there is nothing", async () => {
  await serving(tracedNode(), async (port) => {
    const { node, events } = await traceFrom(`http://127.0.0.1:${port}`, "lock", "deploy/api");
    assertEquals([node, events.length], ["a", 1]);
    assertEquals((await traceFrom(`http://127.0.0.1:${port}`, "kv", "deploy/api")).events, []);
    await assertRejects(
      () => traceFrom(`http://127.0.0.1:${port}`, "key", "x"),
      Error,
      "answers 400: noun is not one of",
    );
  });
  await serving(scripted(), async (port) => {
    await assertRejects(() => traceFrom(`http://127.0.0.1:${port}`, "lock", "x"), Error, "is not traced");
  });
});
