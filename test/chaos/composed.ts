/** Whole nodes in this process, put together as `deploy.ts` does it, each on a socket of its own, over links that can be cut. */
import { compose, type Composed } from "../../src/compose/composed.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseConfig } from "../../src/config/config.ts";
import { LINE_PATH } from "../../src/transport/lines.ts";
import { until } from "../replica/clocks.ts";
import { type KvConnect, startKvConnect } from "../kv_connect/server.ts";

const TOKENS = JSON.stringify([{ subject: "s", sha256: sha256Hex("t"), scopes: ["*:read,write:*", "admin:*"] }]);

export type Told = { readonly status: number; readonly body: Record<string, unknown>; readonly text: string };

export class ComposedCluster {
  readonly ids: readonly string[];
  readonly folder = Deno.makeTempDirSync({ prefix: "quorate-composed-" });
  readonly kv: KvConnect = startKvConnect();
  /** What each node said to its operator, of all its lives. */
  readonly lines = new Map<string, string[]>();
  readonly #servers = new Map<string, Deno.HttpServer<Deno.NetAddr>>();
  readonly #nodes = new Map<string, Composed>();
  /** Members that nothing gets to and from. */
  readonly #silent = new Set<string>();

  constructor(n: number) {
    this.ids = [..."abcdefghi".slice(0, n)];
    for (const id of this.ids) {
      const serve = { hostname: "127.0.0.1", port: 0, onListen: () => {} } as const;
      this.#servers.set(id, Deno.serve(serve, (request) => this.#arrive(id, request)));
    }
  }

  static async with(n: number, run: (cluster: ComposedCluster) => Promise<void>): Promise<void> {
    const cluster = new ComposedCluster(n);
    try {
      await run(cluster);
    } finally {
      await Promise.all([...cluster.#nodes.keys()].map((id) => cluster.stop(id)));
      await Promise.all([...cluster.#servers.values()].map((server) => server.shutdown()));
      await cluster.kv.stop();
      await Deno.remove(cluster.folder, { recursive: true });
    }
  }

  url(id: string): string {
    return `http://127.0.0.1:${this.#servers.get(id)!.addr.port}`;
  }

  /** @param store a file, by its name, or a shared database: `kv:NAME` */
  async start(id: string, store: string, flags: readonly string[] = []): Promise<void> {
    const kv = store.startsWith("kv:") ? this.kv.url(store.slice("kv:".length)) : `${this.folder}/${store}`;
    const cluster = this.ids.map((other) => `${other}=${this.url(other)}`).join(",");
    const config = await parseConfig(
      ["--id", id, "--kv", kv, "--cluster", cluster, ...flags],
      {
        QUORATE_PEER_SECRET: "a secret of these nodes only",
        QUORATE_TOKENS: TOKENS,
        QUORATE_KV_TOKEN: this.kv.accessToken,
      },
      () => Promise.reject(new Error("no file is read")),
    );
    const lines = this.lines.get(id) ?? [];
    this.lines.set(id, lines);
    this.#nodes.set(id, await compose(config, (line) => lines.push(line)));
  }

  async stop(id: string): Promise<void> {
    const node = this.#nodes.get(id);
    this.#nodes.delete(id);
    await node?.close();
  }

  /** No message of these gets to another member, and none to them; their clients reach them. */
  silence(...ids: readonly string[]): void {
    for (const id of ids) this.#silent.add(id);
  }

  heal(): void {
    this.#silent.clear();
  }

  async ask(id: string, method: string, path: string, body?: unknown): Promise<Told> {
    const response = await fetch(`${this.url(id)}${path}`, {
      method,
      headers: { Authorization: "Bearer t" },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    let parsed: Record<string, unknown> = {};
    try {
      parsed = JSON.parse(text);
    } catch { /* a register's value */ }
    return { status: response.status, body: parsed, text };
  }

  async status(id: string): Promise<Record<string, unknown>> {
    return (await this.ask(id, "GET", "/v1/status")).body;
  }

  /** Until a node's status is as it should be; fails with what it is. */
  async comes(id: string, test: (status: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
    let status: Record<string, unknown> = {};
    await until(() => `${id}: ${JSON.stringify(status)}`, async () => test(status = await this.status(id)));
    return status;
  }

  async vote(...ids: readonly string[]): Promise<void> {
    for (const id of ids) await this.comes(id, ({ voting }) => voting === true);
  }

  async #arrive(id: string, request: Request): Promise<Response> {
    const node = this.#nodes.get(id);
    const from = request.headers.get("quorate-peer");
    // What goes over a connection that stands does not come by here, and would get through whatever is silenced: so none does.
    const isLine = new URL(request.url).pathname === LINE_PATH;
    const isCut = from !== null && (this.#silent.has(id) || this.#silent.has(from));
    if (node === undefined || isCut || isLine) return new Response(null, { status: 502 });
    return await node.handler(request);
  }
}
