/** Requests to nouns for tests: JSON in, status, body and headers out. */
import { assertEquals } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import type { Apps } from "./memory_apps.ts";
import type { Json } from "./scripted_node.ts";

export type Told = { readonly status: number; readonly body: Json; readonly headers: Headers };

export async function tell(
  apps: Apps,
  id: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Told> {
  const text = body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body);
  const response = await apps.ask(id, path, { method, headers, body: text });
  const said = await response.text();
  return { status: response.status, body: said === "" ? null : JSON.parse(said), headers: response.headers };
}

/** What is wrong, at every node, and that it is told by field. */
export type Bad = readonly [
  method: string,
  path: string,
  body: unknown,
  field: string,
  headers?: Record<string, string>,
];

export async function refuseAll(apps: Apps, cases: readonly Bad[]): Promise<void> {
  for (const [method, path, body, field, headers] of cases) {
    for (const id of ["a", "c"]) {
      const { status, body: said } = await tell(apps, id, method, path, body, headers);
      const what = `${method} ${path} ${JSON.stringify(body)?.slice(0, 80)} ${JSON.stringify(headers)}`;
      assertEquals([status, said.code, said.field], [400, "invalid-request", field], what);
    }
  }
}

/** `ours` may read and write everything below `mine/`, `reader` only read there. */
export function tokensFor(noun: string) {
  return parseTokens(JSON.stringify([
    { subject: "us", sha256: sha256Hex("ours"), scopes: [`${noun}:read,write:mine/*`] },
    { subject: "reader", sha256: sha256Hex("reader"), scopes: [`${noun}:read:mine/*`] },
    { subject: "other", sha256: sha256Hex("other-noun"), scopes: ["session:read,write:*"] },
    { subject: "root", sha256: sha256Hex("admin"), scopes: ["admin:*"] },
  ]));
}

/** Each request with no credential, a wrong one, one of another noun and one of another prefix; 401 or 403, and nothing done. */
export async function matrix(
  apps: Apps,
  requests: readonly (readonly [method: string, path: string, body: unknown, verb: "read" | "write" | "admin"])[],
): Promise<void> {
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  for (const [method, path, body, verb] of requests) {
    const status = async (headers: Record<string, string>, at = path) =>
      (await tell(apps, "a", method, at, body, headers)).status;
    const what = `${method} ${path}`;
    assertEquals([await status({}), await status(bearer("wrong"))], [401, 401], what);
    assertEquals(await status(bearer("other-noun")), 403, what);
    const theirs = await tell(apps, "a", method, path.replace("mine", "theirs"), body, bearer("ours"));
    // A listing shows nothing of what one may not see, and says no more.
    if (path.includes("?prefix=")) assertEquals(theirs.body, { items: [], cursor: null }, what);
    else assertEquals(theirs.status, 403, what);
    const allowed = async (token: string) => ![401, 403].includes(await status(bearer(token)));
    assertEquals(
      [await allowed("ours"), await allowed("reader"), await allowed("admin")],
      [verb !== "admin", verb === "read", verb === "admin"],
      what,
    );
  }
}
