/** What a gateway counts, and who may read it. */
import { assert, assertEquals } from "@std/assert";
import { GatewayMetrics } from "../../src/observe/gateway_metrics.ts";
import {
  grant,
  nobody,
  problem,
  type Rig,
  type Scripted,
  scriptedNode,
  withGateway,
} from "../client/scripted_nodes.ts";
import { type Scraped, scraped, sumOf } from "./exposition.ts";
import { page, quoted, tableRows } from "../pages.ts";

const TOKEN = { authorization: "Bearer may-read" };

/** Answers for its own metrics as a node with tokens does. */
function node(answer: () => Response = () => grant({})): Scripted {
  return scriptedNode(({ target, headers }) => {
    if (target !== "/metrics") return answer();
    const token = headers.get("authorization");
    if (token === null) return new Response(null, { status: 401 });
    return new Response(null, { status: token === TOKEN.authorization ? 200 : 403 });
  });
}

async function withMetrics(nodes: readonly Scripted[], run: (rig: Rig) => Promise<void>): Promise<void> {
  const meter = new GatewayMetrics({ version: "1.2.3", deno: "2.9.6" });
  await withGateway(nodes, run, { meter });
}

async function scrape({ ask }: Rig): Promise<Scraped> {
  const response = await ask("GET", "/metrics", { headers: TOKEN });
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  return scraped(await response.text());
}

async function statusOf({ ask }: Rig, method: string, headers: Record<string, string> = {}): Promise<number> {
  const response = await ask(method, "/metrics", { headers });
  await response.body?.cancel();
  return response.status;
}

Deno.test("gateway metrics: requests by status, refusals, unknown outcomes and each node's failures, without a name", async () => {
  const [dead, alive] = [nobody(), node()];
  await withMetrics([dead, alive], async (rig) => {
    const take = async (method: string, path: string, init: RequestInit = {}) => {
      const response = await rig.ask(method, path, init);
      await response.body?.cancel();
      return response.status;
    };
    assertEquals(await take("POST", "/v1/locks/hidden", { body: "{}" }), 200);
    assertEquals(await take("MADEUP", "/v1/locks/hidden"), 200);
    assertEquals(await take("GET", "/hidden"), 404);
    const found = await scrape(rig);
    const count = "quorate_gateway_request_duration_seconds_count";
    assertEquals(sumOf(found, count, 'method="POST"', 'code="200"'), 1);
    assertEquals(sumOf(found, count, 'method="other"', 'code="200"'), 1);
    assertEquals(sumOf(found, count), 2, "what is under no route is refused, and no request to any node");
    assertEquals(sumOf(found, "quorate_gateway_refused_total", 'code="no-route"'), 1);
    assertEquals(sumOf(found, "quorate_gateway_node_failures_total", dead.url), 1);
    assertEquals(sumOf(found, "quorate_gateway_node_failures_total", alive.url), 0);
    assertEquals(sumOf(found, "quorate_gateway_node_requests_total", alive.url), 2);
    assertEquals(sumOf(found, "quorate_gateway_node_up", dead.url), 0);
    assertEquals(sumOf(found, "quorate_gateway_node_up", alive.url), 1);
    assertEquals(sumOf(found, "quorate_gateway_outcome_unknown_total"), 0);
    assertEquals(found.samples.get('quorate_build_info{version="1.2.3",deno="2.9.6"}'), 1);
    assert([...found.samples.keys()].every((sample) => !sample.includes("hidden") && !sample.includes("MADEUP")));
  });
  const unsure = node(() => problem(504, "outcome-unknown", { outcome: "unknown" }));
  await withMetrics([unsure], async (rig) => {
    const response = await rig.ask("POST", "/v1/locks/hidden", { body: "{}" });
    assertEquals(response.status, 504);
    await response.body?.cancel();
    assertEquals(sumOf(await scrape(rig), "quorate_gateway_outcome_unknown_total"), 1);
  });
});

Deno.test("gateway metrics: who may read a node's may read them, also while no node answers", async () => {
  const only = node();
  await withMetrics([only], async (rig) => {
    assertEquals(await statusOf(rig, "GET"), 401);
    assertEquals(await statusOf(rig, "GET", { authorization: "Bearer other" }), 403);
    assertEquals(await statusOf(rig, "POST", TOKEN), 405);
    assertEquals(await statusOf(rig, "HEAD", TOKEN), 200);
    const page = { ...TOKEN, origin: "https://evil.example" };
    assertEquals(await statusOf(rig, "GET", page), 403, "a page may read nothing before nodes on loopback");
    await only.close();
    assertEquals(await statusOf(rig, "GET", TOKEN), 200);
    assertEquals(await statusOf(rig, "GET", { authorization: "Bearer other" }), 503);
    assertEquals(await statusOf(rig, "GET"), 503);
  });
  // Without a word of what it counts there is none, as before.
  await withGateway([node()], async (rig) => assertEquals(await statusOf(rig, "GET", TOKEN), 404));
});

Deno.test("gateway metrics: whoever was let in is out once a node says so", async () => {
  let isGood = true;
  const only = scriptedNode(() => new Response(null, { status: isGood ? 200 : 401 }));
  await withMetrics([only], async (rig) => {
    assertEquals(await statusOf(rig, "GET", TOKEN), 200);
    isGood = false;
    assertEquals(await statusOf(rig, "GET", TOKEN), 401);
    await only.close();
    assertEquals(await statusOf(rig, "GET", TOKEN), 503);
  });
});

Deno.test("gateway metrics: docs/metrics.md has each of them once, in order, with its labels", () => {
  const meter = new GatewayMetrics({ version: "1", deno: "2" });
  meter.answered("GET", 200, 1);
  meter.refused("no-route", true);
  const { families, samples } = scraped(meter.text(new Map([["http://a", 1]])));
  const [, ...rows] = tableRows(page("docs/metrics.md").split("\n## A gateway's\n")[1]!.split("\n## ")[0]!);
  assertEquals(rows.map(([name]) => quoted(name!)[0]), [...families.keys()]);
  for (const [name, labels] of rows) {
    const sample = [...samples.keys()].find((one) => one.startsWith(`${quoted(name!)[0]}`))!;
    const known = [...sample.matchAll(/(\w+)="/g)].map(([, label]) => label!).filter((label) => label !== "le");
    assertEquals(quoted(labels!), known, name);
  }
});
