/** Steps of the features of registers, of lists, and of who looks on. Each writes here and looks there. */
import { assertEquals, assertGreater } from "@std/assert";
import { type Answer, type Json, type Node, type Steps, until } from "./feature_nodes.ts";

const LONG_MS = 600_000;

async function put(node: Node, name: string, text: string, headers: Record<string, string> = {}): Promise<string> {
  return etagOf(await node.ask("PUT", `/v1/kv/${name}`, { bytes: text, headers }));
}

function etagOf(answer: Answer): string {
  assertEquals(answer.status, 200, answer.text);
  return answer.headers.get("etag")!;
}

async function refused(answer: Promise<Answer>): Promise<readonly [number, unknown]> {
  const { status, body } = await answer;
  return [status, body["code"]];
}

export const REGISTER_STEPS: Steps = {
  "register: put": async ({ a, b }) => {
    const bytes = new Uint8Array(1_000).map((_, i) => i * 7);
    const headers = { "content-type": "image/png" };
    const etag = etagOf(await a.ask("PUT", "/v1/kv/put", { bytes, headers }));
    const read = await b.send("GET", "/v1/kv/put");
    assertEquals(new Uint8Array(await read.arrayBuffer()), bytes);
    assertEquals([read.headers.get("content-type"), read.headers.get("etag")], ["image/png", etag]);
  },

  "register: get": async ({ a, b, c }) => {
    assertEquals((await b.ask("GET", "/v1/kv/get")).status, 404);
    const etag = await put(a, "get", "value", { "content-type": "text/plain" });
    assertEquals((await b.ask("GET", "/v1/kv/get")).text, "value");
    const head = await c.ask("HEAD", "/v1/kv/get");
    assertEquals([head.status, head.text, head.headers.get("content-length")], [200, "", "5"]);
    assertEquals((await c.ask("GET", "/v1/kv/get", { headers: { "if-none-match": etag } })).status, 304);
  },

  "register: compare and set": async ({ a, b, c }) => {
    const etag = await put(a, "cas", "1", { "if-none-match": "*" });
    const missed = b.ask("PUT", "/v1/kv/cas", { bytes: "x", headers: { "if-none-match": "*" } });
    assertEquals(await refused(missed), [412, "precondition-failed"]);
    await put(b, "cas", "2", { "if-match": etag });
    const late = c.ask("PUT", "/v1/kv/cas", { bytes: "3", headers: { "if-match": etag } });
    assertEquals(await refused(late), [412, "precondition-failed"]);
    assertEquals((await a.ask("GET", "/v1/kv/cas")).text, "2");
  },

  "register: fenced write": async ({ a, b, c }) => {
    const { fence: early } = await a.said(200, "POST", "/v1/locks/guard", { ttlMs: LONG_MS });
    await a.said(200, "DELETE", `/v1/locks/guard/${early}`);
    const { fence: late } = await b.said(200, "POST", "/v1/locks/guard", { ttlMs: LONG_MS });
    await put(b, "guarded", "of the holder", { fence: String(late) });
    const behind = a.ask("PUT", "/v1/kv/guarded", { bytes: "too late", headers: { fence: String(early) } });
    assertEquals(await refused(behind), [412, "fence-too-low"]);
    assertEquals((await c.ask("GET", "/v1/kv/guarded")).text, "of the holder");
  },

  "register: ephemeral": async ({ a, b, c }) => {
    await put(a, "ephemeral?ttlMs=600000", "up");
    assertEquals((await b.ask("GET", "/v1/kv/ephemeral")).text, "up");
    await put(a, "ephemeral?ttlMs=1000", "up");
    await until(() => c.ask("GET", "/v1/kv/ephemeral"), ({ status }) => status === 404);
  },

  "register: delete": async ({ a, b, c }) => {
    const etag = await put(a, "delete", "1");
    const other = b.ask("DELETE", "/v1/kv/delete", { headers: { "if-match": '"1"' } });
    assertEquals(await refused(other), [412, "precondition-failed"]);
    const gone = await b.ask("DELETE", "/v1/kv/delete", { headers: { "if-match": etag } });
    assertEquals([gone.status, gone.body["outcome"]], [200, "deleted"]);
    assertEquals((await c.ask("GET", "/v1/kv/delete")).status, 404);
  },

  "list by prefix": async ({ a, b, c }) => {
    for (const n of [3, 1, 2]) await a.said(200, "POST", `/v1/locks/list%2F${n}`, { ttlMs: LONG_MS });
    for (const node of [b, c]) {
      const page = (query: string) => node.said(200, "GET", `/v1/locks?prefix=list%2F&${query}`);
      const names = ({ items }: Json) => (items as readonly Json[]).map(({ name }) => name);
      // A node lists what it has heard of, which takes it a moment.
      await until(() => page("limit=100"), ({ items }) => (items as readonly Json[]).length === 3);
      const first = await page("limit=2");
      assertEquals(names(first), ["list/1", "list/2"]);
      const rest = await page(`limit=2&cursor=${encodeURIComponent(String(first["cursor"]))}`);
      assertEquals([names(rest), rest["cursor"]], [["list/3"], null]);
    }
    await put(a, "list%2Fx", "value");
    const values = () => b.said(200, "GET", "/v1/kv?prefix=list%2F&values=true");
    const { items } = await until(values, ({ items }) => (items as readonly Json[]).length === 1);
    assertEquals((items as readonly Json[]).map(({ key, value }) => [key, value]), [["list/x", btoa("value")]]);
  },

  "list by age": async ({ a, b }) => {
    await a.said(200, "POST", "/v1/locks/age", { ttlMs: LONG_MS });
    const names = async (query: string) => {
      const { items } = await b.said(200, "GET", `/v1/locks?prefix=age${query}`);
      return (items as readonly Json[]).map(({ name }) => name);
    };
    await until(() => names(""), (found) => found.length === 1);
    assertEquals(await names("&heldForMs=600000"), []);
    assertEquals(await until(() => names("&heldForMs=1"), (found) => found.length === 1), ["age"]);
  },

  "long poll": async ({ a, b }) => {
    const { revision } = await a.said(200, "GET", "/v1/locks/poll");
    const { status } = await b.ask("GET", `/v1/locks/poll?after=${revision}&waitMs=50`);
    assertEquals(status, 304);
    const newer = b.said(200, "GET", `/v1/locks/poll?after=${revision}&waitMs=60000`);
    await a.said(200, "POST", "/v1/locks/poll", { ttlMs: LONG_MS });
    const state = await newer;
    assertEquals(state["state"], "held");
    assertGreater(BigInt(String(state["revision"])), BigInt(String(revision)));
  },

  "watch a name": async ({ a, b, c }) => {
    const events = await b.events("GET", "/v1/locks/watch/events");
    assertEquals((await events.next())?.data["state"], "free");
    const { fence, revision } = await a.said(200, "POST", "/v1/locks/watch", { ttlMs: LONG_MS });
    const held = await events.next();
    assertEquals([held?.event, held?.data["state"], held?.id], ["changed", "held", revision]);
    await events.close();
    await a.said(200, "DELETE", `/v1/locks/watch/${fence}`);
    const resumed = await c.events("GET", "/v1/locks/watch/events", { headers: { "last-event-id": held!.id! } });
    assertEquals((await resumed.next())?.data["state"], "free");
  },

  "watch a prefix": async ({ a, b, c }) => {
    const events = await b.events("GET", "/v1/kv/events?prefix=config%2F");
    assertEquals((await events.next())?.event, "resync");
    await put(c, "configure", "not below it");
    await put(a, "config%2Fport", "8701");
    const changed = await events.next();
    assertEquals([changed?.event, changed?.data["key"]], ["changed", "config/port"]);
    assertEquals(changed?.data["value"], btoa("8701"));
    await c.said(200, "DELETE", "/v1/kv/config%2Fport");
    const deleted = await events.next();
    assertEquals([deleted?.event, deleted?.data["key"]], ["deleted", "config/port"]);
  },

  "history": async ({ a, b, c }) => {
    const one = await a.said(200, "POST", "/v1/locks/history", { holder: "one", ttlMs: LONG_MS });
    await b.said(200, "DELETE", `/v1/locks/history/${one["fence"]}`);
    const two = await b.said(200, "POST", "/v1/locks/history", { holder: "two", ttlMs: LONG_MS });
    await a.said(200, "DELETE", "/v1/locks/history", { reason: "it hangs" });
    const { items } = await c.said(200, "GET", "/v1/locks/history/history");
    const ends = (items as readonly Json[]).map(({ fence, holder, subject, end }) => [fence, holder, subject, end]);
    const expected = [[one["fence"], "one", "app", "released"], [two["fence"], "two", "app", "forced"]];
    assertEquals([...ends].sort(), expected.sort());
  },

  "export of the history": async ({ a, b }) => {
    for (const holder of ["one", "two"]) {
      const { fence } = await a.said(200, "POST", "/v1/locks/export", { holder, ttlMs: LONG_MS });
      await a.said(200, "DELETE", `/v1/locks/export/${fence}`);
    }
    const exported = await b.ask("GET", "/v1/locks/export/history", { headers: { accept: "application/x-ndjson" } });
    assertEquals(exported.headers.get("content-type"), "application/x-ndjson");
    const lines = exported.text.trimEnd().split("\n").map((line) => JSON.parse(line) as Json);
    assertEquals(lines.map(({ name, holder }) => [name, holder]).sort(), [["export", "one"], ["export", "two"]]);
  },
};
