import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { freePort } from "../free_ports.ts";
import { ABSENT, becomesReady, Command, type Ended, run, withFolder } from "./command.ts";

/** That a command ended with this code, having said nothing but one line like `pattern`, on stderr. */
function assertOneLine(ended: Ended, code: number, pattern: RegExp): void {
  assertEquals(
    { code: ended.code, out: ended.out, lines: ended.err.length },
    { code, out: [], lines: 1 },
    String(ended.err),
  );
  assertMatch(ended.err[0] ?? "", pattern);
}

const nodeArgs = (
  folder: string,
  port: number,
) => ["node", "--id", "a", "--kv", `${folder}/a b.sqlite`, "--port", `${port}`];

Deno.test("node: a flag, a store and a port that cannot be are one line each", () =>
  withFolder(async (folder) => {
    assertOneLine(await run(["node", "--colour", "red"]), 2, /^quorate node: --colour is not a flag; flags are --id,/);
    assertOneLine(await run(["node", "--id", "a"]), 2, /^quorate node: --kv or QUORATE_KV is needed/);
    // The message of JSON.parse quotes its input, line breaks included.
    const tokens = { QUORATE_TOKENS: '[\n{"subject"\n' };
    assertOneLine(
      await run(["node", "--id", "a", "--kv", "x"], tokens),
      2,
      /^quorate node: QUORATE_TOKENS is not JSON/,
    );

    await Deno.writeTextFile(`${folder}/file`, "");
    const below = ["node", "--id", "a", "--kv", `${folder}/file/a.sqlite`, "--port", "0"];
    assertOneLine(await run(below, ABSENT), 1, /^quorate node: cannot write .*\/file\/a\.sqlite\.lock: /);

    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = taken.addr as Deno.NetAddr;
    const used = await run([...nodeArgs(folder, port), "--init"], ABSENT);
    assertOneLine(used, 1, new RegExp(`^quorate node: port ${port} on 127\\.0\\.0\\.1 is in use`));
    // A node that could not serve has not become a member.
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["file"]);
  }));

Deno.test("node: an uninitialised store is served as not ready, and --init is named", () =>
  withFolder(async (folder) => {
    const port = freePort();
    await using node = new Command(nodeArgs(folder, port), ABSENT);
    await node.line(new RegExp(`^node a listening on http://127\\.0\\.0\\.1:${port}$`));
    const { input: line } = await node.line(/is not initialised/);
    assertEquals(line.endsWith(`deno task node --init --id a --kv '${folder}/a b.sqlite' --port ${port}`), true, line);
    const response = await fetch(`http://127.0.0.1:${port}/readyz`);
    assertEquals([response.status, (await response.json()).code], [503, "not-ready"]);

    const second = await run(nodeArgs(folder, 0), ABSENT);
    assertOneLine(
      second,
      1,
      new RegExp(`^quorate node: .*a b\\.sqlite is in use by another process \\(pid ${node.pid}\\)$`),
    );

    // Twice, as Ctrl-C under `deno task start` arrives.
    node.kill("SIGINT");
    node.kill("SIGTERM");
    const { code, out, err } = await node.ended();
    assertEquals([code, out.length, err.length], [0, 1, 1], [...out, ...err].join("\n"));
  }));

