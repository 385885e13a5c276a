import { assertEquals } from "@std/assert";
import type { MembersService } from "../../routes/members.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import type { MembersState } from "../../src/api.ts";
import { QuorateError } from "../../src/errors.ts";
import { BODY_MAX_BYTES } from "../../src/limits.ts";
import { epochOf } from "../epochs/samples.ts";
import { scripted } from "./scripted_node.ts";

const { members } = epochOf(0, "abd");
const STATE: MembersState = {
  cluster: "q-0123456789ab",
  epoch: 1,
  members: [...members],
  changing: { from: 0, to: 1, sealed: 2, of: 3, moved: 7, total: null, spare: 0 },
};
const token = (name: string, ...scopes: string[]) => ({ subject: name, sha256: sha256Hex(name), scopes });
const TOKENS = parseTokens(
  JSON.stringify([token("all", "admin:*"), token("reads", "*:read,write:*"), token("part", "admin:a/*")]),
);

function standing(
  change: MembersService["change"] = () => Promise.resolve("changed"),
  tokens: typeof TOKENS | null = null,
) {
  const asked: unknown[] = [];
  const node = scripted({}, {
    tokens,
    members: {
      state: () => STATE,
      change: (...args) => {
        asked.push(args);
        return change(...args);
      },
    },
  });
  const ask = async (init: RequestInit = {}, query = "", bearer?: string) => {
    const headers = bearer === undefined ? {} : { Authorization: `Bearer ${bearer}` };
    const response = await node.app.request(`/v1/members${query}`, { headers, ...init });
    return { status: response.status, body: await response.json() };
  };
  return { ...node, asked, ask };
}

const BODY = { expect: 0, members };
const post = (body: unknown): RequestInit => ({
  method: "POST",
  body: typeof body === "string" ? body : JSON.stringify(body),
});

Deno.test("members: who they are, and how far names are that have to move", async () => {
  assertEquals(await standing().ask(), { status: 200, body: STATE });
});

Deno.test("members: a change is handed on as it was asked for, and answered with what the members are then", async () => {
  const node = standing();
  assertEquals(await node.ask(post(BODY), "?timeoutMs=7000"), { status: 200, body: { outcome: "changed", ...STATE } });
  assertEquals(node.asked, [[BODY, 7_000]]);
  const again = await standing(() => Promise.resolve("unchanged")).ask(post(BODY));
  assertEquals([again.status, again.body.outcome], [200, "unchanged"]);
});

Deno.test("members: why not is told, with the epoch that is in force", async () => {
  const refused = async (error: QuorateError) => await standing(() => Promise.reject(error)).ask(post(BODY));
  const other = await refused(new QuorateError("precondition-failed", "x", { more: { epoch: 4 } }));
  assertEquals([other.status, other.body.code, other.body.epoch], [412, "precondition-failed", 4]);
  const moving = await refused(new QuorateError("not-ready", "names move"));
  assertEquals([moving.status, moving.body.detail, moving.body.retryable], [503, "names move", true]);
});

Deno.test("members: they take admin of everything", async () => {
  const node = standing(undefined, TOKENS);
  for (const init of [{}, post(BODY)]) {
    assertEquals((await node.ask(init)).status, 401);
    const withToken = async (bearer: string) =>
      (await node.ask({ ...init, headers: { Authorization: `Bearer ${bearer}` } })).status;
    for (const bearer of ["reads", "part"]) assertEquals(await withToken(bearer), 403, bearer);
    assertEquals(await withToken("all"), 200);
  }
  assertEquals(node.asked.length, 1);
});

Deno.test("members: what is malformed or too large is refused, and nothing is asked of the members", async () => {
  const node = standing();
  const one = members[0]!;
  const bad: readonly (readonly [unknown, string])[] = [
    ["{", "body"],
    ["[]", "body"],
    [{ members }, "expect"],
    [{ expect: 0 }, "members"],
    [{ ...BODY, expect: -1 }, "expect"],
    [{ ...BODY, expect: 0.5 }, "expect"],
    [{ ...BODY, expect: "0" }, "expect"],
    [{ ...BODY, more: 1 }, "more"],
    [{ ...BODY, members: [] }, "members"],
    [{ ...BODY, members: Array.from({ length: 10 }, () => one) }, "members"],
    [{ ...BODY, members: [{ ...one, id: "A" }] }, "members.0.id"],
    [{ ...BODY, members: [{ ...one, id: "" }] }, "members.0.id"],
    [{ ...BODY, members: [{ ...one, id: "\ud800" }] }, "members.0.id"],
    [{ ...BODY, members: [{ ...one, url: "http://x/y" }] }, "members.0.url"],
    [{ ...BODY, members: [{ ...one, url: "http://u:p@x" }] }, "members.0.url"],
    [{ ...BODY, members: [{ ...one, url: "x" }] }, "members.0.url"],
    [{ ...BODY, members: [{ ...one, more: 1 }] }, "more"],
    [{ ...BODY, members: ["a"] }, "members.0"],
  ];
  for (const [body, field] of bad) {
    const { status, body: problem } = await node.ask(post(body));
    assertEquals([status, problem.field], [400, field], JSON.stringify(body));
  }
  assertEquals((await node.ask(post(`{"expect":0${" ".repeat(BODY_MAX_BYTES)}}`))).status, 413);
  for (const query of ["?x=1", "?timeoutMs=1", "?timeoutMs=5000&timeoutMs=5000"]) {
    assertEquals((await node.ask(post(BODY), query)).status, 400, query);
  }
  assertEquals((await node.ask({}, "?x=1")).status, 400);
  assertEquals(node.asked, []);
});
