import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { clusterConfigOf } from "../../src/config/cluster_config.ts";
import { isSharedKv, type NodeConfig, parseConfig, portOf } from "../../src/config/config.ts";
import { parseFlags } from "../../src/config/settings.ts";
import { FORGET_AFTER_MS } from "../../src/limits.ts";
import { QuorateError } from "../../src/errors.ts";

const CLUSTER = "a=https://10.0.0.1:8701,b=https://10.0.0.2:8701,c=https://10.0.0.3:8701";
const PLAIN = CLUSTER.replaceAll("https", "http");
const SECRET = "0123456789abcdef";
const TOKENS = JSON.stringify([{ subject: "ci", sha256: sha256Hex("one"), scopes: ["lock:read:*"] }]);
const FILES: Record<string, string> = {
  "/tokens": TOKENS,
  "/secrets": `${SECRET}-1,\n${SECRET}-2\n`,
  "/short": "short",
  "/empty": "\n",
  "/broken": '[\n  {"subject": \n}',
  "/cert": "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
  "/key": "-----BEGIN EC PRIVATE KEY-----\nx\n-----END EC PRIVATE KEY-----\n",
};
const ONE = { QUORATE_ID: "a", QUORATE_KV: "a.sqlite" };
const THREE = { ...ONE, QUORATE_CLUSTER: CLUSTER, QUORATE_PEER_SECRET: SECRET };

function parse(line: string, env: Record<string, string> = {}): Promise<NodeConfig> {
  return parseConfig(line === "" ? [] : line.split(" "), env, (path) => {
    const text = FILES[path];
    return text === undefined ? Promise.reject(new Error("no such file")) : Promise.resolve(text);
  });
}

/** That it refuses in one line which begins with the flag or variable and holds `why`. */
async function refused(line: string, env: Record<string, string>, field: string, why: string): Promise<void> {
  const error = await assertRejects(() => parse(line, env), QuorateError);
  assertEquals(error.code, "invalid-request");
  assertEquals(error.facts.field, field, error.message);
  assertEquals([error.message.startsWith(field), error.message.includes(why)], [true, true], error.message);
}

Deno.test("parseConfig: a cluster of one with defaults", async () => {
  assertEquals(await parse("--id a --kv data/a.sqlite"), {
    id: "a",
    host: "127.0.0.1",
    port: 8701,
    urls: { a: "http://127.0.0.1:8701" },
    kv: "data/a.sqlite",
    kvToken: null,
    modes: [],
    learners: {},
    learner: false,
    isClusterGiven: false,
    init: false,
    join: null,
    restore: null,
    restoreNumber: null,
    secrets: [],
    rate: null,
    cors: [],
    tokens: null,
    forgetAfterMs: FORGET_AFTER_MS,
    log: { format: "text", level: "info" },
    tls: null,
    ca: null,
    behindProxy: false,
    insecurePeers: [],
    mayBeInsecure: false,
  });
});

Deno.test("config: who joins names a cluster, is made a member by others, and has their secret", async () => {
  const env = { QUORATE_PEER_SECRET: "a secret of this test" };
  const of = async (flags: string, more = {}) =>
    await parse(`--id d --kv d.sqlite ${flags}`.trim(), { ...env, ...more });
  const { join, isClusterGiven } = await of("--join q-0123456789ab");
  assertEquals([join, isClusterGiven], ["q-0123456789ab", false]);
  assertEquals((await of("", { QUORATE_JOIN: "q-0123456789ab" })).join, "q-0123456789ab");
  assertEquals((await of("")).join, null);
  for (
    const [flags, what] of [
      ["--join q-0123", "--join"],
      ["--join http://127.0.0.1:8701", "--join"],
      ["--join q-0123456789ab --init", "--join"],
      ["--join q-0123456789ab --learner --cluster a=http://127.0.0.1:1 --learners d=http://127.0.0.1:2", "--join"],
    ]
  ) {
    await assertRejects(() => of(flags!), QuorateError, what);
  }
  await assertRejects(() => parse("--id d --kv d --join q-0123456789ab"), QuorateError, "QUORATE_PEER_SECRET");
});

