import { assertEquals } from "@std/assert";
import { until } from "../replica/clocks.ts";
import { withApps } from "./memory_apps.ts";
import { scripted } from "./scripted_node.ts";

const text = async (response: Response) => [response.status, await response.text()] as const;

Deno.test("livez: 200 whatever the node says, and it asks it nothing", async () => {
  const { app, calls } = scripted({
    readiness: "no quorum",
    checks: () => {
      throw new Error("asked");
    },
  });
  for (const path of ["/livez", "/healthz"]) {
    const response = await app.request(path);
    assertEquals([response.status, await response.json()], [200, { ok: true }]);
  }
  assertEquals(calls, []);
});

const CHECKS = [
  { name: "store", fault: null },
  { name: "membership", fault: "a new store" },
  { name: "quorum", fault: "only 1 of 3 members answer" },
];

Deno.test("readyz: verbose is a line a check, in text; what is excluded does not count", async () => {
  const { app } = scripted({ checks: CHECKS });
  const response = await app.request("/readyz?verbose");
  assertEquals([response.headers.get("content-type"), response.headers.get("retry-after")], [
    "text/plain; charset=utf-8",
    "1",
  ]);
  const membership = "[-] membership failing: a new store\n";
  const quorum = "[-] quorum failing: only 1 of 3 members answer\n";
  assertEquals(await text(response), [503, `[+] store ok\n${membership}${quorum}readyz check failed\n`]);
  assertEquals(await text(await app.request("/readyz?verbose=1&exclude=membership")), [
    503,
    `[+] store ok\n[+] membership excluded\n${quorum}readyz check failed\n`,
  ]);
  assertEquals(await text(await app.request("/readyz?exclude=membership&verbose=true&exclude=quorum")), [
    200,
    "[+] store ok\n[+] membership excluded\n[+] quorum excluded\nreadyz check passed\n",
  ]);
});

Deno.test("readyz: without verbose an exclusion decides the status alone", async () => {
  const { app } = scripted({ checks: CHECKS });
  const refused = await app.request("/readyz?exclude=membership");
  const { code, detail } = await refused.json();
  assertEquals([refused.status, code, detail], [503, "not-ready", "only 1 of 3 members answer"]);
  const ready = await app.request("/readyz?exclude=quorum&exclude=membership&exclude=quorum");
  assertEquals([ready.status, await ready.json()], [200, { ready: true }]);
});

Deno.test("readyz: an unknown check or parameter is 400, by its name", async () => {
  const { app, calls } = scripted();
  for (
    const [query, field] of [
      ["exclude=disk", "exclude.0"],
      ["exclude", "exclude.0"],
      ["exclude=quorum&exclude=no", "exclude.1"],
      ["verbose=2", "verbose"],
      ["verbose&verbose", "verbose"],
      ["quiet", "quiet"],
      ["exclude=%zz", "exclude"],
      [`exclude=${"x".repeat(4_000)}`, "exclude.0"],
    ] as const
  ) {
    const response = await app.request(`/readyz?${query}`);
    const problem = await response.json();
    assertEquals([response.status, problem.code, problem.field], [400, "invalid-request", field], query);
  }
  assertEquals(calls, []);
});

Deno.test("readyz: of three real nodes without the others, the quorum alone fails", () =>
  withApps(3, async (apps) => {
    assertEquals(await text(await apps.ask("a", "/readyz?verbose")), [
      200,
      "[+] store ok\n[+] membership ok\n[+] quorum ok\nreadyz check passed\n",
    ]);
    apps.cluster.kill("b");
    apps.cluster.kill("c");
    let body = "";
    await until("it is noticed", async () => {
      const [status, told] = await text(await apps.ask("a", "/readyz?verbose"));
      body = told;
      return status === 503;
    });
    assertEquals(body.split("\n").slice(0, 3), [
      "[+] store ok",
      "[+] membership ok",
      "[-] quorum failing: only 1 of 3 members answer, 2 are needed",
    ]);
    assertEquals((await apps.ask("a", "/readyz?exclude=quorum")).status, 200);
    assertEquals((await apps.ask("a", "/livez")).status, 200);
  }));