Deno.test("node: --init makes a member once, and its store is nobody else's", () =>
  withFolder(async (folder) => {
    const env = ABSENT;
    {
      await using node = new Command([...nodeArgs(folder, 0), "--init"], env);
      await node.line(/^node a initialised: .*a b\.sqlite is now a member of cluster q-[0-9a-f]{12} \(a, b, c\)$/);
      await node.line(/^node a listening/);
      // Nobody there to be one of: why is told, and that it is ready is not.
      await node.line(/^node a: b: refused: nothing listens at its URL \(/);
      node.kill("SIGTERM");
      const { code, out } = await node.ended();
      assertEquals([code, out.filter((line) => line.includes("ready"))], [0, []]);
    }
    assertOneLine(await run([...nodeArgs(folder, 0), "--init"], env), 1, /^quorate node: .* already/);
    const other = ["node", "--id", "b", "--kv", `${folder}/a b.sqlite`, "--port", "0"];
    assertOneLine(await run(other, env), 1, /^quorate node: .*belongs to member a /);
  }));

Deno.test("node: a cluster of one is ready by itself, and stops though somebody waits", () =>
  withFolder(async (folder) => {
    await using node = new Command([...nodeArgs(folder, 0), "--init"]);
    const [, url] = await node.line(/^node a ready to serve on (http:.*)$/);
    assertEquals(await becomesReady(url ?? ""), true);
    const lock = await fetch(`${url}/v1/locks/demo`, { method: "POST", body: "{}" });
    assertEquals([lock.status, (await lock.json()).name], [200, "demo"]);

    const waiting = fetch(`${url}/v1/locks/demo`, { method: "POST", body: '{"waitMs": 300000}' });
    const cut = waiting.then((response) => response.body?.cancel(), () => {});
    for (let queued = 0, asked = 0; queued === 0 && asked < 400; asked++) {
      queued = (await (await fetch(`${url}/v1/locks/demo`)).json()).waiterCount;
    }
    node.kill("SIGTERM");
    const { code, err } = await node.ended();
    assertEquals([code, err], [0, []]);
    await cut;
  }));

Deno.test("main: no command, an unknown one, and --help show how to call it", async () => {
  for (const [args, code] of [[[], 2], [["--help"], 0], [["node", "--help"], 0]] as const) {
    const ended = await run(args);
    assertEquals([ended.code, ended.err.length > 0], [code, code === 2]);
    assertMatch([...ended.out, ...ended.err].join("\n"), /^usage:\n {2}deno task start/m);
  }
  const { code, err } = await run(["fly"]);
  assertEquals([code, err], [2, ["quorate: unknown command 'fly'"]]);
});

Deno.test("node: a time that --forget-after cannot be is refused in one line, before anything is made", () =>
  withFolder(async (folder) => {
    const { code, err } = await run([...nodeArgs(folder, 0), "--init", "--forget-after", "59s"]);
    assertEquals([code, err.length], [2, 1]);
    assertMatch(err[0]!, /--forget-after is neither "off" nor a minute or more/);
    assertEquals([...Deno.readDirSync(folder)], []);
  }));

Deno.test("main: the help names every flag of a node", async () => {
  const refused = await run(["node", "--colour", "red"]);
  const flags = refused.err[0]!.split("; flags are ")[1]!.split(", ");
  assertGreater(flags.length, 10);
  const help = (await run(["--help"])).out.join("\n");
  assertEquals(flags.filter((flag) => !new RegExp(`${flag}\\b(?!-)`).test(help)), []);
});

Deno.test("node: --log json is one document a line on standard output, with no secret and no name of a lock", () =>
  withFolder(async (folder) => {
    const token = "token-of-this-test-only";
    const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token))).toHex();
    const tokens = [{ subject: "ci", sha256, scopes: ["*:read,write,admin:*"] }];
    const secret = "sixteen characters of a secret";
    const env = {
      QUORATE_TOKENS: JSON.stringify(tokens),
      QUORATE_PEER_SECRET: secret,
      QUORATE_RATE: "1/1",
      QUORATE_LOG: "json",
    };
    await using node = new Command([...nodeArgs(folder, 0), "--init"], env);
    const [, url] = await node.line(/"url":"(http:[^"]*)"/);
    await node.line(/"event":"ready"/);
    const headers = { Authorization: `Bearer ${token}` };
    // At once: they are more than it takes in a second, however long each of them takes.
    const answers = await Promise.all(Array.from({ length: 20 }, async () => {
      const response = await fetch(`${url}/v1/locks/hidden-name`, { method: "POST", body: "{}", headers });
      await response.body?.cancel();
      return response.status;
    }));
    assertEquals(answers.includes(429), true);
    await node.line(/"event":"rate-limit"/);
    node.kill("SIGTERM");
    const { code, out, err } = await node.ended();
    assertEquals([code, err], [0, []]);
    const lines = out.map((line) => JSON.parse(line));
    assertEquals(lines.map(({ event }) => event), ["initialised", "listening", "ready", "rate-limit"]);
    for (const line of lines) {
      assertEquals([typeof line.ts, typeof line.msg, line.node], ["string", "string", "a"]);
      assertEquals(["debug", "info", "warn", "error"].includes(line.level), true);
    }
    assertEquals(lines[3].subject, "ci");
    for (const hidden of [token, sha256, secret, "hidden-name"]) {
      assertEquals(out.some((line) => line.includes(hidden)), false, hidden);
    }
  }));
