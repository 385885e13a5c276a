/** /openapi.json is complete and true: generated requests get documented answers only, and who may what is as declared. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import type { AppOptions } from "../../routes/app.ts";
import type { OpenApi, Operation } from "../../routes/document.ts";
import { exampleOf, type Schema, shapeIn } from "../../routes/schema_words.ts";
import { PROBLEMS } from "../../src/http/problem.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import type { ErrorCode } from "../../src/errors.ts";
import { NodeMetrics } from "../../src/observe/node_metrics.ts";
import { SEED, seeded } from "../replica/clocks.ts";
import { answered, DocumentChecker } from "./document_checker.ts";
import { RequestGenerator } from "./generated_requests.ts";
import { type Apps, withApps } from "./memory_apps.ts";

const REQUESTS = 10_000;
const AT_ONCE = 24;
/** So that their routes are in the document too. */
const TRACED: Partial<AppOptions> = {
  members: {
    state: () => ({ cluster: "q-0123456789ab", epoch: 0, members: [] }),
    change: () => Promise.resolve("unchanged"),
  },
  trace: { events: () => [] },
  metrics: new NodeMetrics({ me: "a", version: "1", deno: "2", now: () => 0 }),
};

async function documentOf(apps: Apps): Promise<OpenApi> {
  return await (await apps.ask(apps.cluster.ids[0]!, "/openapi.json")).json();
}

function operationsOf(document: OpenApi): { path: string; method: string; operation: Operation }[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation }))
  );
}

