/** Five real processes, each its own file, on free ports of 127.0.0.1; ended by their own handles only. */
import { assert } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);

export type RealNode = {
  readonly id: string;
  readonly url: string;
  /** What it printed since its last start. */
  output(): string;
};

export class RealCluster {
  readonly folder: string;
  /** Of the members. */
  readonly ids: readonly string[];
  /** Of nodes that do not vote: v, w, … */
  readonly learners: readonly string[];
  readonly #ports = new Map<string, number>();
  readonly #running = new Map<string, { child: Deno.ChildProcess; output: string[] }>();

  private constructor(folder: string, ids: readonly string[], learners: readonly string[]) {
    this.folder = folder;
    this.ids = ids;
    this.learners = learners;
  }

  static async start(n: number, learners = 0): Promise<RealCluster> {
    const folder = await Deno.makeTempDir({ prefix: "quorate-cluster-" });
    const cluster = new RealCluster(folder, [..."abcdefghi".slice(0, n)], [..."vwxyz".slice(0, learners)]);
    const all = [...cluster.ids, ...cluster.learners];
    // All are held open until each is known, so that no two nodes get the same.
    const listeners = all.map(() => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
    all.forEach((id, i) => cluster.#ports.set(id, (listeners[i]!.addr as Deno.NetAddr).port));
    for (const listener of listeners) listener.close();
    try {
      await Promise.all(all.map((id) => cluster.startNode(id, ["--init"])));
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  url(id: string): string {
    return `http://127.0.0.1:${this.#ports.get(id)}`;
  }

  output(id: string): string {
    return this.#running.get(id)?.output.join("") ?? "";
  }

  pid(id: string): number {
    return this.#running.get(id)!.child.pid;
  }

  /** Resolves when the node is ready to vote with a quorum, or, with `ready: false`, as soon as it is spawned. */
  async startNode(
    id: string,
    more: readonly string[] = [],
    { ready = true, env = {} }: { readonly ready?: boolean; readonly env?: Readonly<Record<string, string>> } = {},
  ): Promise<void> {
    const urls = (ids: readonly string[]) => ids.map((other) => `${other}=${this.url(other)}`).join(",");
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "-A",
        "src/cli/main.ts",
        "node",
        ...["--id", id, "--port", String(this.#ports.get(id)), "--cluster", urls(this.ids)],
        ...(this.learners.length > 0 ? ["--learners", urls(this.learners)] : []),
        ...(this.learners.includes(id) ? ["--learner"] : []),
        ...["--kv", `${this.folder}/${id}.sqlite`],
        ...more,
      ],
      cwd: ROOT,
      env: { QUORATE_PEER_SECRET: "a secret of this test only", ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const output: string[] = [];
    this.#running.set(id, { child, output });
    collect(child.stdout, output);
    collect(child.stderr, output);
    if (ready) await this.ready(id);
  }

  async ready(id: string): Promise<void> {
    for (let i = 0; i < 600; i++) {
      const answer = await fetch(`${this.url(id)}/readyz`).then(async (response) => {
        await response.body?.cancel();
        return response.ok;
      }, () => false);
      if (answer) return;
      await pause(50);
    }
    throw new Error(`${id} is not ready: ${this.output(id)}`);
  }

  /** kill -9; resolves when the process is gone. */
  async kill(id: string): Promise<void> {
    const { child } = this.#running.get(id)!;
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await child.status;
    this.#running.delete(id);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((id) => this.kill(id)));
    await Deno.remove(this.folder, { recursive: true });
  }
}

async function collect(stream: ReadableStream<Uint8Array>, into: string[]): Promise<void> {
  for await (const text of stream.pipeThrough(new TextDecoderStream())) into.push(text);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export type Reply = { readonly status: number; readonly body: Record<string, unknown>; readonly headers: Headers };

/** One request to one node; null if there was no answer. */
export async function call(
  base: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Reply | null> {
  try {
    const response = await fetch(`${base}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json(), headers: response.headers };
  } catch {
    return null;
  }
}

/**
 * Asks node after node, with one Idempotency-Key, until one answers with something definite; null if none did in
 * `tries`, and then nobody knows.
 */
export async function callAny(
  urls: readonly string[],
  first: number,
  method: string,
  path: string,
  body: unknown,
  tries: number,
): Promise<Reply | null> {
  const key = crypto.randomUUID();
  for (let i = 0; i < tries; i++) {
    const reply = await call(urls[(first + i) % urls.length]!, method, path, body, { "Idempotency-Key": key });
    if (reply !== null && reply.status < 500) return reply;
    if (reply === null) await pause(20);
  }
  return null;
}

/** null where there is no /proc. */
export async function residentBytes(pid: number): Promise<number | null> {
  if (Deno.build.os !== "linux") return null;
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const kib = /^VmRSS:\s+([0-9]+) kB$/m.exec(status)?.[1];
  assert(kib !== undefined, status);
  return Number(kib) * 1_024;
}
