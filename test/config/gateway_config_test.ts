import { assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { type GatewayConfig, parseGatewayConfig } from "../../src/config/gateway_config.ts";

const FILES: Record<string, string> = {
  "/cert": "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
  "/key": "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n",
};
const FAR = "https://10.0.0.1:8701,https://10.0.0.2:8701";
const NEAR = "http://127.0.0.1:8701,http://localhost:8702,http://[::1]:8703";

function parse(line: string, env: Record<string, string> = {}): Promise<GatewayConfig> {
  return parseGatewayConfig(line === "" ? [] : line.split(" "), env, (path) => {
    const text = FILES[path];
    return text === undefined ? Promise.reject(new Error("no such file")) : Promise.resolve(text);
  });
}

/** That it refuses in one line which begins with the flag or variable and holds `why`. */
async function refused(line: string, field: string, why: string, env: Record<string, string> = {}): Promise<void> {
  const error = await assertRejects(() => parse(line, env), QuorateError);
  assertEquals([error.code, error.facts.field], ["invalid-request", field], error.message);
  const { message } = error;
  assertEquals(
    [message.startsWith(field), message.includes(why), message.includes("\n")],
    [true, true, false],
    message,
  );
}

Deno.test("parseGatewayConfig: nodes by flag or variable, the flag wins; origins as fetch has them", async () => {
  const log = { format: "text", level: "info" } as const;
  const plain = { learnMembers: true, log, cors: [], host: "127.0.0.1", port: 8700, tls: null, ca: null };
  assertEquals(await parse(`--nodes ${NEAR}`), { ...plain, nodes: NEAR.split(",") });
  assertEquals(await parse("", { QUORATE_URL: " http://LOCALHOST:8701/ , https://node.example:443 " }), {
    ...plain,
    nodes: ["http://localhost:8701", "https://node.example"],
  });
  assertEquals((await parse(`--nodes ${FAR} --port 0`, { QUORATE_URL: NEAR })).nodes, FAR.split(","));
  assertEquals((await parse(`--nodes ${FAR} --fixed-nodes`)).learnMembers, false);
  assertEquals((await parse(`--nodes ${FAR}`, { QUORATE_FIXED_NODES: "1" })).learnMembers, false);
  // Variables of a node are none of its own.
  const env = { QUORATE_URL: FAR, QUORATE_PORT: "1", QUORATE_HOST: "0.0.0.0", QUORATE_PEER_SECRET: "short" };
  assertEquals(await parse("", env), { ...plain, nodes: FAR.split(",") });
});

Deno.test("parseGatewayConfig: what cannot be is one line that names its setting", async () => {
  await refused("", "--nodes", "or QUORATE_URL is needed");
  await refused("", "QUORATE_URL", "is empty", { QUORATE_URL: " " });
  await refused(`--nodes ${FAR}`, "QUORATE_FIXED_NODES", "is 1 or not set", { QUORATE_FIXED_NODES: "true" });
  for (const text of ["nodes", "ftp://a", "http://a,", "a=http://a", "http://a/v1", "http://a?x", "http://a#"]) {
    await refused(`--nodes ${text}`, "--nodes", "URL");
  }
  await refused("--nodes http://user:secret@a", "--nodes", "credentials");
  await refused("--nodes http://a,http://A:80/", "--nodes", "lists http://a twice");
  await refused(`--nodes ${Array.from({ length: 26 }, (_, i) => `http://n${i}`)}`, "--nodes", "26");
  await refused(`--nodes ${FAR} --port 70000`, "--port", "not a port");
  await refused(`--nodes ${FAR} --host a/b`, "--host", "not an address");
  await refused(`--nodes ${FAR} --id a`, "--id", "is not a flag; flags are --nodes, --fixed-nodes, --host");
  await refused(`--nodes ${FAR} --tls-cert /cert`, "--tls-cert", "needs --tls-key");
  await refused(`--nodes ${FAR} --tls-ca /none`, "--tls-ca", "cannot read /none");
  await refused(`--nodes ${FAR}`, "QUORATE_TLS_CA", "holds no PEM certificate: /key", { QUORATE_TLS_CA: "/key" });
  await refused(`--nodes ${FAR} --tls-cert /none --tls-key /key`, "--tls-cert", "cannot read");
});

Deno.test("parseGatewayConfig: beyond loopback takes TLS or a proxy, and nodes that ask for tokens", async () => {
  await refused(`--nodes ${FAR} --host 0.0.0.0`, "--tls-cert", "needed to listen beyond loopback, on 0.0.0.0");
  const tls = "--tls-cert /cert --tls-key /key";
  assertEquals((await parse(`--nodes ${FAR} --host 0.0.0.0 ${tls}`)).tls, { cert: FILES["/cert"], key: FILES["/key"] });
  assertEquals((await parse(`--nodes ${FAR} --host 0.0.0.0 --behind-proxy`)).host, "0.0.0.0");
  for (const node of NEAR.split(",")) {
    await refused(`--nodes ${FAR},${node} --host 0.0.0.0 ${tls}`, "--nodes", `has ${node}`);
    await refused(`--nodes ${node} --behind-proxy`, "--nodes", `has ${node}`);
    await refused("--behind-proxy", "QUORATE_URL", `has ${node}`, { QUORATE_URL: node });
  }
});

Deno.test("parseGatewayConfig: the CA that nodes' certificates come from, by flag or variable", async () => {
  for (const [line, env] of [["--tls-ca /cert", {}], ["", { QUORATE_TLS_CA: "/cert" }]] as const) {
    assertEquals((await parse(`--nodes ${FAR} ${line}`.trim(), env)).ca, FILES["/cert"]);
  }
});

Deno.test("parseGatewayConfig: pages of any origin only before nodes that ask for a token", async () => {
  const cors = async (nodes: string, text: string) => (await parse(`--nodes ${nodes}`, { QUORATE_CORS: text })).cors;
  assertEquals(await cors("https://a.example", "*"), ["*"]);
  assertEquals(await cors("http://127.0.0.1:8701", "http://localhost:5173"), ["http://localhost:5173"]);
  await refused("--nodes http://127.0.0.1:8701", "QUORATE_CORS", "without tokens", { QUORATE_CORS: "*" });
});
