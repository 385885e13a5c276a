/** SIGHUP to real processes: they read their files again, and whatever these hold by then, they go on. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { newCa, newLeaf, type Pair } from "../../src/cli/certificates.ts";
import { Outward } from "../../src/compose/outward.ts";
import { freePort, freePorts } from "../free_ports.ts";
import { until } from "../replica/clocks.ts";
import { becomesReady, Command, isInstalled, run, withFolder } from "./command.ts";

const READ_AGAIN = "SIGHUP: certificates, secrets and tokens are read again";
const UNCHANGED = "SIGHUP: nothing is changed, as ";

function tokensOf(...tokens: readonly string[]): string {
  return JSON.stringify(
    tokens.map((token) => ({ subject: token, sha256: sha256Hex(token), scopes: ["*:read,write:*"] })),
  );
}

/** What it says to the next signal: told apart from what it said to those before by how many there are. */
async function hangUp(process: Command): Promise<string> {
  const said = () => [...process.out, ...process.err].filter((line) => line.includes("SIGHUP: "));
  const before = said().length;
  process.kill("SIGHUP");
  await until(() => [...process.out, ...process.err].join("\n"), () => said().length > before);
  const line = said()[before]!;
  return line.slice(line.indexOf("SIGHUP: "));
}

async function putPair(folder: string, { cert, key }: Pair): Promise<void> {
  await Deno.writeTextFile(`${folder}/cert.pem`, cert);
  await Deno.writeTextFile(`${folder}/key.pem`, key);
}

Deno.test("SIGHUP: a node takes new tokens and shows a new certificate; what it cannot use changes nothing and ends nothing", () =>
  withFolder(async (folder) => {
    const now = Date.now();
    const [old, next] = await Promise.all([newCa(now), newCa(now)]);
    const [one, two] = await Promise.all([old, next].map((ca) => newLeaf(ca, ["127.0.0.1"], 1, now)));
    const port = freePort();
    const put = (name: string, text: string) => Deno.writeTextFile(`${folder}/${name}`, text);
    await putPair(folder, one!);
    await put("tokens", tokensOf("first"));
    await put("secret", "a secret of this test only\n");
    const args = ["--tls-cert", `${folder}/cert.pem`, "--tls-key", `${folder}/key.pem`, "--port", `${port}`];
    await using node = new Command(["node", "--init", "--id", "a", "--kv", `${folder}/a.sqlite`, ...args], {
      QUORATE_TOKENS: `@${folder}/tokens`,
      QUORATE_PEER_SECRET: `@${folder}/secret`,
    });
    await node.line(/ready to serve/);
    /** The status that each token gets from who shows a certificate of this CA, by a connection of its own. */
    const statuses = async ({ cert }: Pair, ...tokens: readonly string[]) =>
      await Promise.all(tokens.map(async (token) => {
        const headers = { authorization: `Bearer ${token}` };
        const response = await new Outward(cert).fetch(`https://127.0.0.1:${port}/v1/locks/x`, { headers });
        await response.body?.cancel();
        return response.status;
      }));
    assertEquals(await statuses(old, "first", "second"), [200, 401]);

    await put("tokens", tokensOf("second"));
    await putPair(folder, two!);
    assertEquals(await hangUp(node), READ_AGAIN);
    assertEquals(await statuses(next, "first", "second"), [401, 200]);
    await assertRejects(() => statuses(old, "second"), TypeError);

    // Each of these would be refused at a start. Beside it stands a good change, which is not taken either.
    await put("tokens", tokensOf("third"));
    const bad = [
      ["cert.pem", one!.cert, "--tls-cert and --tls-key cannot be used together"],
      ["cert.pem", "x".repeat(1_000_000), "--tls-cert holds no PEM certificate"],
      ["key.pem", "", "--tls-key holds no PEM private key"],
      ["key.pem", null, "--tls-key cannot read "],
      ["secret", "short", "QUORATE_PEER_SECRET has fewer than 16 characters"],
      ["secret", null, "QUORATE_PEER_SECRET cannot read "],
    ] as const;
    for (const [name, text, why] of bad) {
      const good = await Deno.readTextFile(`${folder}/${name}`);
      if (text === null) await Deno.remove(`${folder}/${name}`);
      else await put(name, text);
      const said = await hangUp(node);
      assert(said.startsWith(UNCHANGED + why), said);
      assertEquals(await statuses(next, "second", "third"), [200, 401], said);
      await put(name, good);
    }
    for (const text of ["", "[", "[]", '[{"subject": "x"}]', "\u0000\n\n"]) {
      await put("tokens", text);
      const said = await hangUp(node);
      assert(said.startsWith(`${UNCHANGED}QUORATE_TOKENS`), said);
    }
    assertEquals(await statuses(next, "second", "third"), [200, 401]);
    // Mended, the next one takes it.
    await put("tokens", tokensOf("third"));
    assertEquals(await hangUp(node), READ_AGAIN);
    assertEquals(await statuses(next, "second", "third"), [401, 200]);
    // Many at once are one or two.
    for (let i = 0; i < 20; i++) node.kill("SIGHUP");
    assertEquals(await hangUp(node), READ_AGAIN);
    assertEquals(await statuses(next, "third"), [200]);
    node.kill("SIGTERM");
    assertEquals((await node.ended()).code, 0);
  }));