Deno.test("config: a backup is for --init, and its number for a backup", async () => {
  const of = async (flags: string) => {
    const { restore, restoreNumber } = await parse(`--id a --kv data/a.sqlite ${flags}`);
    return [restore, restoreNumber];
  };
  assertEquals(await of("--init --restore b.jsonl"), ["b.jsonl", null]);
  assertEquals(await of("--init --restore b.jsonl --restore-number 12"), ["b.jsonl", 12]);
  for (const flags of ["--restore b", "--init --restore-number 1", "--init --restore b --restore-number 0"]) {
    await assertRejects(() => of(flags), QuorateError, "--restore");
  }
});

Deno.test("parseConfig: everything from flags", async () => {
  const config = await parse(
    `--init --id b --port 443 --host 10.0.0.2 --cluster ${CLUSTER} --kv=b.sqlite --tls-cert /cert --tls-key /key`,
    { QUORATE_PEER_SECRET: ` ${SECRET}-new,\n${SECRET}-old\n`, QUORATE_TOKENS: "@/tokens" },
  );
  assertEquals([config.id, config.port, config.host, config.kv, config.init], ["b", 443, "10.0.0.2", "b.sqlite", true]);
  assertEquals(config.urls, { a: "https://10.0.0.1:8701", b: "https://10.0.0.2:8701", c: "https://10.0.0.3:8701" });
  assertEquals(config.secrets, [`${SECRET}-new`, `${SECRET}-old`]);
  assertEquals(config.tokens?.map((token) => token.subject), ["ci"]);
  assertEquals(config.tls, { cert: FILES["/cert"], key: FILES["/key"] });
});

Deno.test("parseConfig: everything from the environment, and flags win", async () => {
  const env = { ...THREE, QUORATE_HOST: "::1", QUORATE_PORT: "9000", QUORATE_TOKENS: TOKENS };
  const fromEnv = await parse("", env);
  assertEquals([fromEnv.id, fromEnv.host, fromEnv.port, fromEnv.kv], ["a", "::1", 9000, "a.sqlite"]);
  assertEquals(Object.keys(fromEnv.urls), ["a", "b", "c"]);
  const cluster = CLUSTER.replaceAll("8701", "9");
  const both = await parse(`--id c --host localhost --port 0 --kv c.sqlite --cluster ${cluster}`, env);
  assertEquals([both.id, both.host, both.port, both.kv], ["c", "localhost", 0, "c.sqlite"]);
  assertEquals(both.urls["b"], "https://10.0.0.2:9");
  // What a flag says is used, so what it overrules need not make sense.
  assertEquals((await parse("--port 1", { ...ONE, QUORATE_PORT: "" })).port, 1);
});

Deno.test("parseConfig: URLs are kept as origins, an IPv6 host without brackets", async () => {
  const cluster = "a=HTTP://Node-A:80/, b=https://[::1]:443,c=HTTPS://C";
  const { host, urls } = await parse("--host [::1]", { ...THREE, QUORATE_CLUSTER: cluster });
  assertEquals(host, "::1");
  assertEquals(urls, { a: "http://node-a", b: "https://[::1]", c: "https://c" });
  assertEquals((await parse("--host ::1 --port 9", ONE)).urls, { a: "http://[::1]:9" });
});

Deno.test("parseConfig: flags that are wrong", async () => {
  await refused("--colour red", ONE, "--colour", "not a flag; flags are --id, --port, --host");
  await refused("-p 1", ONE, "-p", "not a flag");
  await refused("--__proto__ 1", ONE, "--__proto__", "not a flag");
  await refused("--no-init", ONE, "--no-init", "not a flag");
  await refused("8701", ONE, '"8701"', "not expected here");
  await refused("--init yes", ONE, '"yes"', "not expected here");
  await refused("--port", ONE, "--port", "needs a value");
  await refused("--port=", ONE, "--port", "needs a value");
  await refused("--port --init", ONE, "--port", "needs a value");
  await refused("--init=yes", ONE, "--init", "takes no value");
  await refused("--port 1 --port 1", ONE, "--port", "given twice");
});