Deno.test("document: every code has one example, of its own status and shape; every reference leads somewhere", () =>
  withApps(3, async (apps) => {
    const document = await documentOf(apps);
    const checker = new DocumentChecker(document);
    const examples = document.components["examples"] as Record<string, { value: { code: string; status: number } }>;
    assertEquals(Object.keys(examples).sort(), Object.keys(PROBLEMS).sort());
    for (const [code, { value }] of Object.entries(examples)) {
      assertEquals([value.code, value.status], [code, PROBLEMS[code as ErrorCode].status]);
      const shape = code === "held" || code === "cooling" ? "Held" : code === "led" ? "Led" : "Problem";
      assertEquals(checker.wrongIn({ schema: { $ref: `#/components/schemas/${shape}` } }, value), null, code);
    }
    let listed = 0;
    for (const { path, method, operation } of operationsOf(document)) {
      for (const [status, { content = {}, "x-codes": codes }] of Object.entries(operation.responses)) {
        if (codes === undefined) continue;
        for (const code of codes) assertEquals(`${PROBLEMS[code].status}`, status, `${method} ${path} ${code}`);
        assertEquals(Object.keys(content["application/problem+json"]!.examples!), [...codes]);
        listed += codes.length;
      }
    }
    assertGreater(listed, 50);
    // Two closed shapes together admit nothing at all.
    assert(!JSON.stringify(document).includes('"allOf"'));
    for (const [ref] of JSON.stringify(document).matchAll(/#\/components\/[^"]+/g)) {
      const found = ref.split("/").slice(1).reduce((at, key) => Object(at)[key], document as unknown);
      assert(found !== undefined, ref);
    }
  }));

Deno.test("document: every field of every shape says what it is; what is sent and told has an example that is valid", () =>
  withApps(3, async (apps) => {
    const document = await documentOf(apps);
    const checker = new DocumentChecker(document);
    const { schemas } = document.components as { schemas: Record<string, Schema> };
    const silent: string[] = [];
    const look = (where: string, { properties = {}, items, anyOf = [] }: Schema) => {
      for (const [name, field] of Object.entries(properties)) {
        if (!field.description) silent.push(`${where}.${name}`);
        look(`${where}.${name}`, field);
      }
      for (const inner of items === undefined ? anyOf : [items, ...anyOf]) look(where, inner);
    };
    for (const [name, schema] of Object.entries(schemas)) look(name, schema);
    assertEquals(silent, []);
    const lacking = new Set<string>();
    let found = 0;
    for (const { operation: { requestBody, responses } } of operationsOf(document)) {
      for (const content of [requestBody?.content, responses[200]?.content]) {
        const shape = shapeIn(content?.["application/json"]?.schema ?? {});
        if (shape === undefined) continue;
        const example = exampleOf(schemas[shape]);
        if (example === undefined) lacking.add(shape);
        else assertEquals(checker.wrongIn({ schema: { $ref: `#/components/schemas/${shape}` } }, example), null, shape);
        found++;
      }
    }
    assertGreater(found, 40);
    // What it says of itself is in operating.md.
    assertEquals([...lacking], ["NodeStatus"]);
  }));

Deno.test("document: in an answer the session is what it lives by, and nothing that is asked for", () =>
  withApps(3, async (apps) => {
    const { components } = await documentOf(apps);
    type Schema = { properties?: { session?: { description: string } } };
    const schemas = components["schemas"] as Record<string, Schema>;
    const answers = Object.entries(schemas).flatMap(([name, { properties }]) =>
      properties?.session === undefined || ["Acquire", "AcquireAll", "Campaign", "Take"].includes(name)
        ? []
        : [[name, properties.session.description]]
    );
    const said = "The session that it lives by; `ttlMs` is the session's.";
    assertEquals(
      answers.toSorted(),
      ["Grant", "KvItem", "KvWritten", "Leadership", "SemaphoreGrant"].map((name) => [name, said]),
    );
  }));

Deno.test("document: a generator that knows no wildcard finds a media type for every body", () =>
  withApps(3, async (apps) => {
    let wildcards = 0;
    const check = (where: string, content: Readonly<Record<string, unknown>>) => {
      const wild = Object.keys(content).filter((type) => type.includes("*"));
      wildcards += wild.length;
      if (wild.length > 0) assertGreater(Object.keys(content).length, wild.length, where);
    };
    for (const { path, method, operation } of operationsOf(await documentOf(apps))) {
      check(`${method} ${path}`, operation.requestBody?.content ?? {});
      for (const [status, { content }] of Object.entries(operation.responses)) {
        check(`${method} ${path} ${status}`, content ?? {});
      }
    }
    // Both doors of a register's bytes; none would be a test of nothing.
    assertEquals(wildcards, 2);
  }));

Deno.test("document: the checker complains of what is not documented", () =>
  withApps(3, async (apps) => {
    const checker = new DocumentChecker(await documentOf(apps));
    const good = await answered(await apps.ask("a", "/v1/locks/a"));
    const check = (change: Partial<typeof good>) =>
      checker.complaint("/v1/locks/{name}", "GET", { ...good, ...change });
    assertEquals(check({}), null);
    const { name: _, ...lacking } = JSON.parse(good.text);
    for (
      const change of [
        { status: 500 },
        { status: 418 },
        { contentType: "text/html" },
        { contentType: null },
        { text: JSON.stringify(lacking) },
        { text: JSON.stringify({ ...JSON.parse(good.text), more: 1 }) },
        { text: good.text.replace('"free"', '"open"') },
        { status: 304 },
        { status: 503, contentType: "application/problem+json", text: '{"code":"held","status":503}' },
      ]
    ) assert(check(change) !== null, JSON.stringify(change));

    const refused = await answered(await apps.ask("a", "/v1/locks/a?waitMs=x"));
    const complaintOf = (target: string, headers: Record<string, string> = {}, body: string | null = null) =>
      checker.complaintOf("/v1/locks/{name}", body === null ? "GET" : "POST", { target, headers, body }, refused);
    for (const target of ["/v1/locks/a", "/v1/locks/a%2Fb", "/v1/locks/a?waitMs=0", "/v1/locks/-?consistency=stale"]) {
      assert(complaintOf(target) !== null, target);
    }
    assert(complaintOf("/v1/locks/a", { "Idempotency-Key": "k" }, '{"ttlMs":1000,"session":null}') === null);
    assert(complaintOf("/v1/locks/a", { "Idempotency-Key": "k" }, '{"ttlMs":1000}') !== null);
    const forbidden = [
      "a?waitMs=x",
      "a?waitMs=-1",
      "a?name=b",
      "a?x=1",
      "%00",
      "a%2F",
      "%2Fa",
      "a%2F..%2Fb",
      "events",
      "%FF",
    ];
    for (const rest of [...forbidden, `${"%C3%A9".repeat(257)}`, "a?waitMs=0&waitMs=0"]) {
      assertEquals(complaintOf(`/v1/locks/${rest}`), null, rest);
    }
    assertEquals(complaintOf("/v1/locks/a", { "Quorate-Hedge": "0" }), null);
    assertEquals(complaintOf("/v1/locks/a", {}, '{"holder":"\\u0000"}'), null);
  }));

Deno.test(`document: ${REQUESTS} generated requests, no answer outside it, and nothing refused that it allows`, () =>
  withApps(3, async (apps) => {
    const document = await documentOf(apps);
    const checker = new DocumentChecker(document);
    const generator = new RequestGenerator(document, seeded(SEED));
    const statuses: Record<number, number> = {};
    const seen = new Set<string>();
    let allowed = 0;
    let left = REQUESTS;
    const work = async () => {
      while (left-- > 0) {
        const { path, method, target, headers, body } = generator.next();
        const id = apps.cluster.ids[left % 3]!;
        const response = await apps.ask(id, target, { method, headers: printable(headers), body });
        const answer = await answered(response);
        const what = `${method} ${target} ${JSON.stringify(headers)} ${body?.slice(0, 200)} (seed ${SEED})`;
        assertEquals(
          checker.complaintOf(path, method, { target, headers: printable(headers), body }, answer),
          null,
          what,
        );
        if (checker.allows(path, method, { target, headers, body })) allowed++;
        statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
        seen.add(`${method} ${path} ${answer.status}`);
        if (answer.status === 200 && method === "POST" && answer.text.startsWith('{"name"')) {
          generator.granted(path, JSON.parse(answer.text));
        }
        if (answer.status === 200 && path === "/v1/sessions") generator.opened(JSON.parse(answer.text).id);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    console.log(`${REQUESTS} generated requests by status: ${JSON.stringify(statuses)}`);
    assertEquals(apps.reports, []);
    assertGreater(allowed, REQUESTS / 3, "of many it is asked whether they are taken");
    // A generator that only ever hits one wall would prove little.
    for (const { path, method } of operationsOf(document)) {
      assert(seen.has(`${method} ${path} 200`), `${method} ${path}`);
    }
    // Nobody guesses a tag.
    const tag = (await apps.ask("a", "/v1/kv/known", { method: "PUT", body: "x" })).headers.get("etag")!;
    const same = await answered(await apps.ask("a", "/v1/kv/known", { headers: { "If-None-Match": tag } }));
    assertEquals([same.status, checker.complaint("/v1/kv/{key}", "GET", same)], [304, null]);
    for (const status of [200, 400, 404, 409, 410, 413, 422]) assertGreater(statuses[status] ?? 0, 0, `${status}`);
  }, TRACED));

Deno.test("document: without a quorum too, nothing but what it says", () =>
  withApps(3, async (apps) => {
    const document = await documentOf(apps);
    const checker = new DocumentChecker(document);
    const generator = new RequestGenerator(document, seeded(SEED + 1));
    // Lost in silence: of what is sent before that is known the outcome is not.
    for (const peer of ["b", "c"]) apps.cluster.network.cut("a", peer);
    const statuses: Record<number, number> = {};
    const all = Array.from({ length: 300 }, async () => {
      const { path, method, target, headers, body } = generator.next();
      const bounded = target.startsWith("/v1/") && !target.includes("timeoutMs") && !target.startsWith("/v1/batch")
        ? `${target}${target.includes("?") ? "&" : "?"}timeoutMs=100`
        : target;
      const response = await apps.ask("a", bounded, { method, headers: printable(headers), body });
      const answer = await answered(response);
      const asked = { target: bounded, headers: printable(headers), body };
      assertEquals(
        checker.complaintOf(path, method, asked, answer),
        null,
        `${method} ${bounded} ${JSON.stringify(headers)}`,
      );
      statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
    });
    await Promise.all(all);
    for (const status of [503, 504]) assertGreater(statuses[status] ?? 0, 0, JSON.stringify(statuses));
  }));

/** What `Headers` takes: the rest can be sent only over a socket. */
function printable(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, value.replaceAll(/[^\x20-\xff]/g, "")]),
  );
}

