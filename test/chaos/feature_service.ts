/** Steps of the features of the service itself: how requests are decided, who may ask, what nodes say of themselves. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { type DirectOp, submitDirect } from "../../src/client/direct.ts";
import { BATCH_MAX_OPERATIONS } from "../../src/limits.ts";
import { type Answer, BURST, type Json, type Node, type Steps, until } from "./feature_nodes.ts";
import { ISOLATES } from "./real_cluster.ts";

const LONG_MS = 600_000;
/** An acceptor may be slow once, and then a direct client does not know. */
const DIRECT_TRIES = 10;

/** Whose store the document says may be made by asking for it. */
function initIds({ components }: Json): readonly unknown[] {
  const { Init } = (components as { schemas: { Init: { properties: { id: { enum: readonly unknown[] } } } } }).schemas;
  return Init.properties.id.enum;
}

function batch(node: Node, operations: readonly Json[], as = "app") {
  return node.ask("POST", "/v1/batch", { json: operations, as });
}

export const SERVICE_STEPS: Steps = {
  "exactly once": async ({ a, b, c }) => {
    const headers = { "idempotency-key": "once-1" };
    const ask = { holder: "me", ttlMs: LONG_MS };
    const first = await a.said(200, "POST", "/v1/locks/once", ask, headers);
    const again = await b.said(200, "POST", "/v1/locks/once", ask, headers);
    assertEquals([again["fence"], again["replayed"]], [first["fence"], true]);
    const other = await c.said(422, "POST", "/v1/locks/once", { ...ask, holder: "you" }, headers);
    assertEquals(other["code"], "idempotency-mismatch");
    assertEquals((await c.said(200, "GET", "/v1/locks/once"))["lastFence"], first["fence"]);
  },

  "exactly once, for ever": async ({ a, b, c }) => {
    const headers = { "idempotency-key": "ever-1", "quorate-born": "0" };
    const first = await a.said(200, "PUT", "/v1/kv/ever", "mine", headers);
    assertEquals((await b.said(200, "PUT", "/v1/kv/ever", "mine", headers))["revision"], first["revision"]);
    for (let i = 0; i < 80; i++) await a.said(200, "PUT", "/v1/kv/ever", `other ${i}`);
    const late = await c.said(409, "PUT", "/v1/kv/ever", "mine", headers);
    assertEquals([late["code"], late["outcome"]], ["expired-command", "unknown"]);
  },

  "hedged write": async ({ a, b, c }) => {
    const headers = { "quorate-hedge": "0", "idempotency-key": "hedge-1" };
    const hedge = (node: Node) => node.said(200, "POST", "/v1/locks/hedge", { holder: "me", ttlMs: LONG_MS }, headers);
    const fences = (await Promise.all([a, b, c].map(hedge))).map(({ fence }) => fence);
    assertEquals(new Set(fences).size, 1);
    const { holders, lastFence } = await b.said(200, "GET", "/v1/locks/hedge");
    assertEquals([(holders as readonly Json[]).length, lastFence], [1, fences[0]]);
  },

  "direct client": async ({ a, urls, fetch }) => {
    const options = {
      members: urls,
      subject: "app",
      token: "app",
      fetch,
      digest: (text: string) => Promise.resolve(sha256Hex(text)),
    };
    const op: DirectOp = {
      type: "acquire",
      holder: "me",
      mode: "exclusive",
      ttlMs: LONG_MS,
      lockDelayMs: 0,
      atMs: 0,
    };
    for (let i = 0; i < DIRECT_TRIES; i++) {
      const end = await submitDirect(options, `lock/direct-${i}`, op, `direct-${i}`, 0);
      if (end.type === "unsettled") continue;
      assertEquals(end.result.outcome, "granted");
      assertEquals((await a.said(200, "GET", `/v1/locks/direct-${i}`))["lastFence"], end.result.fence);
      return;
    }
    throw new Error(`never decided in ${DIRECT_TRIES} tries`);
  },

  "batch": async ({ a, b }) => {
    const { status, text } = await batch(a, [
      { method: "POST", path: "/v1/locks/batch", body: { holder: "one", ttlMs: LONG_MS } },
      { method: "POST", path: "/v1/locks/batch", body: { holder: "two" } },
      { method: "PUT", path: "/v1/kv/batch", body: "value", headers: { "content-type": "text/plain" } },
    ]);
    const results = JSON.parse(text) as readonly { readonly status: number; readonly body: Json }[];
    assertEquals([status, results.map((result) => result.status)], [200, [200, 409, 200]]);
    assertEquals((await b.said(200, "GET", "/v1/locks/batch"))["lastFence"], results[0]?.body["fence"]);
    assertEquals((await b.ask("GET", "/v1/kv/batch")).text, "value");
  },

  "stale read": async ({ a, b }) => {
    const { fence } = await a.said(200, "POST", "/v1/locks/stale", { ttlMs: LONG_MS });
    const read = () => b.ask("GET", "/v1/locks/stale?consistency=stale");
    // How old it is says that process of the node which has heard of the name.
    const isTold = ({ headers }: Answer) => /^[0-9]+$/.test(headers.get("quorate-stale-ms") ?? "");
    await until(read, (answer) => answer.body["lastFence"] === fence && isTold(answer));
  },

  "epoch": async ({ a, b }) => {
    const { epoch } = await b.said(200, "GET", "/v1/status");
    for (const node of [a, b]) {
      const read = await node.ask("GET", "/v1/locks/epoch");
      assertEquals([read.status, read.headers.get("quorate-epoch")], [200, `${epoch}`]);
    }
  },

  "receipt": async ({ a, b }) => {
    const taken = await a.ask("POST", "/v1/locks/receipt", { json: { ttlMs: LONG_MS } });
    const read = await b.ask("GET", "/v1/locks/receipt");
    const facts = ({ headers }: { readonly headers: Headers }) =>
      ["consensus-instance", "consensus-ballot"].map((name) => headers.get(name));
    assertEquals(facts(read), facts(taken));
    assertGreater(Number(read.headers.get("consensus-instance")), 0);
    assertEquals(read.headers.get("consensus-path"), "read");
    const paths = ["fast", "open-fast", "classic", "recovered"];
    assert(paths.includes(taken.headers.get("consensus-path") ?? ""), "how it was decided");
  },

  "scopes": async ({ a, b }) => {
    const within = await a.ask("POST", "/v1/locks/team%2Fx", { json: { ttlMs: LONG_MS }, as: "team" });
    assertEquals(within.status, 200);
    const beyond = await b.ask("POST", "/v1/locks/beyond", { json: {}, as: "team" });
    assertEquals([beyond.status, beyond.body["code"]], [403, "forbidden"]);
    const nobody = await b.ask("POST", "/v1/locks/team%2Fx", { json: {}, as: null });
    assertEquals([nobody.status, nobody.body["code"]], [401, "unauthenticated"]);
    // What it holds is the subject's: no other may let it go.
    const release = `/v1/locks/team%2Fx/${within.body["fence"]}`;
    assertEquals((await b.ask("DELETE", release, { as: "other" })).status, 404);
    assertEquals((await b.ask("DELETE", release, { as: "team" })).body["outcome"], "released");
  },

  "access": async ({ a, b }) => {
    const within = await a.ask("GET", "/v1/access?noun=lock&name=team%2Fx", { as: "team" });
    assert((within.body["verbs"] as string[]).includes("write"));
    const beyond = await b.ask("GET", "/v1/access?noun=lock&name=beyond", { as: "team" });
    assertEquals([beyond.status, beyond.body["subject"], beyond.body["verbs"]], [200, within.body["subject"], []]);
  },

  "rate limit": async ({ a, b }) => {
    const take = (node: Node, name: string) =>
      node.ask("POST", `/v1/locks/${name}`, { json: { ttlMs: LONG_MS }, as: "many" });
    const held = await take(a, "rate");
    assertEquals(held.status, 200);
    const operations = Array.from({ length: BATCH_MAX_OPERATIONS }, () => ({ method: "GET", path: "/v1/status" }));
    // Each process of a node counts by itself, and who gets a request is chance: three times what all of them allow.
    const enough = ISOLATES === 1 ? BURST : 3 * ISOLATES * BURST;
    for (let asked = 0; asked <= enough; asked += operations.length) await batch(a, operations, "many");
    // What came back meanwhile goes first.
    const { headers, body } = await until(() => take(a, "rate-2"), ({ status }) => status === 429);
    assertEquals(body["code"], "rate-limited");
    assertGreater(Number(headers.get("retry-after")), 0);
    // It is a bound of one subject at one process, and a lock is never lost to it.
    assertEquals((await take(b, "rate-3")).status, 200);
    const path = `/v1/locks/rate/${held.body["fence"]}`;
    assertEquals((await a.ask("PUT", path, { as: "many" })).status, 200);
    assertEquals((await a.ask("DELETE", path, { as: "many" })).body["outcome"], "released");
    await a.said(200, "GET", "/v1/locks/rate");
  },

  "status": async ({ a, b }) => {
    const known = [];
    for (const node of [a, b]) {
      for (const path of ["/livez", "/healthz"]) assertEquals(await node.said(200, "GET", path), { ok: true });
      assertEquals(await node.said(200, "GET", "/readyz"), { ready: true });
      const { id, voting, members, cluster } = await node.said(200, "GET", "/v1/status");
      assert(voting === true);
      assertEquals((members as readonly Json[]).map((member) => member["id"]), ["a", "b", "c"]);
      known.push([id, cluster]);
    }
    assertEquals(known.map(([id]) => id), ["a", "b"]);
    assertEquals(known[0]?.[1], known[1]?.[1]);
  },

  "backup": async ({ a, b }) => {
    await a.said(200, "PUT", "/v1/kv/backed-up", "x");
    const { items } = await b.said(200, "GET", "/v1/backup?after=kv%2Fbacked-u");
    assertEquals((items as readonly Json[])[0]?.["key"], "kv/backed-up");
    await a.said(200, "GET", "/v1/backup?after=session%2Fz");
  },

  "end of an upgrade": async ({ a, b }) => {
    const { machine } = await a.said(200, "POST", "/v1/raise");
    // This node, or another of its processes, may not have heard of it before it is asked.
    const told = await until(() => b.said(200, "POST", "/v1/raise"), ({ before }) => before === machine);
    assertEquals(told, { machine, before: machine });
    const refused = await b.ask("POST", "/v1/raise", { as: "other" });
    assertEquals([refused.status, refused.body["code"]], [403, "forbidden"]);
  },

  "repair": async ({ a, b }) => {
    await a.said(200, "POST", "/v1/locks/sound", { holder: "me", ttlMs: LONG_MS });
    assertEquals((await b.said(200, "GET", "/v1/repair?noun=lock&name=sound"))["action"], "none");
    assertEquals((await a.said(200, "POST", "/v1/repair", { noun: "lock", name: "sound" }))["outcome"], "sound");
  },

  "members": async ({ a, b }) => {
    const { epoch, members } = await a.said(200, "GET", "/v1/members");
    assertEquals((members as readonly Json[]).map(({ id }) => id), ["a", "b", "c"]);
    assertEquals((await b.said(200, "POST", "/v1/members", { expect: epoch, members }))["outcome"], "unchanged");
    assertEquals((await a.said(412, "POST", "/v1/members", { expect: 7, members }))["epoch"], epoch);
    const refused = await b.ask("POST", "/v1/members", { json: { expect: epoch, members }, as: "other" });
    assertEquals(refused.body["code"], "forbidden");
  },

  "metrics": async ({ a, b }) => {
    for (const node of [a, b]) {
      const { status, text } = await node.ask("GET", "/metrics");
      assertEquals(status, 200);
      assert(text.includes("quorate_quorum 1"), text);
    }
  },

  "make a database a member's": async ({ a, b }) => {
    for (const [node, id] of [[a, "a"], [b, "b"]] as const) {
      const { outcome, cluster } = await node.said(200, "POST", "/v1/init", { id });
      assertEquals([outcome, typeof cluster], ["already", "string"]);
      assertEquals((await node.said(400, "POST", "/v1/init", { id: "z" }))["field"], "id");
      assertEquals((await node.ask("POST", "/v1/init", { json: { id }, as: "other" })).body["code"], "forbidden");
    }
  },

  "trace": async ({ a, b }) => {
    const { fence } = await a.said(200, "POST", "/v1/locks/trace", { ttlMs: LONG_MS });
    await b.said(200, "PUT", `/v1/locks/trace/${fence}`);
    const drawn = [];
    for (const [node, own] of [[a, "acquire"], [b, "renew"]] as const) {
      // Each process of a node draws what it sent itself.
      const { status, text } = await until(
        () => node.ask("GET", "/v1/trace/trace?format=text"),
        ({ text }) => text.includes(own),
      );
      assertEquals(status, 200);
      drawn.push(["acquire", "renew", "Accept!"].map((what) => text.includes(what)));
    }
    const kv = "/v1/trace/trace?noun=kv&format=text";
    assert(!(await b.ask("GET", kv)).text.includes("put"), "nothing yet");
    assertEquals((await b.ask("PUT", "/v1/kv/trace", { bytes: "v" })).status, 200);
    await until(() => b.ask("GET", kv), ({ text }) => text.includes("request put c1"));
    assertEquals(drawn, [[true, false, true], [false, true, true]]);
  },

  "OpenAPI document": async ({ a, b }) => {
    const [here, there] = [await a.said(200, "GET", "/openapi.json"), await b.said(200, "GET", "/openapi.json")];
    // Each names the one member that its own store may be made.
    assertEquals([here, there].map(initIds), [["a"], ["b"]]);
    const without = ({ components, ...rest }: Json) => {
      const { schemas, ...others } = components as { schemas: Json };
      const { Init: _, ...shared } = schemas;
      return { ...rest, components: { ...others, schemas: shared } };
    };
    assertEquals(without(here), without(there));
    assert(String(here["openapi"]).startsWith("3."));
    assert(Object.hasOwn(here["paths"] as Json, "/v1/locks/{name}"));
  },

  "documentation": async ({ a, b }) => {
    for (const node of [a, b]) {
      const page = await node.ask("GET", "/docs", { as: null });
      assertEquals([page.status, page.headers.get("content-type")], [200, "text/html; charset=utf-8"]);
      assert(page.text.includes("/v1/locks/{name}"));
      assert(page.headers.get("content-security-policy")?.startsWith("default-src 'none'"));
    }
  },

  "dashboard": async ({ a, b }) => {
    for (const node of [a, b]) {
      const page = await node.ask("GET", "/", { as: null, headers: { accept: "text/html" } });
      assertEquals([page.status, page.headers.get("content-type")], [200, "text/html; charset=utf-8"]);
      assertEquals((await node.ask("GET", "/", { as: null })).status, 404);
    }
  },
};
