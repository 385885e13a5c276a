/** README.md does what it says: its session runs against five real nodes, and what it names is there. */
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { parseConfig } from "../src/config.ts";
import { eachLine } from "../src/cli/lines.ts";
import { quorumSizes } from "../src/paxos/quorum.ts";
import { pause } from "./chaos/real_cluster.ts";
import { quoted, README, section, tableRows } from "./readme.ts";

const ROOT = new URL("../", import.meta.url);
const TASKS = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT))).tasks as Record<string, string>;
/** The ports README shows; the test takes five others. */
const README_PORT = 8701;
const TOKENS = JSON.stringify([{ subject: "ci", sha256: "0".repeat(64), scopes: ["lock:read,write:deploy/*"] }]);
const READY_WITHIN_MS = 30_000;
const BLOCK_WITHIN_MS = 30_000;

type Block = { readonly language: string; readonly text: string };

const BLOCKS: readonly Block[] = [...README.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
  .map(([, language, text]) => ({ language: language!, text: text! }));

const isCommand = ({ language, text }: Block) => language === "sh" && text.startsWith("npx ");

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
    ["src/config.ts", "deploy.ts"].map((path) => Deno.readTextFile(new URL(path, ROOT))),
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

Deno.test("README: the session with curl goes as it is printed", async () => {
  const folder = await Deno.makeTempDir({ prefix: "quorate-readme-" });
  const port = fivePorts();
  const cluster = startCluster(folder, port);
  const asPrinted = (text: string) => readable(text, folder, port);
  try {
    await cluster.ready();
    // Which instance decides a grant, and so its fence, may differ from run to run; their order may not.
    const fences = new Map<string, string>();
    let printed = "";
    let session = 0;
    for (const block of BLOCKS) {
      if (isCommand(block)) printed = "";
      else if (block.language === "sh") {
        const script = block.text
          .replace(/\b870[1-5]\b/g, (text) => String(Number(text) - README_PORT + port))
          .replace(/(?<=\/)\d+(?=\s)/g, (fence) => fences.get(fence) ?? fence);
        printed = await runBlock(script, folder);
        session++;
      } else if (block.language === "json") {
        const actual: unknown = JSON.parse(printed);
        const expected: unknown = JSON.parse(block.text);
        assertEquals(steady(actual), steady(expected), printed);
        noteFences(fences, expected, actual);
      } else if (block.language === "text") {
        await cluster.said(asPrinted, printed, block.text.trimEnd().split("\n").map((line) => asPrinted(line)));
      }
    }
    assertGreater(session, 8);
  } finally {
    await cluster.stop();
    await Deno.remove(folder, { recursive: true });
  }
});

/** The first of five free ports in a row. */
function fivePorts(): number {
  for (let attempt = 0; attempt < 100; attempt++) {
    const base = 20_000 + Math.floor(Math.random() * 10_000);
    const listeners: Deno.Listener[] = [];
    try {
      for (let i = 0; i < 5; i++) listeners.push(Deno.listen({ hostname: "127.0.0.1", port: base + i }));
      return base;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    } finally {
      for (const listener of listeners) listener.close();
    }
  }
  throw new Error("no five free ports in a row");
}

/** `deno task start` as deno.json has it, by this Deno and without a shell between. */
function startCluster(folder: string, port: number) {
  const [command, ...args] = TASKS["start"]!.split(" ");
  assertEquals(command, "deno");
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args, "--data", `${folder}/data`, "--port", String(port)],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lines: string[] = [];
  const heard = Promise.all([child.stdout, child.stderr].map((stream) => eachLine(stream, (line) => lines.push(line))));
  const until = async (what: string, done: () => boolean) => {
    const deadline = performance.now() + READY_WITHIN_MS;
    while (performance.now() < deadline) {
      if (done()) return;
      await pause(20);
    }
    throw new Error(`${what} did not come:\n${lines.join("\n")}`);
  };
  return {
    ready: () => until("the line with a lock to take", () => lines.some((line) => line.startsWith("take a lock"))),
    /** Whether all of `expected` are among the lines `printed` by a block, or, later maybe, by the nodes. */
    said: async (asPrinted: (text: string) => string, printed: string, expected: readonly string[]) => {
      const said = () => new Set([...printed.split("\n"), ...lines].map(asPrinted));
      await until(`"${expected.join("\n")}"`, () => expected.every((line) => said().has(line)));
    },
    stop: async () => {
      try {
        child.kill("SIGTERM");
      } catch {
        // It has ended by itself.
      }
      // It ends its nodes itself, and kills those that do not end.
      const timer = setTimeout(() => child.kill("SIGKILL"), 15_000);
      await child.status;
      clearTimeout(timer);
      await heard;
    },
  };
}

async function runBlock(script: string, folder: string): Promise<string> {
  const child = new Deno.Command("sh", {
    args: ["-e", "-c", script],
    cwd: folder,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), BLOCK_WITHIN_MS);
  const { success, stdout, stderr } = await child.output();
  clearTimeout(timer);
  const decoder = new TextDecoder();
  assert(success, `${script}${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}

/** A line without what differs from run to run: folder, ports, pids, seconds, and how npx names Deno. */
function readable(text: string, folder: string, port: number): string {
  let shown = text.replaceAll("\r", "").replaceAll(`${folder}/`, "");
  for (let i = 0; i < 5; i++) shown = shown.replaceAll(new RegExp(`\\b${port + i}\\b`, "g"), String(README_PORT + i));
  return shown
    .replace(/\bpid \d+/g, "pid N")
    .replace(/\b\d+\.\d s\b/g, "N s")
    .replace(/^Consensus-Instance: \d+/gm, "Consensus-Instance: N")
    .replace(/\bnpx deno@[\d.]+/g, "deno");
}

const ALWAYS_VARIES = new Set(["requestId", "retryAfterMs", "waitedMs", "fence", "lastFence", "revision"]);
/** Exact in a grant that came at once, counted down or up otherwise. */
const VARIES_LATER = new Set(["notBeforeMs", "notAfterMs"]);

/** A JSON answer without what differs from run to run. */
function steady(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(steady);
  if (typeof value !== "object" || value === null) return value;
  const isFresh = (value as Record<string, unknown>)["waitedMs"] === 0;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      const varies = ALWAYS_VARIES.has(name) || (VARIES_LATER.has(name) && !isFresh);
      return [name, varies ? typeof inner : steady(inner)];
    }),
  );
}

/** Notes which fence of this run is which of README, and checks that they stand in the same order. */
function noteFences(fences: Map<string, string>, expected: unknown, actual: unknown): void {
  const printed = fencesIn(expected);
  fencesIn(actual).forEach((fence, index) => {
    assertEquals(fences.get(printed[index]!) ?? fence, fence);
    fences.set(printed[index]!, fence);
  });
  const inOrder = [...fences].sort(([a], [b]) => Number(a) - Number(b)).map(([, fence]) => Number(fence));
  assertEquals(inOrder, [...new Set(inOrder)].sort((a, b) => a - b));
}

function fencesIn(value: unknown): readonly string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    name === "fence" || name === "lastFence" ? [String(inner)] : fencesIn(inner)
  );
}

Deno.test("README: its charts are the stored ones", async () => {
  for (const flow of [1, 3]) {
    const chart = await Deno.readTextFile(new URL(`trace/flow_${flow}.txt`, import.meta.url));
    assert(README.includes(chart.trimEnd()), `flow ${flow}`);
  }
});