Deno.test("parseConfig: id, store, port and host", async () => {
  await refused("", { QUORATE_KV: "x" }, "--id", "QUORATE_ID is needed");
  await refused("", { QUORATE_ID: "a" }, "--kv", "QUORATE_KV is needed");
  for (const id of ["A", "a.b", "a/b", "ä", "a b", "x".repeat(33)]) {
    await refused("", { ...ONE, QUORATE_ID: id }, "QUORATE_ID", "bad node id");
  }
  assertEquals((await parse(`--id ${"x".repeat(32)} --kv x`)).id.length, 32);
  for (const port of ["-1", "65536", "80a", "1e3", "0x50", "8701.5", " 1"]) {
    await refused("", { ...ONE, QUORATE_PORT: port }, "QUORATE_PORT", "not a port, 0 to 65535");
  }
  await refused("--port http", ONE, "--port", "not a port");
  for (const host of ["http://x", "127.0.0.1:8701", "a b", "[::1]:80", "x/y"]) {
    await refused("", { ...ONE, QUORATE_HOST: host }, "QUORATE_HOST", "not an address or host name");
  }
  for (const name of ["ID", "PORT", "HOST", "CLUSTER", "KV", "PEER_SECRET", "TOKENS"]) {
    await refused("", { ...ONE, [`QUORATE_${name}`]: " " }, `QUORATE_${name}`, "is empty");
  }
});

Deno.test("parseConfig: clusters that cannot be", async () => {
  const cases: readonly [string, string][] = [
    ["a", '"a" where id=URL is needed'],
    [`${CLUSTER},`, '"" where id=URL is needed'],
    ["A=http://x", "bad node id"],
    ["=http://x", "bad node id"],
    ["a=10.0.0.1:8701", "a what is no http or https URL"],
    ["a=ftp://x", "what is no http"],
    ["a=http:x", "what is no http"],
    ["a=http://", "what is no http"],
    ["a=http://x/base", "path, query or fragment"],
    ["a=http://x/?y=1", "path, query or fragment"],
    ["a=http://x?", "path, query or fragment"],
    ["a=http://x#y", "path, query or fragment"],
    ["a=http://me:pw@x", "a URL with credentials"],
    [`${CLUSTER},a=http://x`, "lists a twice"],
    [`${CLUSTER},d=https://10.0.0.2:8701/`, "gives b and d the same URL, https://10.0.0.2:8701"],
    ["a=http://x,b=http://y", "lists 2 members"],
    ["abcdefghij".split("").map((id) => `${id}=http://${id}`).join(","), "lists 10 members; at most 9"],
    [CLUSTER.replace("a=", "d="), "does not list this node, a, but b, c, d"],
  ];
  for (const [cluster, why] of cases) {
    await refused("", { ...THREE, QUORATE_CLUSTER: cluster }, "QUORATE_CLUSTER", why);
  }
  await refused("--cluster a", THREE, "--cluster", "id=URL");
  const error = await assertRejects(() => parse("", { ...THREE, QUORATE_CLUSTER: "a=http://me:hunter2@x" }));
  assertEquals((error as Error).message.includes("hunter2"), false);
});

Deno.test("parseConfig: the rate is what is set, the usual one where there are tokens, else none", async () => {
  const rate = async (env: Record<string, string>) => (await parse("", { ...ONE, ...env })).rate;
  assertEquals(await rate({}), null);
  assertEquals(await rate({ QUORATE_TOKENS: TOKENS }), { perSecond: 200, burst: 400 });
  assertEquals(await rate({ QUORATE_TOKENS: TOKENS, QUORATE_RATE: "off" }), null);
  for (const tokens of [{}, { QUORATE_TOKENS: TOKENS }]) {
    assertEquals(await rate({ ...tokens, QUORATE_RATE: "5/10" }), { perSecond: 5, burst: 10 });
  }
  for (const text of ["0/1", "5", "5/", "/5", "5/10/2", "-1/5", "1.5/3", "12345678/1", "on", " "]) {
    await refused("", { ...ONE, QUORATE_RATE: text }, "QUORATE_RATE", "");
  }
});

Deno.test("parseConfig: how long a name is unused before it is forgotten; off is for ever", async () => {
  const of = async (line: string, env = {}) => (await parse(`--id a --kv a.sqlite ${line}`.trim(), env)).forgetAfterMs;
  assertEquals([await of("--forget-after 1.5h"), await of("--forget-after 30d")], [5_400_000, 2_592_000_000]);
  assertEquals(await of("--forget-after 60s"), 60_000);
  assertEquals(await of("", { QUORATE_FORGET_AFTER: "12h" }), 43_200_000);
  assertEquals(await of("--forget-after off", { QUORATE_FORGET_AFTER: "12h" }), Infinity);
  for (const text of ["0m", "7", "59s", "-1h", "7 d", "never", "1e9d"]) {
    await refused(
      "",
      { QUORATE_ID: "a", QUORATE_KV: "a.sqlite", QUORATE_FORGET_AFTER: text },
      "QUORATE_FORGET_AFTER",
      "nor a minute or more",
    );
  }
});