const NOUNS = ["lock", "election", "semaphore", "kv", "session"];
const VERBS = ["read", "write", "admin"];
/** The ids of sessions are the server's, so nobody has some of them. */
const patternOf = (noun: string, pattern: string) =>
  ["session", "metrics"].includes(noun) && pattern === "mine/*" ? "*" : pattern;
const ROLES = [...NOUNS.flatMap((noun) => VERBS.map((verb) => `${noun}:${verb}`)), "metrics:read"];
/** What is about no name nobody has a part of. */
const scopesOf = (pattern: string, but: string | null) =>
  ROLES.filter((role) => role !== but && (role !== "metrics:read" || pattern === "mine/*"))
    .map((role) => `${role}:${patternOf(role.split(":")[0]!, pattern)}`);
const TOKENS = parseTokens(JSON.stringify([
  { name: "other", scopes: scopesOf("other/*", null) },
  { name: "right", scopes: scopesOf("mine/*", null) },
  { name: "everything", scopes: ["admin:*"] },
  ...ROLES.map((role) => ({ name: `just ${role}`, scopes: [`${role}:${patternOf(role.split(":")[0]!, "mine/*")}`] })),
  ...ROLES.map((role) => ({ name: `all but ${role}`, scopes: scopesOf("mine/*", role) })),
].map(({ name, scopes }) => ({ subject: "s", sha256: sha256Hex(tokenOf(name)), scopes }))));

