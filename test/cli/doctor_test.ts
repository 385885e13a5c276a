import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { NodeMetrics } from "../../src/observe/node_metrics.ts";
import { until } from "../replica/clocks.ts";
import { withApps } from "../routes/memory_apps.ts";
import { freePort } from "../free_ports.ts";
import { run } from "./command.ts";

const METERED = { metrics: new NodeMetrics({ me: "a", version: "1", deno: "2", now: () => 0 }) };

Deno.test("doctor: a healthy cluster is exit code 0 and says so; one that lost a member is 1 and names it", () =>
  withApps(3, async (apps) => {
    const urls = apps.cluster.ids.map((id) => apps.url(id));
    const gone = `http://127.0.0.1:${freePort()}`;
    const [healthy, byVariable] = await Promise.all([
      run(["doctor", ...urls]),
      run(["doctor", "--json"], { QUORATE_URL: urls.join(",") }),
    ]);
    assertEquals([healthy.code, healthy.out, healthy.err], [0, ["healthy: 3 of 3 URLs answer, nothing is wrong"], []]);
    const document = JSON.parse(byVariable.out.join("\n"));
    assertEquals([byVariable.code, document.healthy, document.findings], [0, true, []]);
    assertEquals(document.nodes.map(({ id, voting }: { id: string; voting: boolean }) => [id, voting]), [
      ["a", true],
      ["b", true],
      ["c", true],
    ]);

    apps.cluster.kill("c");
    await until("it is noticed", async () => {
      const { members } = await (await apps.ask("a", "/v1/status")).json();
      return members[2].fault !== undefined;
    });
    const [text, json] = await Promise.all([
      run(["doctor", urls[0]!, urls[1]!, gone]),
      run(["doctor", "--json", ...urls.slice(0, 2)]),
    ]);
    assertEquals([text.code, json.code], [1, 1]);
    const said = text.out.join("\n");
    assertMatch(said, /^warning\tanswers\thttp:\S+ does not answer: .*\n\t\tdo: start it/m);
    assertMatch(said, /^warning\tspare\t1 of 3 members lost \(c\), 0 to spare\n\t\tdo: bring them back/m);
    assertMatch(said, /^warning\tpeer\t.* of c: /m);
    const checks = JSON.parse(json.out.join("\n")).findings.map(({ check }: { check: string }) => check);
    assert(checks.includes("spare") && checks.includes("asked"), checks.join());

    apps.cluster.kill("b");
    await until("no quorum", async () => (await apps.ask("a", "/readyz")).status === 503);
    const critical = await run(["doctor", urls[0]!]);
    assertEquals(critical.code, 1);
    assertMatch(critical.out[0]!, /^critical\tquorum\ta reaches no quorum: only 1 of 3 members answer, 2 are needed$/);
  }, METERED));

const TOKENS = parseTokens(JSON.stringify([
  { subject: "any", sha256: sha256Hex("any"), scopes: ["lock:read:mine"] },
  { subject: "all", sha256: sha256Hex("all"), scopes: ["metrics:read:*"] },
]));

Deno.test("doctor: tokens; what no metrics may be read of is told and is no fault; a token is not in what it prints", () =>
  withApps(1, async (apps) => {
    const url = apps.url("a");
    const [without, wrong, any, all] = await Promise.all([
      run(["doctor", url]),
      run(["doctor", url], { QUORATE_TOKEN: "wrong-token" }),
      run(["doctor", url], { QUORATE_TOKEN: "any" }),
      run(["doctor", url], { QUORATE_TOKEN: "all" }),
    ]);
    for (const refused of [without, wrong]) {
      assertEquals(refused.code, 1);
      assertMatch(refused.out[0]!, /^warning\ttoken\thttp:\S+ refuses this token: /);
      assertEquals([...refused.out, ...refused.err].join().includes("wrong-token"), false);
    }
    assertEquals([any.code, any.out[0]], [
      0,
      "info\tmetrics\tthe metrics of a may not be read: nothing is known of rate limits",
    ]);
    assertEquals([all.code, all.out], [0, ["healthy: 1 of 1 URLs answer, nothing is wrong"]]);
  }, { tokens: TOKENS, ...METERED }));

Deno.test("doctor: what is no node, talks nonsense, or leads elsewhere is one finding each, and no line of it steers a terminal", async () => {
  const seen: string[] = [];
  const answers: Record<string, () => Response> = {
    html: () => new Response("<html>"),
    other: () => Response.json({ id: 7, members: "all" }),
    nasty: () => Response.json({ code: "x", detail: "\u001b[31mred\nline" }, { status: 500 }),
    endless: () =>
      new Response(
        new ReadableStream({ pull: (controller) => controller.enqueue(new TextEncoder().encode("x".repeat(65_536))) }),
      ),
    elsewhere: () => new Response(null, { status: 302, headers: { location: "/stolen/v1/status" } }),
  };
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { pathname } = new URL(request.url);
    seen.push(pathname);
    return answers[pathname.split("/")[1]!]?.() ?? new Response(null, { status: 404 });
  });
  try {
    const at = (path: string) => `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}/${path}`;
    const { code, out, err } = await run(["doctor", ...Object.keys(answers).map(at)], { QUORATE_TOKEN: "secret" });
    assertEquals([code, err], [1, []]);
    const said = out.filter((line) => !line.startsWith("\t")).map((line) => line.replace(/http:\S+\//, ""));
    assertEquals(said, [
      "critical\tanswers\thtml answers, but is no node",
      "critical\tanswers\tother answers, but is no node",
      "critical\tanswers\tnasty answers 500: [31mred line",
      "critical\tanswers\tendless answers, but is no node",
      "critical\tanswers\telsewhere answers 302: no reason",
    ]);
    assert(!seen.some((path) => path.startsWith("/stolen")), "the token went nowhere else");
  } finally {
    await server.shutdown();
  }
});

Deno.test("doctor: what is no URL or no flag is exit code 2 and one line", async () => {
  for (const args of [["nonsense"], ["ftp://x"], ["--fast"], ["--timeout", "soon"]]) {
    const { code, out, err } = await run(["doctor", ...args]);
    assertEquals([code, out, err.length], [2, [], 1], args.join(" "));
  }
  assertStringIncludes((await run(["completion", "bash"])).out.join("\n"), "doctor)");
});
