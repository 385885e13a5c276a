/**
 * Real nodes on free ports of 127.0.0.1, ended by their own handles only: one process each with a file of its own, or, as
 * `isolates` or QUORATE_TEST_ISOLATES says, several for each member on one remote database, behind a balancer.
 */
import { assert } from "@std/assert";
import { Balancer } from "./balancer.ts";
import { freePorts } from "../free_ports.ts";
import { type Databases, denokvHere, startDatabases, versionsIn } from "./databases.ts";
import { until } from "../replica/clocks.ts";
import { NodeProcess } from "./node_process.ts";

export type ClusterOptions = {
  /** Told every node's own URL once, says under which one `from` finds `to`; default: its own. */
  readonly links?: (urls: ReadonlyMap<string, string>) => (from: string, to: string) => string;
  /** The file of a node's store; default: in the cluster's folder, which goes with it. */
  readonly store?: (id: string, folder: string) => string;
  /** Puts the stores there before any node starts: they are members' already, and no node is told to make one. */
  readonly put?: (id: string, path: string) => Promise<void>;
  /** Members that do not start with the others, but when the test says so. */
  readonly late?: readonly string[];
  /** A command that the command line of a node is given to. */
  readonly through?: readonly string[];
  /** The program of a node; default: the shipped one. */
  readonly main?: readonly string[];
  /** For every node. */
  readonly env?: Readonly<Record<string, string>>;
  /** Processes for each member; with 1 its store is a file. Default: what QUORATE_TEST_ISOLATES says. */
  readonly isolates?: number;
  /** Databases for several of them, which end with the cluster; default: where `denokvHere` says. */
  readonly databases?: Databases;
};

/** Processes for each member where a test does not say. */
export const ISOLATES = Number(Deno.env.get("QUORATE_TEST_ISOLATES") ?? 1);

/** Where one process of a node runs, or does not. */
type Place = { readonly port: number; process: NodeProcess | null };
type StartOptions = {
  readonly ready?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** Default: that of the cluster. */
  readonly main?: readonly string[];
};

export class RealCluster {
  readonly folder: string;
  /** The members. */
  readonly ids: readonly string[];
  /** The nodes that do not vote: v, w, … They have their stores to themselves. */
  readonly learners: readonly string[];
  /** Null where each node has its store to itself. */
  readonly databases: Databases | null;
  readonly #ports: ReadonlyMap<string, number>;
  readonly #options: ClusterOptions;
  readonly #link: (from: string, to: string) => string;
  readonly #places: ReadonlyMap<string, readonly Place[]>;
  /** For members that several processes serve. */
  readonly #balancers = new Map<string, Balancer>();

  private constructor(
    folder: string,
    ids: readonly string[],
    learners: readonly string[],
    options: ClusterOptions,
    databases: Databases | null,
  ) {
    this.folder = folder;
    this.ids = ids;
    this.learners = learners;
    this.databases = databases;
    this.#options = options;
    const isolates = databases === null ? 1 : options.isolates ?? ISOLATES;
    const all = [...ids, ...learners];
    const ports = [...freePorts(all.length + (isolates === 1 ? 0 : ids.length * isolates))];
    const port = () => ports.pop()!;
    this.#ports = new Map(all.map((id) => [id, port()]));
    this.#places = new Map(all.map((id) => {
      if (isolates === 1 || !ids.includes(id)) return [id, [{ port: this.#ports.get(id)!, process: null }]];
      return [id, Array.from({ length: isolates }, () => ({ port: port(), process: null }))];
    }));
    if (isolates > 1) {
      for (const id of ids) {
        this.#balancers.set(id, new Balancer(this.#ports.get(id)!, Math.random));
      }
    }
    this.#link = options.links?.(new Map(all.map((id) => [id, this.url(id)]))) ?? ((_, to) => this.url(to));
  }