Deno.test("SIGHUP: a gateway trusts the new CA of its nodes and shows its own new certificate", () =>
  withFolder(async (folder) => {
    const now = Date.now();
    const [old, next] = await Promise.all([newCa(now), newCa(now)]);
    const [before, after] = await Promise.all([old, next].map((ca) => newLeaf(ca, ["127.0.0.1"], 1, now)));
    const nodePort = freePorts(2)[0]!;
    const tokens = tokensOf("only");
    await Deno.mkdir(`${folder}/node`);
    await putPair(`${folder}/node`, before!);
    await putPair(folder, before!);
    await Deno.writeTextFile(`${folder}/ca.pem`, old.cert);
    const tls = (at: string) => ["--tls-cert", `${at}/cert.pem`, "--tls-key", `${at}/key.pem`];
    await using node = new Command([
      ...["node", "--init", "--id", "a", "--kv", `${folder}/a.sqlite`, "--port", `${nodePort}`],
      ...tls(`${folder}/node`),
    ], { QUORATE_TOKENS: tokens });
    await node.line(/ready to serve/);
    await using gateway = new Command([
      ...["gateway", "--nodes", `https://127.0.0.1:${nodePort}`, "--port", `${nodePort + 1}`],
      ...[...tls(folder), "--tls-ca", `${folder}/ca.pem`],
    ]);
    const [, url] = await gateway.line(/ready to serve on (https:\S+),/);
    const ask = async (ca: string, path: string) => {
      const headers = { authorization: "Bearer only" };
      const response = await new Outward(ca).fetch(`${url}${path}`, { headers });
      await response.body?.cancel();
      return response.status;
    };
    assertEquals(await ask(old.cert, "/v1/locks/x"), 200);
    await putPair(folder, after!);
    await putPair(`${folder}/node`, after!);
    assertEquals(await hangUp(node), READ_AGAIN);
    // It does not trust its node's any more, and says so when it is told of a CA that is none.
    const bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (const text of [bad, "", "x"]) {
      await Deno.writeTextFile(`${folder}/ca.pem`, text);
      assert((await hangUp(gateway)).startsWith(`${UNCHANGED}--tls-ca holds no`));
    }
    // Its own certificate is the old one yet, as nothing was changed.
    assertEquals(await ask(old.cert, "/healthz"), 200);
    await Deno.writeTextFile(`${folder}/ca.pem`, next.cert);
    assertEquals(await hangUp(gateway), READ_AGAIN);
    assertEquals(await ask(next.cert, "/v1/locks/x"), 200);
  }));

Deno.test("SIGHUP: a terminal that goes ends `start` and its nodes, though each of these outlives it alone", {
  ignore: !await isInstalled("script"),
}, () =>
  withFolder(async (folder) => {
    const port = freePorts(5)[0]!;
    await using start = new Command(["start", "--data", `${folder}/data`, "--port", `${port}`], {}, true);
    await start.line(/take a lock/);
    start.kill("SIGKILL");
    for (let i = 0; i < 5; i++) assert(await refuses(port + i), `port ${port + i}`);

    const args = ["node", "--init", "--id", "a", "--kv", `${folder}/a.sqlite`, "--port", `${port}`];
    await using node = new Command(args, {}, true);
    await node.line(/ready to serve/);
    // The runtime's own, which the terminal's program runs.
    const second = await run(args.map((arg) => arg === `${port}` ? "0" : arg));
    const [, pid] = /\(pid (\d+)\)/.exec(second.err.join("\n")) ?? [];
    assert(pid !== undefined);
    node.kill("SIGKILL");
    await node.ended();
    try {
      assert(await becomesReady(`http://127.0.0.1:${port}`));
      Deno.kill(Number(pid), "SIGHUP");
      assert(await becomesReady(`http://127.0.0.1:${port}`));
    } finally {
      Deno.kill(Number(pid), "SIGTERM");
    }
    assert(await refuses(port));
  }));

/** Resolves when nothing listens there any more; false: something does for a minute. */
async function refuses(port: number): Promise<boolean> {
  for (let tries = 0; tries < 6_000; tries++) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    } catch {
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return false;
}
