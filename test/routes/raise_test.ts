import { assertEquals } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { QuorateError } from "../../src/errors.ts";
import { MACHINE_OF_ALL } from "../../src/version.ts";
import { withApps } from "./memory_apps.ts";
import { scripted } from "./scripted_node.ts";

const token = (name: string, ...scopes: string[]) => ({ subject: name, sha256: sha256Hex(name), scopes });
const TOKENS = parseTokens(
  JSON.stringify([token("all", "admin:*"), token("writes", "*:read,write:*"), token("part", "admin:a/*")]),
);

Deno.test("raise: it takes admin of everything; where all is raised it says so, again and again; a query that is none is refused", () =>
  withApps(3, async (apps) => {
    const raise = async (bearer?: string, query = "", method = "POST") => {
      const headers = bearer === undefined ? {} : { Authorization: `Bearer ${bearer}` };
      const answer = await apps.ask("a", `/v1/raise${query}`, { method, headers });
      return [answer.status, await answer.json()];
    };
    assertEquals((await raise())[0], 401);
    for (const bearer of ["writes", "part"]) assertEquals((await raise(bearer))[0], 403);
    for (let i = 0; i < 2; i++) {
      assertEquals(await raise("all"), [200, { machine: MACHINE_OF_ALL, before: MACHINE_OF_ALL }]);
    }
    for (const query of ["?version=4", "?timeoutMs=1", "?timeoutMs=1000&timeoutMs=1000"]) {
      assertEquals((await raise("all", query))[0], 400, query);
    }
    assertEquals((await raise("all", "", "PUT"))[0], 405);
  }, { tokens: TOKENS }));

Deno.test("raise: a node that is behind is named in the refusal", async () => {
  const more = { behind: ["b"] };
  const raise = () => Promise.reject(new QuorateError("not-upgraded", "b knows up to 3", { outcome: "none", more }));
  const { app } = scripted({ raise });
  const answer = await app.request("/v1/raise", { method: "POST" });
  const { code, detail, behind, retryable, outcome } = await answer.json();
  assertEquals([answer.status, code, detail, behind, retryable, outcome], [
    409,
    "not-upgraded",
    "b knows up to 3",
    ["b"],
    true,
    "none",
  ]);
});
