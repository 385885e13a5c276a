/** GET /v1/access: what a token may do to one name, and to nobody else's business. */
import { assertEquals } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { scripted } from "./scripted_node.ts";

const TOKENS = parseTokens(JSON.stringify([
  {
    subject: "ci",
    sha256: sha256Hex("c".repeat(16)),
    scopes: ["lock:read:*", "lock:write:deploy/*", "admin:deploy/api"],
  },
]));

Deno.test("access: the verbs that the scopes cover, name by name", async () => {
  const { app, calls } = scripted({}, { tokens: TOKENS });
  const verbs = async (noun: string, name: string) => {
    const headers = { authorization: `Bearer ${"c".repeat(16)}` };
    const response = await app.request(`/v1/access?${new URLSearchParams({ noun, name })}`, { headers });
    const { subject, verbs } = await response.json();
    assertEquals([response.status, subject], [200, "ci"]);
    return verbs;
  };
  assertEquals(await verbs("lock", "other"), ["read"]);
  assertEquals(await verbs("lock", "deploy/web"), ["read", "write"]);
  assertEquals(await verbs("lock", "deploy/api"), ["read", "write", "admin"]);
  assertEquals(await verbs("kv", "deploy/api"), ["admin"]);
  assertEquals(await verbs("kv", "x"), []);
  assertEquals(calls, []);
});

Deno.test("access: without a name it tells what is allowed whatever the name; metrics have none", async () => {
  const tokens = parseTokens(JSON.stringify([
    { subject: "ops", sha256: sha256Hex("o".repeat(16)), scopes: ["lock:read:*", "lock:write:a/*", "metrics:read:*"] },
  ]));
  const { app } = scripted({}, { tokens });
  const verbs = async (query: string) => {
    const headers = { authorization: `Bearer ${"o".repeat(16)}` };
    return (await (await app.request(`/v1/access?${query}`, { headers })).json()).verbs;
  };
  assertEquals(await verbs("noun=lock"), ["read"]);
  assertEquals(await verbs("noun=metrics"), ["read"]);
  assertEquals(await verbs("noun=kv"), []);
});

Deno.test("access: without tokens everything is allowed; without a known one nothing is told", async () => {
  const open = await scripted().app.request("/v1/access?noun=kv&name=x", { headers: { host: "localhost" } });
  assertEquals(await open.json(), { subject: "local", verbs: ["read", "write", "admin"] });
  const { app } = scripted({}, { tokens: TOKENS });
  assertEquals((await app.request("/v1/access?noun=kv&name=x")).status, 401);
});

Deno.test("access: what is no noun or no name is refused by its field", async () => {
  const { app } = scripted();
  for (
    const [query, field] of [
      ["", "noun"],
      ["noun=locks&name=x", "noun"],
      ["noun=lock&name=", "name"],
      ["noun=lock&name=%00", "name"],
      [`noun=lock&name=${"x".repeat(513)}`, "name"],
      ["noun=lock&name=x&name=y", "name"],
      ["noun=lock&name=x&more=1", "more"],
    ] as const
  ) {
    const response = await app.request(`/v1/access?${query}`);
    const { code, field: named } = await response.json();
    assertEquals([response.status, code, named], [400, "invalid-request", field], query);
  }
});