Deno.test("parseConfig: secrets, tokens and TLS that are wrong", async () => {
  const wrong = (env: Record<string, string>, field: string, why: string) =>
    refused("", { ...THREE, ...env }, field, why);
  await wrong({ QUORATE_PEER_SECRET: "short" }, "QUORATE_PEER_SECRET", "fewer than 16 characters");
  await wrong({ QUORATE_PEER_SECRET: `${SECRET},short` }, "QUORATE_PEER_SECRET", "16 characters in secret 2");
  await wrong({ QUORATE_PEER_SECRET: `${SECRET},` }, "QUORATE_PEER_SECRET", "16 characters in secret 2");
  await wrong({ QUORATE_PEER_SECRET: Array(3).fill(SECRET).join() }, "QUORATE_PEER_SECRET", "more than two");
  await wrong({ QUORATE_TOKENS: "@/nope" }, "QUORATE_TOKENS", "cannot read /nope: no such file");
  await wrong({ QUORATE_TOKENS: "@/broken" }, "QUORATE_TOKENS", "is not JSON");
  await wrong({ QUORATE_TOKENS: "[]" }, "QUORATE_TOKENS", "lists no token");
  await wrong({ QUORATE_TOKENS: "[7]" }, "QUORATE_TOKENS[0]", "not an object");
  await refused("--tls-cert /cert", ONE, "--tls-cert", "needs --tls-key too");
  await refused("--tls-key /key", ONE, "--tls-key", "needs --tls-cert too");
  await refused("--tls-cert /nope --tls-key /key", ONE, "--tls-cert", "cannot read /nope");
  await refused("--tls-cert /key --tls-key /key", ONE, "--tls-cert", "no PEM certificate: /key");
  await refused("--tls-cert /cert --tls-key /cert", ONE, "--tls-key", "no PEM private key: /cert");
});

Deno.test("parseConfig: what has to be set before strangers can reach a node", async () => {
  const { QUORATE_PEER_SECRET: _, ...noSecret } = THREE;
  await refused("", noSecret, "QUORATE_PEER_SECRET", "is needed in a cluster of 3");
  const tokens = { QUORATE_TOKENS: TOKENS };
  for (const host of ["0.0.0.0", "::", "10.0.0.1", "node-a", "127.0.0.2"]) {
    const line = `--host ${host}`;
    for (const env of [ONE, THREE]) {
      await refused(`${line} --behind-proxy`, env, "QUORATE_TOKENS", `beyond loopback, on ${host}`);
      await refused(line, { ...env, ...tokens }, "--tls-cert", `beyond loopback, on ${host}`);
      assertEquals((await parse(`${line} --behind-proxy`, { ...env, ...tokens })).behindProxy, true);
    }
    assertEquals((await parse(`${line} --tls-cert /cert --tls-key /key`, { ...ONE, ...tokens })).host, host);
    await refused(line, { ...noSecret, ...tokens }, "QUORATE_PEER_SECRET", "is needed");
  }
  for (const host of ["127.0.0.1", "localhost", "LOCALHOST", "::1", "[::1]"]) {
    assertEquals((await parse(`--host ${host}`, THREE)).tokens, null);
  }
  // Its callers come from elsewhere, though all connections come from this machine.
  await refused("--behind-proxy", ONE, "QUORATE_TOKENS", "with --behind-proxy");
  assertEquals((await parse("--behind-proxy", { ...ONE, ...tokens })).behindProxy, true);
});

Deno.test("parseConfig: learners, the same list on every node, and no part of what the members agreed on", async () => {
  const learners = { f: "https://10.0.0.9:1", g: "https://10.0.0.9:2" };
  const list = "g=https://10.0.0.9:2,f=https://10.0.0.9:1/";
  const member = await parse(`--learners ${list}`, THREE);
  const learner = await parse("--learner --id f --kv f", { ...THREE, QUORATE_LEARNERS: list });
  assertEquals([member.learner, member.learners], [false, learners]);
  assertEquals([learner.learner, learner.learners, learner.urls], [true, learners, member.urls]);
  assertEquals(clusterConfigOf(learner), clusterConfigOf(await parse("", THREE)));
});

