import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { freePort } from "../free_ports.ts";
import { Command, run } from "./command.ts";

Deno.test("gateway: without nodes, with a flag nobody knows, open to strangers or on a port in use it says so in one line", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const nodes = ["gateway", "--nodes", "http://10.0.0.1:8701"];
  const refused: [string[], number, RegExp][] = [
    [["gateway"], 2, /^quorate gateway: --nodes or QUORATE_URL is needed/],
    [[...nodes, "--colour", "red"], 2, /^quorate gateway: --colour is not a flag; flags are --nodes,/],
    [[...nodes, "--host", "0.0.0.0"], 2, /^quorate gateway: --tls-cert and --tls-key, or --behind-proxy, are needed/],
    [[...nodes, "--port", `${taken.addr.port}`], 1, /^quorate gateway: port \d+ on 127\.0\.0\.1 is in use/],
  ];
  for (const [args, code, pattern] of refused) {
    const ended = await run(args);
    assertEquals([ended.code, ended.out, ended.err.length], [code, [], 1], String(ended.err));
    assertMatch(ended.err[0]!, pattern);
  }
});

Deno.test("gateway: it serves though no node is there, says so, and stops when told", async () => {
  const node = `http://127.0.0.1:${freePort()}`;
  await using gateway = new Command(["gateway", "--port", "0"], { QUORATE_URL: node });
  const [, url] = await gateway.line(new RegExp(`^gateway ready to serve on (http:\\S+), before ${node}$`));
  assertEquals(await (await fetch(`${url}/healthz`)).json(), { ok: true });
  for (const path of ["/readyz", "/v1/locks/x"]) {
    const response = await fetch(`${url}${path}`);
    assertEquals([response.status, (await response.json()).code], [503, "not-ready"]);
  }
  gateway.kill("SIGTERM");
  const { code, err } = await gateway.ended();
  assertEquals([code, err], [0, []]);
});

Deno.test("main: the help names every flag of a gateway", async () => {
  const refused = await run(["gateway", "--colour", "red"]);
  const flags = refused.err[0]!.split("; flags are ")[1]!.split(", ");
  assertGreater(flags.length, 5);
  const help = (await run(["--help"])).out.join("\n").split("deno task gateway")[1]!;
  assertEquals(flags.filter((flag) => !new RegExp(`${flag}\\b(?!-)`).test(help)), []);
});
