/** The commands of pages, run against five real nodes, or against a gateway before them. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { eachLine } from "../src/cli/lines.ts";
import { shellWord } from "../src/cli/shell_word.ts";
import { pause } from "./chaos/real_cluster.ts";
import { freePorts } from "./free_ports.ts";
import { blocks, ROOT } from "./pages.ts";
import { runShell } from "./shell_block.ts";

export const TASKS = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT))).tasks as Record<string, string>;
/** They are run one after the other, on the same nodes; the last one kills two of these. */
export const SESSION_PAGES = ["README.md", "docs/api.md"] as const;
/** The ports that pages show; the test takes five others. */
const SHOWN_PORT = 8701;
const READY_WITHIN_MS = 30_000;

/** Something that stands before the nodes. */
export type Front = { readonly url: string; stop(): Promise<void> };

/** What a block of a page starts by itself: the nodes, which the test starts for all blocks. */
const isStart = (text: string) => /^npx deno@\S+ task start\n$/.test(text);

/**
 * Runs every block of these pages in order and compares what it prints.
 *
 * @param before starts what takes the place of every node's URL
 */
export async function runSession(before?: (nodes: readonly string[]) => Promise<Front>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-session-" });
  const port = freePorts(5)[0]!;
  const cluster = startCluster(folder, port);
  const asPrinted = (text: string) => readable(text, folder, port);
  let front: Front | undefined;
  try {
    await putNpx(`${folder}/npx`);
    await cluster.ready();
    const nodes = Array.from({ length: 5 }, (_, i) => `http://127.0.0.1:${port + i}`);
    front = await before?.(nodes);
    const env = { PATH: `${folder}:${Deno.env.get("PATH")}`, QUORATE_URL: front?.url ?? nodes.join() };
    for (const path of SESSION_PAGES) {
      // Which instance decides a grant, and so its fence, may differ from run to run; their order may not.
      const fences = new Map<string, string>();
      let printed = "";
      let ran = 0;
      for (const { language, text } of blocks(path)) {
        if (language === "sh" && isStart(text)) {
          printed = "";
        } else if (language === "sh") {
          const script = atPorts(text.replace(/http:\/\/127\.0\.0\.1:870[1-5]/g, (url) => front?.url ?? url), port)
            .replace(/(?<=\/)\d+(?=\s)/g, (fence) => fences.get(fence) ?? fence);
          printed = await runBlock(script, folder, env);
          ran++;
        } else if (language === "json") {
          const actual: unknown = JSON.parse(printed);
          const expected: unknown = JSON.parse(text);
          assertEquals(steady(actual), steady(expected), printed);
          noteFences(fences, expected, actual);
        } else if (language === "text") {
          await cluster.said(asPrinted, printed, text.trimEnd().split("\n").map((line) => asPrinted(line)));
        }
      }
      assertGreater(ran, 2, path);
    }
  } finally {
    await front?.stop();
    await cluster.stop();
    await Deno.remove(folder, { recursive: true });
  }
}

/** `npx deno@VERSION …` as a page has it, by this Deno: nothing is downloaded. */
export async function putNpx(file: string): Promise<void> {
  const words = [Deno.execPath(), ROOT.pathname].map(shellWord);
  const script = `#!/bin/sh\nshift\n[ "$1" != task ] || [ -f deno.json ] || cd ${words[1]}\nexec ${words[0]} "$@"\n`;
  await Deno.writeTextFile(file, script, { mode: 0o755 });
}

/** With the five ports that begin at `port` in the place of those that pages show. */
export function atPorts(text: string, port: number): string {
  return text.replace(/\b870[1-5]\b/g, (shown) => String(Number(shown) - SHOWN_PORT + port));
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

async function runBlock(script: string, folder: string, env: Record<string, string>): Promise<string> {
  const { code, out, err } = await runShell(script, folder, env, ["-e"]);
  assert(code === 0, `${script}${err}`);
  return out;
}

/** A line without what differs from run to run: folder, ports, pids, seconds, and how npx names Deno. */
function readable(text: string, folder: string, port: number): string {
  let shown = text.replaceAll("\r", "").replaceAll(`${folder}/`, "");
  for (let i = 0; i < 5; i++) shown = shown.replaceAll(new RegExp(`\\b${port + i}\\b`, "g"), String(SHOWN_PORT + i));
  return shown
    .replace(/\bpid \d+/g, "pid N")
    .replace(/\b\d+\.\d s\b/g, "N s")
    .replace(/^Consensus-Instance: \d+/gm, "Consensus-Instance: N")
    .replace(/\bnpx deno@[\d.]+/g, "deno");
}

const ALWAYS_VARIES = new Set(["requestId", "retryAfterMs", "waitedMs", "fence", "lastFence", "revision"]);
/** Exact in a grant, whatever it waited; counted down otherwise. */
const VARIES_LATER = new Set(["guaranteedForMs", "lapsesInMs"]);

/** A JSON answer without what differs from run to run. */
function steady(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(steady);
  if (typeof value !== "object" || value === null) return value;
  const isGrant = "waitedMs" in value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      const varies = ALWAYS_VARIES.has(name) || (VARIES_LATER.has(name) && !isGrant);
      return [name, varies ? typeof inner : steady(inner)];
    }),
  );
}

/** Notes which fence of this run is which of the page, and checks that they stand in the same order. */
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
