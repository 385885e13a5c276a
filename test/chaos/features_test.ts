/** The table of features in docs/api.md: each row is driven over HTTP, through two nodes, by the request it shows. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { GRANT_STEPS } from "./feature_grants.ts";
import { FeatureNodes, type Json, type Steps } from "./feature_nodes.ts";
import { REGISTER_STEPS } from "./feature_registers.ts";
import { features, isShown, requestsOf, type Sent, type Shown } from "./feature_requests.ts";
import { SERVICE_STEPS } from "./feature_service.ts";
import { SESSION_STEPS } from "./feature_sessions.ts";

const STEPS: Steps = { ...GRANT_STEPS, ...REGISTER_STEPS, ...SERVICE_STEPS, ...SESSION_STEPS };
const FEATURES = features();

Deno.test("features: each row has a step, each step a row", () => {
  assertGreater(FEATURES.length, 30);
  assertEquals(FEATURES.map(({ name }) => name).sort(), Object.keys(STEPS).sort());
});

Deno.test("real processes: every feature of docs/api.md through two nodes", async (t) => {
  const nodes = await FeatureNodes.start();
  try {
    for (const { name, requests } of FEATURES) {
      await t.step(name, async () => {
        const sent = await nodes.during(STEPS[name]!);
        assertGreater(new Set(sent.map(({ origin }) => origin)).size, 1, "through one node only");
        for (const shown of requests) {
          const { method, path } = shown;
          assert(sent.some((one) => isShown(shown, one)), `${method} ${path} as the row has it was not sent`);
        }
      });
    }
    await t.step("every route of the document is in the table", async () => {
      let published: string[] = [];
      await nodes.during(async ({ a }) => {
        published = routesOf((await a.said(200, "GET", "/openapi.json"))["paths"] as Json);
      });
      const listed = FEATURES.flatMap(({ requests }) => requests.map(routeOf));
      assertGreater(published.length, 20);
      assertEquals(published.filter((route) => !listed.includes(route)), []);
    });
  } finally {
    await nodes.stop();
  }
});

/** What one noun has, the others have too: the table shows it of one. */
function neutral(method: string, path: string): string {
  const shape = path.replace(/\{\w+\}|:\w+/g, ":").replace(/^\/v1\/(locks|elections|semaphores|kv)\b/, "/v1/NOUN");
  return `${method} ${shape}`;
}

function routeOf({ method, path }: Shown): string {
  return neutral(method, path);
}

function routesOf(paths: Json): string[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods as Json).map((method) => neutral(method.toUpperCase(), path))
  );
}

Deno.test("features: a request that differs in method, path, query, field or header is not the one that is shown", () => {
  const cell =
    '`PUT /v1/kv/:key?ttlMs=TTL&as=it` `{mode: "shared", holder}` `If-Match: "REVISION"` `Accept: text/plain`';
  const [shown, ...more] = requestsOf(cell);
  assertEquals(more, []);
  const sent: Sent = {
    origin: "http://localhost",
    method: "PUT",
    path: "/v1/kv/x?as=it&ttlMs=1&more=2",
    headers: new Headers({ "if-match": '"7"', "accept": "text/plain" }),
    body: '{"holder":"me","mode":"shared","more":1}',
  };
  assert(isShown(shown!, sent));
  const others: readonly Partial<Sent>[] = [
    { method: "POST" },
    { path: "/v1/kv/x/y?as=it&ttlMs=1" },
    { path: "/v1/kv?as=it&ttlMs=1" },
    { path: "/v1/kv/x?as=it" },
    { path: "/v1/kv/x?as=other&ttlMs=1" },
    { headers: new Headers({ "if-match": '"7"' }) },
    { headers: new Headers({ "if-match": "*", "accept": "text/plain" }) },
    { body: '{"holder":"me","mode":"exclusive"}' },
    { body: '{"mode":"shared"}' },
    { body: new Uint8Array(2) },
  ];
  for (const other of others) assert(!isShown(shown!, { ...sent, ...other }), JSON.stringify(other));
});
