import { assert, assertEquals } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseScope } from "../../src/auth/scopes.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { QuorateError } from "../../src/errors.ts";
import { EVENTS_BEHIND_MAX } from "../../src/limits.ts";
import { NodeMetrics } from "../../src/observe/node_metrics.ts";
import { scraped, sumOf } from "../observe/exposition.ts";
import { KeyLog } from "../machine/key_log.ts";
import { page, quoted, tableRows } from "../pages.ts";
import { until } from "../replica/clocks.ts";
import { withApps } from "./memory_apps.ts";
import { scripted } from "./scripted_node.ts";

const metricsOf = () => new NodeMetrics({ me: "a", version: "1.2.3", deno: "2.9.6", now: () => 0 });

async function scrape(ask: (path: string) => Response | Promise<Response>) {
  const response = await ask("/metrics");
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  return scraped(await response.text());
}

Deno.test("metrics: requests by route, method and status, refusals by code, without a name in any label", async () => {
  const { app } = scripted({}, { metrics: metricsOf(), rate: { perSecond: 1, burst: 2 } });
  const ask = (path: string, init?: RequestInit) => app.request(`http://localhost${path}`, init);
  await ask("/v1/locks/hidden-name", { method: "POST", body: "{}" });
  await ask("/v1/locks/hidden-name", { method: "POST", body: '{"x":' });
  await ask("/v1/locks/hidden-name");
  await ask("/nowhere/hidden-name");
  await ask("/v1/locks/hidden-name", { method: "PATCH" });
  const found = await scrape(ask);
  const count = "quorate_request_duration_seconds_count";
  const route = 'route="/v1/locks/{name}"';
  assertEquals(sumOf(found, count, route, 'method="POST"', 'code="200"'), 1);
  assertEquals(sumOf(found, count, route, 'method="POST"', 'code="400"'), 1);
  assertEquals(sumOf(found, count, 'route="none"', 'code="404"'), 1);
  assertEquals(sumOf(found, "quorate_refused_total", 'code="invalid-request"'), 1);
  assertEquals(sumOf(found, "quorate_refused_total", 'code="no-route"'), 1);
  assert(sumOf(found, "quorate_refused_total", 'code="rate-limited"') > 0);
  assertEquals(
    sumOf(found, "quorate_rate_limited_total"),
    sumOf(found, "quorate_refused_total", 'code="rate-limited"'),
  );
  assertEquals(found.samples.get('quorate_build_info{version="1.2.3",deno="2.9.6"}'), 1);
  assert([...found.samples.keys()].every((sample) => !sample.includes("hidden")));
  assert(!(await scrape(ask)).samples.has("quorate_store_size_bytes"), "it has no file");
});

Deno.test("metrics: made-up methods and paths make no series of their own", async () => {
  const { app } = scripted({}, { metrics: metricsOf() });
  for (let i = 0; i < 200; i++) await app.request(`http://localhost/x${i}`, { method: `M${i}` });
  const found = await scrape((path) => app.request(`http://localhost${path}`));
  const counts = [...found.samples.keys()].filter((sample) =>
    sample.startsWith("quorate_request_duration_seconds_count")
  );
  assertEquals(counts, ['quorate_request_duration_seconds_count{route="none",method="other",code="404"}']);
});

Deno.test("metrics: a fault, an unknown outcome, quorum and store are told", async () => {
  const fail = () => {
    throw new Error("a fault of this test");
  };
  const status = { id: "a", members: [{ id: "a", reachable: true }, { id: "b", reachable: false }], voting: false };
  const checks = [{ name: "store", fault: "the disk is full" }, { name: "quorum", fault: "only 1 of 3" }];
  const { app, reports } = scripted(
    { acquire: fail, get: fail, checks, status: { ...status, stopped: { count: 3, names: [] } } },
    { metrics: metricsOf() },
  );
  const ask = (path: string, method = "GET") => app.request(`http://localhost${path}`, { method });
  assertEquals((await ask("/v1/locks/a", "POST")).status, 500);
  assertEquals((await ask("/v1/locks/a")).status, 500);
  assertEquals(reports.length, 2);
  const found = await scrape(ask);
  // Only of the write it is not known what became of it.
  assertEquals(sumOf(found, "quorate_outcome_unknown_total"), 1);
  assertEquals(sumOf(found, "quorate_refused_total", 'code="internal"'), 2);
  const gauges = ["quorum", "voting", "store_failing", "stopped_names"];
  assertEquals(gauges.map((name) => found.samples.get(`quorate_${name}`)), [0, 0, 1, 3]);
  assertEquals([...found.samples].filter(([name]) => name.startsWith("quorate_peer_up")), [
    ['quorate_peer_up{peer="b"}', 0],
  ]);
});

