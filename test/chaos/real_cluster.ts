/** Five real processes, each its own file, on free ports of 127.0.0.1; ended by their own handles only. */
import { assert } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);

export type ClusterOptions = {
  /** Told every node's own URL once, says under which one `from` finds `to`; default: its own. */
  readonly links?: (urls: ReadonlyMap<string, string>) => (from: string, to: string) => string;
  /** The file of a node's store; default: in the cluster's folder, which goes with it. */
  readonly store?: (id: string, folder: string) => string;
  /** A command that the command line of a node is given to. */
  readonly through?: readonly string[];
  /** Of every node. */
  readonly env?: Readonly<Record<string, string>>;
};

/** A sender's own port is taken from above these, so that none of them takes the port of a node that is down. */
const PORTS = { first: 12_000, count: 20_000 } as const;
const PORT_TRIES = 1_000;

export class RealCluster {
  readonly folder: string;
  /** Of the members. */
  readonly ids: readonly string[];
  /** Of nodes that do not vote: v, w, … */
  readonly learners: readonly string[];
  readonly #ports: ReadonlyMap<string, number>;
  readonly #options: ClusterOptions;
  readonly #link: (from: string, to: string) => string;
  readonly #running = new Map<string, { child: Deno.ChildProcess; output: string[] }>();

  private constructor(folder: string, ids: readonly string[], learners: readonly string[], options: ClusterOptions) {
    this.folder = folder;
    this.ids = ids;
    this.learners = learners;
    this.#options = options;
    const all = [...ids, ...learners];
    // All are held open until each is known, so that no two nodes get the same.
    const listeners = all.map(() => listenSomewhere());
    this.#ports = new Map(all.map((id, i) => [id, listeners[i]!.addr.port]));
    for (const listener of listeners) listener.close();
    this.#link = options.links?.(new Map(all.map((id) => [id, this.url(id)]))) ?? ((_, to) => this.url(to));
  }

  static async start(n: number, learners = 0, options: ClusterOptions = {}): Promise<RealCluster> {
    const folder = await Deno.makeTempDir({ prefix: "quorate-cluster-" });
    const cluster = new RealCluster(folder, [..."abcdefghi".slice(0, n)], [..."vwxyz".slice(0, learners)], options);
    try {
      await Promise.all([...cluster.ids, ...cluster.learners].map((id) => cluster.startNode(id, ["--init"])));
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

  isRunning(id: string): boolean {
    return this.#running.has(id);
  }

  store(id: string): string {
    return this.#options.store?.(id, this.folder) ?? `${this.folder}/${id}.sqlite`;
  }

  /** Of a node that runs. */
  signal(id: string, signal: "SIGSTOP" | "SIGCONT"): void {
    this.#running.get(id)!.child.kill(signal);
  }

  /** Resolves when the node is ready to vote with a quorum, or, with `ready: false`, as soon as it is spawned. */
  async startNode(
    id: string,
    more: readonly string[] = [],
    { ready = true, env = {} }: { readonly ready?: boolean; readonly env?: Readonly<Record<string, string>> } = {},
  ): Promise<void> {
    const link = (to: string) => to === id ? this.url(id) : this.#link(id, to);
    const urls = (ids: readonly string[]) => ids.map((other) => `${other}=${link(other)}`).join(",");
    const [command, ...before] = [...this.#options.through ?? [], Deno.execPath()];
    const child = new Deno.Command(command!, {
      args: [
        ...before,
        "run",
        "--quiet",
        "-A",
        "src/cli/main.ts",
        "node",
        ...["--id", id, "--port", String(this.#ports.get(id)), "--cluster", urls(this.ids)],
        ...(this.learners.length > 0 ? ["--learners", urls(this.learners)] : []),
        ...(this.learners.includes(id) ? ["--learner"] : []),
        ...["--kv", this.store(id)],
        ...more,
      ],
      cwd: ROOT,
      env: { QUORATE_PEER_SECRET: "a secret of this test only", ...this.#options.env, ...env },
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

function listenSomewhere(): Deno.TcpListener {
  for (let i = 0; i < PORT_TRIES; i++) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    try {
      return Deno.listen({ hostname: "127.0.0.1", port });
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  throw new Error(`no free port in ${PORT_TRIES} tries`);
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
