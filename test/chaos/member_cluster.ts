/** Real nodes whose members change: one process each with a file of its own, started always with what its unit file has. */
import { assert } from "@std/assert";
import type { MembersState, NodeStatus } from "../../src/api.ts";
import { NODE_MEMORY } from "../../src/cli/node_process.ts";
import { freePort, freePorts } from "../free_ports.ts";
import { until } from "../replica/clocks.ts";
import { NodeProcess } from "./node_process.ts";
import { call, type Reply } from "./real_cluster.ts";

type Place = { readonly port: number; readonly args: readonly string[]; process: NodeProcess | null };

export class MemberCluster {
  readonly folder: string;
  /** As /v1/status has it. */
  cluster = "";
  readonly #places = new Map<string, Place>();

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** @param ids of the first members, a letter each */
  static async start(ids: string): Promise<MemberCluster> {
    const cluster = new MemberCluster(await Deno.makeTempDir({ prefix: "quorate-members-" }));
    try {
      const free = freePorts(ids.length);
      const ports = new Map([...ids].map((id, i) => [id, free[i]!]));
      const list = [...ports].map(([id, port]) => `${id}=http://127.0.0.1:${port}`).join(",");
      for (const [id, port] of ports) cluster.#place(id, port, ["--cluster", list]);
      await Promise.all([...ids].map((id) => cluster.startNode(id, ["--init"])));
      cluster.cluster = (await cluster.status(ids[0]!))!.cluster;
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** All that were ever started. */
  get ids(): readonly string[] {
    return [...this.#places.keys()];
  }

  url(id: string): string {
    return `http://127.0.0.1:${this.#places.get(id)!.port}`;
  }

  store(id: string): string {
    return `${this.folder}/${id}.sqlite`;
  }

  output(id: string): string {
    return this.#places.get(id)?.process?.output.join("") ?? "";
  }

  isRunning(id: string): boolean {
    return this.#places.get(id)?.process?.hasEnded === false;
  }

  /** A node that waits to be made a member; resolves when it listens. */
  async join(id: string, cluster = this.cluster): Promise<void> {
    this.#place(id, freePort(), ["--join", cluster]);
    await this.startNode(id, [], false);
    await until(`${id} listens`, () => this.output(id).includes("listening on"));
  }

  /** Resolves when it is ready, or at once. */
  async startNode(id: string, more: readonly string[] = [], isReady = true): Promise<void> {
    const place = this.#places.get(id)!;
    place.process = new NodeProcess([...place.args, ...more], {}, []);
    if (isReady) await this.ready(id);
  }

  async ready(id: string): Promise<void> {
    const isReady = async () => {
      if (!this.isRunning(id)) throw new Error(`${id} has ended: ${this.output(id)}`);
      return (await call(this.url(id), "GET", "/readyz"))?.status === 200;
    };
    await until(`${id} is ready: ${this.output(id)}`, isReady);
  }

  /** kill -9. */
  async kill(id: string): Promise<void> {
    const place = this.#places.get(id);
    await place?.process?.kill();
    if (place !== undefined) place.process = null;
  }

  signal(id: string, signal: "SIGSTOP" | "SIGCONT"): void {
    this.#places.get(id)!.process!.signal(signal);
  }

  async loseDisk(id: string): Promise<void> {
    await this.kill(id);
    for await (const { name } of Deno.readDir(this.folder)) {
      if (name.startsWith(`${id}.sqlite`)) await Deno.remove(`${this.folder}/${name}`);
    }
  }

  async status(id: string): Promise<NodeStatus | null> {
    const reply = await call(this.url(id), "GET", "/v1/status");
    return reply?.status === 200 ? reply.body as unknown as NodeStatus : null;
  }

  /** Asks one node to make these the members of the next epoch. */
  change(via: string, expect: number, ids: string): Promise<Reply | null> {
    return call(this.url(via), "POST", "/v1/members?timeoutMs=20000", { expect, members: this.members(ids) });
  }

  /** Puts `next` in the place of one of `members`. Resolves with those there are then, once all names have moved. */
  async replace(members: string, gone: string, next: string): Promise<string> {
    const via = [...members].find((id) => id !== gone)!;
    const { epoch } = (await this.status(via))!;
    await this.join(next);
    const after = members.replace(gone, next);
    const reply = await this.change(via, epoch, after);
    assert(reply?.status === 200, JSON.stringify(reply?.body));
    await this.moved(epoch + 1, after);
    return after;
  }

  members(ids: string): MembersState["members"] {
    return [...ids].map((id) => ({ id, url: this.url(id) }));
  }

  /** Until all names have moved, as each of these says. */
  async moved(epoch: number, ids: string): Promise<void> {
    for (const id of ids) {
      let status: NodeStatus | null = null;
      const isIn = async () => {
        status = await this.status(id);
        return status?.epoch === epoch && status.changing === undefined;
      };
      await until(() => `${id} is in epoch ${epoch}, and all names are: ${JSON.stringify(status)}`, isIn);
    }
  }

  /** The command line, with the URLs of these nodes; what it said, and its exit code. */
  async quorate(ids: string, ...args: readonly string[]): Promise<{ readonly code: number; readonly text: string }> {
    const urls = [...ids].map((id) => this.url(id)).join(",");
    // V8 takes compiled code from its cache only under the flags that it was compiled with, and these are the nodes'.
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", NODE_MEMORY, "-A", "src/cli/main.ts", ...args, "--url", urls],
      cwd: new URL("../../", import.meta.url),
    }).output();
    const decoder = new TextDecoder();
    return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#places.keys()].map((id) => this.kill(id)));
    await Deno.remove(this.folder, { recursive: true });
  }

  #place(id: string, port: number, more: readonly string[]): void {
    const args = ["--id", id, "--port", `${port}`, "--kv", this.store(id), ...more];
    this.#places.set(id, { port, args, process: null });
  }
}

export async function withMembers(ids: string, run: (cluster: MemberCluster) => Promise<void>): Promise<void> {
  const cluster = await MemberCluster.start(ids);
  try {
    await run(cluster);
  } finally {
    await cluster.stop();
  }
}
