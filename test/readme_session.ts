/** The session with curl of README.md, run against five real nodes, or against a gateway before them. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { eachLine } from "../src/cli/lines.ts";
import { pause } from "./chaos/real_cluster.ts";
import { README } from "./readme.ts";

export const ROOT = new URL("../", import.meta.url);
export const TASKS = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT))).tasks as Record<string, string>;
/** The ports README shows; the test takes five others. */
const README_PORT = 8701;
const READY_WITHIN_MS = 30_000;
const BLOCK_WITHIN_MS = 30_000;

type Block = { readonly language: string; readonly text: string };

export const BLOCKS: readonly Block[] = [...README.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
  .map(([, language, text]) => ({ language: language!, text: text! }));

export const isCommand = ({ language, text }: Block) => language === "sh" && text.startsWith("npx ");

/** Something that stands before the nodes. */
export type Front = { readonly url: string; stop(): Promise<void> };

/**
 * Runs every block in order and compares what it prints, the killing of two of the five included.
 * `before`: starts what takes the place of every node's URL.
 */
export async function runSession(before?: (nodes: readonly string[]) => Promise<Front>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-readme-" });
  const port = fivePorts();
  const cluster = startCluster(folder, port);
  const asPrinted = (text: string) => readable(text, folder, port);
  let front: Front | undefined;
  try {
    await cluster.ready();
    front = await before?.(Array.from({ length: 5 }, (_, i) => `http://127.0.0.1:${port + i}`));
    // Which instance decides a grant, and so its fence, may differ from run to run; their order may not.
    const fences = new Map<string, string>();
    let printed = "";
    let session = 0;
    for (const block of BLOCKS) {
      if (isCommand(block)) printed = "";
      else if (block.language === "sh") {
        const script = block.text
          .replace(/http:\/\/127\.0\.0\.1:870[1-5]/g, (url) => front?.url ?? url)
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
    await front?.stop();
    await cluster.stop();
    await Deno.remove(folder, { recursive: true });
  }
}

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
