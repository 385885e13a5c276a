/** README.md does what it says: its session runs against five real nodes, and what it names is there. */
import { assert, assertEquals, assertGreater, assertMatch, assertRejects } from "@std/assert";
import { parseConfig } from "../src/config/config.ts";
import { quorumSizes } from "../src/paxos/quorum.ts";
import { quoted, README, section, tableRows } from "./readme.ts";
import { withApps } from "./routes/memory_apps.ts";
import { BLOCKS, isCommand, ROOT, runSession, TASKS } from "./readme_session.ts";

const TOKENS = JSON.stringify([{ subject: "ci", sha256: "0".repeat(64), scopes: ["lock:read,write:deploy/*"] }]);

Deno.test("README: its commands are tasks of deno.json, at the version .ci/run pins", async () => {
  const ci = await Deno.readTextFile(new URL(".ci/run", ROOT));
  const pinned = /npx --yes deno@([\d.]+)/.exec(ci)?.[1];
  assert(pinned !== undefined);
  const lines = BLOCKS.filter(isCommand).map(({ text }) => text.trim());
  assertEquals(lines.slice(0, 2), [`npx deno@${pinned} task start`, `npx deno@${pinned} task test`]);
  for (const line of lines) {
    const [, version, task] = /^npx deno@(\S+) task (\S+)/.exec(line) ?? [];
    assertEquals(version, pinned, line);
    assert(task !== undefined && Object.hasOwn(TASKS, task), line);
  }
  for (const [, task] of README.matchAll(/`deno task (\w+)`/g)) assert(Object.hasOwn(TASKS, task!), task);
});

Deno.test("README: the node it starts for real use is one that would start", async () => {
  const line = BLOCKS.filter(isCommand).map(({ text }) => text.trim()).find((text) => text.includes(" task node "));
  const env = { QUORATE_PEER_SECRET: "sixteen characters", QUORATE_TOKENS: TOKENS };
  const pem = "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n";
  const config = await parseConfig(line!.split(" task node ")[1]!.split(" "), env, () => Promise.resolve(pem));
  assertEquals(Object.keys(config.urls), ["a", "b", "c"]);
});

Deno.test("README: its table of settings has every flag and variable of a node", async () => {
  const unknown = await assertRejects(() => parseConfig(["--no-such-flag", "x"], {}, () => Promise.resolve("")), Error);
  const flags = unknown.message.split("; flags are ")[1]!.split(", ");
  const sources = await Promise.all(
    ["src/config/config.ts", "deploy.ts"].map((path) => Deno.readTextFile(new URL(path, ROOT))),
  );
  const variables = new Set([...sources.join("\n").matchAll(/"(QUORATE_[A-Z_]+)"/g)].map(([, name]) => name!));
  assertGreater(flags.length, 10);
  assertGreater(variables.size, 8);
  const [, ...rows] = tableRows(section("Running it for real"));
  const named = rows.flatMap(([flag, variable]) => quoted(`${flag} ${variable}`));
  // `--trace` is the command line's own: it sets the variable.
  assertEquals([...named].sort(), [...flags, ...variables, "--trace"].sort());
});

Deno.test("README: the quorum table is what the code counts", () => {
  const rows = tableRows(section("Quorums"));
  const sizes = rows[0]!.slice(1).map(Number).map(quorumSizes);
  const column = (row: number) => rows[row]!.slice(1).map(Number);
  assertEquals(column(1), sizes.map(({ f }) => f));
  assertEquals(column(2), sizes.map(({ classic }) => classic));
  assertEquals(column(3), sizes.map(({ openFast }) => openFast));
  assertEquals(column(4), sizes.map(({ inclusiveFast }) => inclusiveFast));
});

Deno.test("README: every symbol of the role map stands in the file it names", async () => {
  const rows = tableRows(section("Where Paxos is")).filter(([, file]) => file?.startsWith("`"));
  assertGreater(rows.length, 10);
  for (const [what, file, symbols] of rows) {
    const source = await Deno.readTextFile(new URL(file!.replaceAll("`", ""), ROOT));
    const [first, ...rest] = quoted(symbols!);
    assert(new RegExp(`^export (function|class|type|const) ${first}\\b`, "m").test(source), `${what}: ${first}`);
    for (const symbol of rest) assert(new RegExp(`\\b${symbol}\\b`).test(source), `${what}: ${symbol}`);
  }
});

Deno.test("README: the files and folders it names exist", async () => {
  assertGreater(quoted(section("Life of a request")).length, 12);
  const paths = quoted(README).filter((text) => /^(src|routes|test|\.ci)\/[\w/.]*$|^\w+\.(ts|md|json)$/.test(text));
  for (const path of paths) {
    // Left out on purpose: it says that there is none.
    if (path === "package.json") continue;
    await Deno.stat(new URL(path, ROOT)).catch(() => {
      throw new Error(`README names ${path}, which is not there`);
    });
  }
});

Deno.test("README: its TypeScript runs as it stands, on nodes of its own", async () => {
  const [block, ...others] = BLOCKS.filter(({ language }) => language === "ts");
  assertEquals(others, []);
  await withApps(3, async (apps) => {
    const ids: Record<string, string> = { "8701": "a", "8702": "b" };
    const code = block!.text.replace(/http:\/\/127\.0\.0\.1:(870[12])/g, (_, port) => apps.url(ids[port]!));
    const args = ["eval", "--check", code];
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).output();
    // How much is left depends on the machine; more than the lease there never is.
    const told = /^fence \d+, for (?:[12]?\d|30) s\n$/;
    assertMatch(new TextDecoder().decode(stdout), told, new TextDecoder().decode(stderr));
    assertEquals((await (await apps.ask("c", "/v1/locks/report")).json()).state, "free");
  });
});

Deno.test("README: the session with curl goes as it is printed", () => runSession());

Deno.test("README: its charts are the stored ones", async () => {
  for (const flow of [1, 3]) {
    const chart = await Deno.readTextFile(new URL(`trace/flow_${flow}.txt`, import.meta.url));
    assert(README.includes(chart.trimEnd()), `flow ${flow}`);
  }
});