Deno.test("metrics: streams that are open, and those cut off as their readers fell behind", async () => {
  const metrics = metricsOf();
  const lines: string[] = [];
  await withApps(1, async (apps) => {
    const stream = await apps.ask("a", "/v1/kv/x/events");
    const found = () => scrape((path) => apps.ask("a", path));
    assertEquals(sumOf(await found(), "quorate_streams"), 1);
    for (let i = 0; i < EVENTS_BEHIND_MAX + 8; i++) {
      await (await apps.ask("a", "/v1/kv/x", { method: "PUT", body: `${i}` })).body?.cancel();
    }
    await until("it is cut off", async () => sumOf(await found(), "quorate_streams_cut_total") === 1);
    assertEquals(sumOf(await found(), "quorate_streams"), 0);
    await stream.text().catch(() => {});
    assertEquals(lines, ["1 streams cut off since it was last said: their readers fell behind"]);
  }, { metrics, tell: (line) => lines.push(line) });
});

const TOKENS = parseTokens(JSON.stringify(
  ["metrics:read:*", "*:read:*", "lock:read,write,admin:*", "admin:*", "*:write:*"].map((scope) => ({
    subject: scope,
    sha256: sha256Hex(scope),
    scopes: [scope],
  })),
));

Deno.test("metrics: with tokens it takes one that may read them, and then no other right comes with it", async () => {
  const { app, calls } = scripted({}, { metrics: metricsOf(), tokens: TOKENS });
  const ask = async (path: string, token?: string, init: RequestInit = {}) => {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const response = await app.request(`http://localhost${path}`, { ...init, headers });
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await ask("/metrics"), 401);
  assertEquals(await ask("/metrics", "unknown"), 401);
  for (const token of ["lock:read,write,admin:*", "admin:*", "*:write:*"]) {
    assertEquals(await ask("/metrics", token), 403);
  }
  assertEquals(calls, [], "who may not is asked of nobody");
  for (const token of ["metrics:read:*", "*:read:*"]) assertEquals(await ask("/metrics", token), 200);
  assertEquals(await ask("/metrics?x=1", "metrics:read:*"), 400);
  assertEquals(await ask("/v1/locks/a", "metrics:read:*"), 403);
  assertEquals(parseScope("metrics:read:*", "x").noun, "metrics");
  for (const bad of ["metrics:write:*", "metrics:read:a", "metrics", "metrics:read,admin:*"]) {
    let said = "";
    try {
      parseScope(bad, "field");
    } catch (error) {
      said = (error as Error).message;
    }
    assert(said.includes('there is "metrics:read:*" alone'), `${bad}: ${said}`);
  }
});

Deno.test("metrics: without tokens a web page may not read them, and a node that counts nothing has none", async () => {
  const { app } = scripted({}, { metrics: metricsOf() });
  const page = await app.request("http://localhost/metrics", { headers: { origin: "https://evil.example" } });
  assertEquals([page.status, (await page.json()).code], [403, "cross-site"]);
  assertEquals((await scripted().app.request("http://localhost/metrics")).status, 404);
});

Deno.test("metrics: docs/metrics.md has each of them once, in order, with its labels", async () => {
  const { app } = scripted({}, { metrics: metricsOf() });
  const { families } = await scrape((path) => app.request(`http://localhost${path}`));
  const [, ...rows] = tableRows(page("docs/metrics.md").split("\n## ")[0]!);
  assertEquals(rows.map(([name]) => quoted(name!)[0]), [...families.keys()]);
  const found = await labelsOfAll();
  for (const [name, labels] of rows) {
    const known = found.get(quoted(name!)[0]!);
    if (known !== undefined) assertEquals(quoted(labels!), known, name);
  }
  assertEquals(found.size, families.size);
});

/** The labels of every family, of a node on which each has been counted. */
async function labelsOfAll(): Promise<ReadonlyMap<string, readonly string[]>> {
  const metrics = new NodeMetrics({
    me: "a",
    version: "1",
    deno: "2",
    now: () => 0,
    storeBytes: () => Promise.resolve(1),
  });
  metrics.drove("fast", 1);
  metrics.answered("none", "GET", 200, 1);
  metrics.peerAnswered("b", 1);
  metrics.peerFailed("b");
  metrics.refused(new QuorateError("internal", ""), false);
  const log = new KeyLog();
  const before = log.state;
  const value = { id: "a/n/1", proposer: "a", commands: [], nextMode: { kind: "classic", coordinator: "a" } } as const;
  log.decide([], value);
  const decidedBy = { instance: 1, ballot: [0, "", 0], kind: "open", valueId: value.id, acceptors: ["a"] } as const;
  metrics.moved("lock/x", before, { instance: 2, state: log.state, stateHash: "", decidedBy }, value);
  const members = ["a", "b"].map((id) => ({ id, url: "", reachable: true, rttMs: 0, heardAgoMs: null }));
  const status = {
    id: "a",
    cluster: "c",
    members,
    epoch: 0,
    voting: true,
    seq: 0,
    boot: 0,
    version: "1",
    clock: "",
    store: { slow: false },
  };
  const text = await metrics.text({ status, hasQuorum: true, storeFault: null, streams: 0 });
  const { families, samples } = scraped(text);
  return new Map([...families.keys()].map((name) => {
    const sample = [...samples.keys()].find((one) => new RegExp(`^${name}(_count)?(\\{|$)`).test(one)) ?? "none";
    assert(sample !== "none", `${name} has no sample`);
    return [name, [...sample.matchAll(/([a-z_]+)="/g)].map(([, label]) => label!)];
  }));
}