/** The request itself, of a body that says which names it is about. */
function about(body: unknown): unknown {
  // To bind to a session takes a right to that besides.
  const { names, session: _, ...rest } = Object(body);
  return Array.isArray(names) ? { names: ["mine/z"] } : rest;
}

function tokenOf(name: string): string {
  return `token-${name.replaceAll(/[ :]/g, "-")}`;
}

Deno.test("document: who may what is as declared, for every route and kind of credential", () =>
  withApps(3, async (apps) => {
    const document = await documentOf(apps);
    const generator = new RequestGenerator(document, seeded(SEED));
    const ask = async (path: string, method: string, operation: Operation, token: string | null) => {
      const schema = operation.requestBody?.content["application/json"]?.schema;
      const query = operation.parameters?.some(({ name }) => name === "prefix") ? "?prefix=mine%2F" : "";
      const response = await apps.ask(
        "b",
        path.replace(/\{(name|key)\}/, "mine%2Fx").replace("{id}", "0".repeat(32)).replace(/\{(fence|term)\}/, "1") +
          query,
        {
          method,
          headers: token === null ? {} : { authorization: `Bearer ${tokenOf(token)}` },
          body: schema === undefined ? null : JSON.stringify(about(generator.valueOf(schema))),
        },
      );
      const answer = await answered(response);
      const code = /json/.test(answer.contentType ?? "") ? Object(JSON.parse(answer.text)).code : undefined;
      return { ...answer, code: code as string | undefined };
    };
    for (const [method, noun] of [["POST", "locks"], ["POST", "elections"], ["POST", "semaphores"], ["PUT", "kv"]]) {
      const made = await apps.ask("a", `/v1/${noun}/mine%2Fy`, {
        method: method!,
        headers: { authorization: `Bearer ${tokenOf("right")}` },
        body: noun === "semaphores" ? '{"limit":1}' : null,
      });
      assertEquals(made.status, 200);
    }

    const expected: string[] = [];
    const actual: string[] = [];
    for (const { path, method, operation } of operationsOf(document)) {
      const { security } = operation;
      const isPublic = security?.length === 0;
      const [role] = (security ?? []).flatMap(({ bearer = [] }) => bearer);
      const isFiltered = operation["x-filtered-by-scope"] === true;
      const expect = async (token: string | null, outcome: "in" | "401" | "403" | "in, shows nothing") => {
        const { status, code, text } = await ask(path, method, operation, token);
        const refused = code === "unauthenticated" ? "401" : code === "forbidden" ? "403" : "in";
        const said = refused === "in" && isFiltered && !text.includes("mine/y") && !text.includes('{"prefix"')
          ? "in, shows nothing"
          : refused;
        expected.push(`${method} ${path} as ${token}: ${outcome}`);
        actual.push(`${method} ${path} as ${token}: ${said}`);
        if (refused !== "in") assertEquals(`${status}`, refused);
      };
      for (const token of [null, "wrong"]) await expect(token, isPublic ? "in" : "401");
      // What is about no noun takes a scope of all of them.
      if (role?.startsWith("*:") === true) {
        await expect("everything", "in");
        for (const token of ["right", "other"]) await expect(token, "403");
        continue;
      }
      await expect("right", "in");
      const other = role === undefined ? "in" : isFiltered ? "in, shows nothing" : "403";
      // A stream of what one may not see begins all the same: with a resync, which tells nothing.
      await expect("other", path.endsWith("/events") && isFiltered ? "in" : other);
      if (role === undefined) continue;
      await expect(`just ${role}`, "in");
      await expect(`all but ${role}`, "403");
    }
    assertEquals(actual, expected);
    assertGreater(actual.length, 50);
  }, { ...TRACED, tokens: TOKENS }));