Deno.test("parseConfig: learners that cannot be", async () => {
  const f = "--learner --id f";
  await refused(f, { QUORATE_KV: "x" }, "--learner", "needs --cluster");
  await refused(f, THREE, "--learners", "or QUORATE_LEARNERS is needed");
  await refused("--learner --learners a=http://x", THREE, "--learner", "not for a, which is a member");
  await refused(`${f} --learners g=http://x`, THREE, "--learners", "does not list this node, f, but g");
  await refused("--id f", THREE, "QUORATE_CLUSTER", "does not list this node, f");
  const list = (text: string, why: string) => refused(`--learners ${text}`, THREE, "--learners", why);
  await list("b=http://x", "lists b, which is a member");
  await list("f=https://10.0.0.2:8701", "gives f the URL of member b");
  await list("f=http://x,f=http://y", "lists f twice");
  await list("f=http://x,g=http://x", "gives f and g the same URL");
  await list("f", "id=URL is needed");
  await list(Array.from({ length: 17 }, (_, i) => `l${i}=http://l${i}`).join(), "lists 17 learners; at most 16");
  await refused("", { ...THREE, QUORATE_LEARNERS: "" }, "QUORATE_LEARNERS", "is empty");
  // One member alone has peers, too, if it has learners.
  await refused("--learners f=http://x", ONE, "QUORATE_PEER_SECRET", "is needed in a cluster of 2");
});

Deno.test("parseConfig: other nodes over plain HTTP on a network are refused, unless the operator wants it so", async () => {
  const plain = { ...THREE, QUORATE_CLUSTER: PLAIN };
  await refused("", plain, "QUORATE_CLUSTER", "has b at http://10.0.0.2:8701");
  await refused("", plain, "QUORATE_CLUSTER", "quorate cert new");
  await refused("", plain, "QUORATE_CLUSTER", "--insecure-peers (QUORATE_INSECURE_PEERS=1)");
  await refused(`--cluster ${PLAIN}`, THREE, "--cluster", "has b at");
  await refused("--learners f=http://far", THREE, "--learners", "has f at http://far");
  await refused("", { ...THREE, QUORATE_LEARNERS: "f=http://far" }, "QUORATE_LEARNERS", "has f at http://far");
  for (const [line, env] of [["--insecure-peers", plain], ["", { ...plain, QUORATE_INSECURE_PEERS: "1" }]] as const) {
    assertEquals((await parse(line, env)).insecurePeers, ["b", "c"]);
  }
  await refused("", { ...plain, QUORATE_INSECURE_PEERS: "yes" }, "QUORATE_INSECURE_PEERS", "is 1 or not set");
  await refused("", { ...plain, QUORATE_INSECURE_PEERS: "" }, "QUORATE_INSECURE_PEERS", "is empty");
  await refused("--insecure-peers=no", plain, "--insecure-peers", "takes no value");
  // Nothing of it leaves the machine; and what others ask this node by is for them to refuse.
  const near = "a=http://10.0.0.1,b=http://127.0.0.2:1,c=http://[::1]:1,d=http://localhost:1,e=http://e.localhost:1";
  assertEquals((await parse(`--insecure-peers --cluster ${near}`, THREE)).insecurePeers, []);
  assertEquals(Object.keys((await parse(`--cluster ${near}`, THREE)).urls), ["a", "b", "c", "d", "e"]);
  for (const host of ["128.0.0.1", "127.0.0.1.example", "localhost.example", "[::2]", "[::ffff:10.0.0.1]"]) {
    await refused(`--cluster a=https://a,b=http://${host},c=https://c`, THREE, "--cluster", "has b at http://");
  }
});

Deno.test("parseConfig: a CA to trust, by flag or variable; a peer secret from a file", async () => {
  assertEquals((await parse("--tls-ca /cert", ONE)).ca, FILES["/cert"]);
  assertEquals((await parse("", { ...ONE, QUORATE_TLS_CA: "/cert" })).ca, FILES["/cert"]);
  await refused("", { ...ONE, QUORATE_TLS_CA: "/nope" }, "QUORATE_TLS_CA", "cannot read /nope");
  await refused("--tls-ca /key", ONE, "--tls-ca", "holds no PEM certificate: /key");
  assertEquals((await parse("", { ...THREE, QUORATE_PEER_SECRET: "@/secrets" })).secrets, [
    `${SECRET}-1`,
    `${SECRET}-2`,
  ]);
  await refused("", { ...THREE, QUORATE_PEER_SECRET: "@/nope" }, "QUORATE_PEER_SECRET", "cannot read /nope");
  await refused("", { ...THREE, QUORATE_PEER_SECRET: "@/short" }, "QUORATE_PEER_SECRET", "fewer than 16");
  await refused("", { ...THREE, QUORATE_PEER_SECRET: "@/empty" }, "QUORATE_PEER_SECRET", "fewer than 16");
});