  static async start(n: number, learners = 0, options: ClusterOptions = {}): Promise<RealCluster> {
    const ids = [..."abcdefghi".slice(0, n)];
    const isolates = options.isolates ?? ISOLATES;
    const databases = options.databases ??
      (isolates === 1 ? null : await startDatabases(ids, (await denokvHere()).denokv));
    const folder = await Deno.makeTempDir({ prefix: "quorate-cluster-" });
    const cluster = new RealCluster(folder, ids, [..."vwxyz".slice(0, learners)], options, databases);
    try {
      const all = [...cluster.ids, ...cluster.learners];
      for (const id of all) await options.put?.(id, cluster.store(id));
      const first = all.filter((id) => options.late?.includes(id) !== true);
      await Promise.all(first.map((id) => cluster.startNode(id, options.put === undefined ? ["--init"] : [])));
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** Under which everybody finds the node, whichever of its processes that is. */
  url(id: string): string {
    return `http://127.0.0.1:${this.#ports.get(id)}`;
  }

  /** The URL of one of its processes. */
  isolateUrl(id: string, which: number): string {
    return `http://127.0.0.1:${this.#places.get(id)![which]!.port}`;
  }

  /** Requests that each process of a member was handed so far. */
  requestsOf(id: string): readonly number[] {
    return this.#places.get(id)!.map(({ port }) => this.#balancers.get(id)?.counts.get(port) ?? 0);
  }

  output(id: string): string {
    return this.#running(id).map(({ output }) => output.join("")).join("");
  }

  /** Resolves once its output says so: it comes another way than an answer, and may come after one. */
  async says(id: string, what: string | RegExp): Promise<void> {
    const isSaid = () => typeof what === "string" ? this.output(id).includes(what) : what.test(this.output(id));
    await until(() => `${id} says ${what}; it says ${this.output(id)}`, isSaid);
  }

  /**
   * Lines of its output on what went wrong. That another member does not answer is not among them: it is so of each that
   * starts later than this one, and of one that a busy machine does not let run.
   */
  complaints(id: string): readonly string[] {
    const away = /^node \w+: \w+: (?:refused|timed-out|unreachable|not-ready|no-vote): /;
    return this.output(id).split("\n").filter((line) => /error|failed/i.test(line) && !away.test(line));
  }

  /** The pid of the first of its processes that runs. */
  pid(id: string): number {
    return this.#running(id)[0]!.pid;
  }

  /** The pids of all of its processes that run. */
  pids(id: string): readonly number[] {
    return this.#running(id).map(({ pid }) => pid);
  }

  isRunning(id: string): boolean {
    return this.#running(id).length > 0;
  }

  store(id: string): string {
    if (this.#balancers.has(id)) return this.databases!.url(id);
    return this.#options.store?.(id, this.folder) ?? `${this.folder}/${id}.sqlite`;
  }

  /** What says of a member that runs whether it has committed anything since: its count, or its rows' versions. */
  async commits(id: string): Promise<unknown> {
    if (this.#balancers.has(id)) return await versionsIn(this.databases!, id);
    return (await call(this.url(id), "GET", "/v1/status"))?.body["seq"];
  }

  /** To all processes of a node that runs. */
  signal(id: string, signal: "SIGSTOP" | "SIGCONT"): void {
    for (const process of this.#running(id)) process.signal(signal);
  }

  /** Resolves when the node is ready to vote with a quorum, or, with `ready: false`, as soon as it is spawned. */
  async startNode(id: string, more: readonly string[] = [], options: StartOptions = {}): Promise<void> {
    // What one of them makes of the store the others find.
    const starting = this.#places.get(id)!.map((_, which) =>
      this.startIsolate(id, which, which === 0 ? more : more.filter((flag) => flag !== "--init"), options)
    );
    await Promise.all(starting);
  }

  /** As `startNode`, one of its processes. */
  async startIsolate(
    id: string,
    which: number,
    more: readonly string[] = [],
    { ready = true, env = {}, main = this.#options.main }: StartOptions = {},
  ): Promise<void> {
    const place = this.#places.get(id)![which]!;
    const link = (to: string) => to === id ? this.url(id) : this.#link(id, to);
    const urls = (ids: readonly string[]) => ids.map((other) => `${other}=${link(other)}`).join(",");
    const args = [
      ...["--id", id, "--port", String(place.port), "--cluster", urls(this.ids)],
      ...(this.learners.length > 0 ? ["--learners", urls(this.learners)] : []),
      ...(this.learners.includes(id) ? ["--learner"] : []),
      ...["--kv", this.store(id)],
      ...more,
    ];
    const token: Record<string, string> = this.databases === null
      ? {}
      : { QUORATE_KV_TOKEN: this.databases.accessToken };
    const { through = [] } = this.#options;
    const process = new NodeProcess(args, { ...token, ...this.#options.env, ...env }, through, main);
    place.process = process;
    const isListed = this.#list(id, place, process);
    if (!ready) return;
    await isListed;
    await this.#ready(id, place.port, process);
  }

  async ready(id: string): Promise<void> {
    const ready = this.#places.get(id)!.map(({ port, process }) => process && this.#ready(id, port, process));
    await Promise.all(ready);
  }

  /** As an operator asks a node to end that runs; resolves with the exit codes of its processes. */
  async end(id: string): Promise<readonly number[]> {
    const codes = await Promise.all(this.#running(id).map((process) => process.end()));
    await this.kill(id);
    return codes;
  }

  /** kill -9; resolves when the node is gone. */
  async kill(id: string): Promise<void> {
    await Promise.all(this.#places.get(id)!.map(({ process }, which) => process && this.killIsolate(id, which)));
  }

  /** kill -9 of one of its processes; resolves when it is gone. */
  async killIsolate(id: string, which: number): Promise<void> {
    const place = this.#places.get(id)![which]!;
    await place.process!.kill();
    // Only then: whoever hands on requests learns of a death by it.
    this.#balancers.get(id)?.remove(place.port);
    place.process = null;
  }

  async stop(): Promise<void> {
    const places = [...this.#places.values()].flat();
    await Promise.all(places.map(({ process }) => process?.kill()));
    for (const balancer of this.#balancers.values()) balancer.close();
    await this.databases?.stop();
    await Deno.remove(this.folder, { recursive: true });
  }

  #running(id: string): NodeProcess[] {
    return this.#places.get(id)!.flatMap(({ process }) => process ?? []);
  }

  async #ready(id: string, port: number, process: NodeProcess): Promise<void> {
    if (await answersOk(`http://127.0.0.1:${port}/readyz`, () => !process.hasEnded)) return;
    throw new Error(`${id} is not ready: ${process.output.join("")}`);
  }

  /** Requests go to a process once it has opened its store, as where a platform asks first whether it is well. */
  async #list(id: string, place: Place, process: NodeProcess): Promise<void> {
    const balancer = this.#balancers.get(id);
    if (balancer === undefined) return;
    const isThere = () => place.process === process && !process.hasEnded;
    if (await answersOk(`http://127.0.0.1:${place.port}/healthz`, isThere) && isThere()) balancer.add(place.port);
  }
}

/** Asks until it is so, some two minutes long, or while `goesOn`: ten processes may start at once on two slow cores. */
async function answersOk(url: string, goesOn: () => boolean): Promise<boolean> {
  for (let i = 0; i < 2_400 && goesOn(); i++) {
    const answer = await fetch(url).then(async (response) => {
      await response.body?.cancel();
      return response.ok;
    }, () => false);
    if (answer) return true;
    await pause(50);
  }
  return false;
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
