/** The Python client: its contract, and workers that count under one lock while nodes are killed. */
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { eachLine } from "../../src/cli/lines.ts";
import { withMembers } from "../chaos/member_cluster.ts";
import { RealCluster } from "../chaos/real_cluster.ts";
import { withLinks } from "../client/linked_nodes.ts";
import { nobody } from "../client/scripted_nodes.ts";
import { versionOf } from "../package/installed.ts";
import { until } from "../replica/clocks.ts";
import { memoryApps } from "../routes/memory_apps.ts";

const CLIENT = fileURLToPath(new URL("../../src/python", import.meta.url));
const PYTHON = "python3";
const VERSION = await versionOf(PYTHON);
const WORKERS = 4;
/** What is done between one death and the next. */
const DONE_BETWEEN = 8;
const TTL_SECONDS = 10;

class Script {
  readonly lines: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #ended: Promise<unknown>;

  constructor(file: string, ...args: readonly string[]) {
    const path = fileURLToPath(new URL(file, import.meta.url));
    this.#child = new Deno.Command(PYTHON, {
      args: [path, CLIENT, ...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdin = this.#child.stdin.getWriter();
    const note = (line: string) => void this.lines.push(line);
    this.#ended = Promise.all([eachLine(this.#child.stdout, note), eachLine(this.#child.stderr, note)]);
  }

  async say(line: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(`${line}\n`));
  }

  /** Says that there is nothing more to read. Resolves with how it ended. */
  async end(): Promise<number> {
    await this.#stdin.close().catch(() => {});
    await this.#ended;
    return (await this.#child.status).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.end();
  }
}

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({
    name: `Python client, ${VERSION ?? `(SKIPPED: ${PYTHON} is not on PATH)`}: ${name}`,
    ignore: VERSION === null,
    fn,
  });
}

test("each line of its contract", async () => {
  const apps = await memoryApps(3);
  const urls = apps.cluster.ids.map((id) => apps.url(id)).join();
  try {
    await using script = new Script("contract.py", urls, [nobody().url, nobody().url].join());
    assertEquals(await script.end(), 0, script.lines.join("\n"));
    const [, passed, of] = /^(\d+) of (\d+)$/.exec(script.lines.at(-1)!) ?? [];
    assertEquals([script.lines.length, passed], [1, of], script.lines.join("\n"));
    assert(Number(of) > 10);
  } finally {
    await apps.close();
  }
});

for (const state of ["cut", "silent"] as const) {
  test(`a holder whose network is ${state} knows that it lost the lock before the next has it`, () =>
    withLinks(3, async ({ urls, direct, links }) => {
      await using holder = new Script("holder.py", urls.join(), "job", "2");
      await until("it holds", () => Promise.resolve(holder.lines.length === 1));
      for (const link of links) link.state = state;
      const body = JSON.stringify({ waitMs: 30_000 });
      const next = await fetch(`${direct[0]}/v1/locks/job`, { method: "POST", body });
      assertEquals(next.status, 200);
      const { fence } = await next.json();
      await holder.say("still?");
      await until("it answers", () => Promise.resolve(holder.lines.length === 2));
      assertEquals(holder.lines[1], "False True");
      assert(BigInt(fence) > BigInt(holder.lines[0]!));
    }));
}

test("it goes on though no node lives that it was given; told not to learn, it does not", () =>
  withMembers("abc", async (cluster) => {
    const urls = [..."abc"].map((id) => cluster.url(id)).join();
    await using learner = new Script("learner.py", urls, "1");
    await using other = new Script("learner.py", urls, "0");
    const said = async (script: Script, line: string) => {
      const { length } = script.lines;
      await script.say(line);
      await until("it answers", () => Promise.resolve(script.lines.length > length));
      return script.lines.at(-1);
    };
    await until("both are up", () => Promise.resolve(learner.lines.length + other.lines.length === 2));
    let members = "abc";
    for (const [gone, next] of [["c", "d"], ["a", "e"], ["b", "f"]] as const) {
      members = await cluster.replace(members, gone, next);
      for (let i = 0; i < 5; i++) assertEquals(await said(learner, next), "done");
      await cluster.kill(gone);
    }
    assertEquals([await said(learner, "last"), await said(other, "last")], ["done", "not-ready"]);
  }));

test("each block of docs/python.md, over nodes at other addresses", async () => {
  const apps = await memoryApps(3);
  const urls = apps.cluster.ids.map((id) => apps.url(id));
  try {
    const page = await Deno.readTextFile(new URL("../../docs/python.md", import.meta.url));
    const blocks = [...page.matchAll(/^```python\n(.*?)^```$/gms)].map(([, block]) => block!);
    const said = await Promise.all(blocks.map(async (block) => {
      const code = block.replace(/127\.0\.0\.1:870(\d)/g, (_, i: string) => new URL(urls[Number(i) - 1]!).host);
      const args = ["-B", "-c", code];
      const { stdout, stderr } = await new Deno.Command(PYTHON, { args, env: { PYTHONPATH: CLIENT } }).output();
      return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    }));
    assertEquals(said, ["deploying 1025\n", "leading in term 1025 http://host-1:8080\n"]);
  } finally {
    await apps.close();
  }
});

test(`${WORKERS} workers count under one lock while each of three nodes is killed`, async () => {
  const cluster = await RealCluster.start(3);
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, "0");
  const urls = cluster.ids.map((id) => cluster.url(id));
  const workers = Array.from({ length: WORKERS }, (_, i) => {
    const nearest = [...urls.slice(i % urls.length), ...urls.slice(0, i % urls.length)];
    return new Script("worker.py", nearest.join(), "count", path, String(TTL_SECONDS));
  });
  const done = () => workers.flatMap(({ lines }) => lines.filter((line) => line.startsWith("done ")));
  const more = async (what: string) => {
    const before = done().length;
    await until(what, () => Promise.resolve(done().length >= before + DONE_BETWEEN));
  };
  try {
    await more("all are up");
    for (const id of cluster.ids) {
      await cluster.kill(id);
      await more(`${id} is down`);
      await cluster.startNode(id);
    }
    await more("all are up again");
    assertEquals(await Promise.all(workers.map((worker) => worker.end())), workers.map(() => 0));
    const fences = done().map((line) => line.slice("done ".length));
    assertEquals(new Set(fences).size, fences.length);
    assertEquals(await Deno.readTextFile(path), String(fences.length), "a count was lost");
  } finally {
    for (const worker of workers) await worker[Symbol.asyncDispose]();
    await cluster.stop();
    await Deno.remove(path);
  }
});