Deno.test("clusterConfigOf: the same text on every member, whatever the order and the URLs", () => {
  const one = clusterConfigOf({ urls: { b: "http://x", a: "http://y", "10": "http://z" }, modes: [] });
  const other = clusterConfigOf({ urls: { a: "https://1", "10": "https://2", b: "https://3" }, modes: [] });
  assertEquals(one, other);
  assertEquals(one.members, ["10", "a", "b"]);
  assertEquals(one.cluster, `q-${sha256Hex("10,a,b").slice(0, 12)}`);
  assertEquals(one.text, `{"cluster":"${one.cluster}","epoch":0,"members":["10","a","b"],"modes":[]}`);
  assertEquals(one.hash, sha256Hex(one.text));
});

Deno.test("parseFlags and portOf: on their own", () => {
  assertEquals(parseFlags(["--data", "x", "--port=1"], { data: "value", port: "value" }), { data: "x", port: "1" });
  assertEquals(parseFlags(["--port=-x"], { port: "value" }), { port: "-x" });
  assertEquals(parseFlags([], { port: "value" }), {});
  assertThrows(() => parseFlags(["--", "x"], { port: "value" }), QuorateError, "not expected here");
  assertEquals([portOf(null), portOf({ name: "--port", text: "65535" })], [8701, 65535]);
});

Deno.test("modes: by prefix, in one order whatever the flag's; an unknown one and a prefix twice are refused", async () => {
  const { modes } = await parse("--id a --kv x --modes lock/z/=multi,lock/a/=prepare");
  assertEquals(modes, [{ prefix: "lock/a/", mode: "prepare" }, { prefix: "lock/z/", mode: "multi" }]);
  for (const bad of ["lock/a", "=fast", "lock/a=slow", "lock/a=fast=fast", "lock/a=fast,lock/a=multi"]) {
    await assertRejects(() => parse(`--id a --kv x --modes ${bad}`), QuorateError);
  }
});

Deno.test("kv: a file is one process's own; a URL is a database that others may serve too, without credentials in it", async () => {
  for (const file of ["a.sqlite", "data/a", "./https/a"]) {
    assertEquals([(await parse(`--id a --kv ${file}`)).kv, isSharedKv(file)], [file, false]);
  }
  for (const url of ["https://kv.example/x", "http://127.0.0.1:4512/"]) {
    const { kv, kvToken } = await parse(`--id a --kv ${url}`, { QUORATE_KV_TOKEN: " token\n" });
    assertEquals([kv, kvToken, isSharedKv(kv)], [url, "token", true]);
  }
  for (const bad of ["ftp://x/y", "https://", "https://me:password@kv.example/x"]) {
    const error = await assertRejects(() => parse(`--id a --kv ${bad}`), QuorateError, "--kv ");
    assert(!error.message.includes("password"), error.message);
  }
  await assertRejects(
    () => parse("--id a --kv https://kv.example/x", { QUORATE_KV_TOKEN: "" }),
    QuorateError,
    "is empty",
  );
});

Deno.test("kv: only a hosted node may leave it to its platform", async () => {
  const hosted = await parseConfig([], { QUORATE_ID: "a" }, () => Promise.reject(new Error("no file")), {
    isHosted: true,
  });
  assertEquals(isSharedKv(hosted.kv), true);
  await assertRejects(() => parse("--id a"), QuorateError, "QUORATE_KV is needed");
});

Deno.test("parseConfig: origins of pages as browsers write them; any origin only where tokens say who asks", async () => {
  const cors = async (text: string, more = {}) => (await parse("", { ...ONE, ...more, QUORATE_CORS: text })).cors;
  assertEquals(await cors("https://app.example, http://localhost:5173"), [
    "https://app.example",
    "http://localhost:5173",
  ]);
  assertEquals(await cors("*", { QUORATE_TOKENS: TOKENS }), ["*"]);
  await refused("", { ...ONE, QUORATE_CORS: "*" }, "QUORATE_CORS", "without tokens");
  for (
    const text of ["", "app.example", "https://app.example/", "https://App.example", "ftp://a", "null", "https://a b"]
  ) {
    await refused("", { ...ONE, QUORATE_CORS: text }, "QUORATE_CORS", "");
  }
});
