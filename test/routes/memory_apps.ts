/** The HTTP side of every node of a cluster in this process, on a real socket each or without one. */
import { createApp } from "../../routes/app.ts";
import type { AppOptions } from "../../routes/app.ts";
import { realClock, realRandomness } from "../../src/compose/world.ts";
import { type MemoryCluster, memoryCluster, type MemoryClusterOptions } from "../replica/memory_cluster.ts";

export type Apps = {
  readonly cluster: MemoryCluster;
  /** What became a 500. */
  readonly reports: Error[];
  /** A request to one node, without a socket. */
  ask(id: string, path: string, init?: RequestInit): Promise<Response>;
  /** The same, of a request that a server got: some methods no client here can send. */
  handle(id: string, request: Request): Promise<Response>;
  /** Its origin on 127.0.0.1, served from the first call on. */
  url(id: string): string;
  /** After `cluster.kill`: the node starts again on its disk. Resolves once it is up. */
  restart(id: string): Promise<void>;
  close(): Promise<void>;
};

export async function memoryApps(
  n: number,
  options: Partial<AppOptions> = {},
  clusterOptions: MemoryClusterOptions = {},
): Promise<Apps> {
  const cluster = await memoryCluster(n, clusterOptions);
  const reports: Error[] = [];
  const appOf = (id: string) =>
    createApp(cluster.node(id), {
      tokens: null,
      rate: null,
      peers: null,
      newId: () => realRandomness.id(),
      now: () => realClock.now(),
      after: (ms, run) => realClock.after(ms, run),
      report: (error) => reports.push(error),
      ...options,
    });
  const apps = new Map(cluster.ids.map((id) => [id, appOf(id)]));
  const servers = new Map<string, Deno.HttpServer<Deno.NetAddr>>();
  const cutOff = new AbortController();
  return {
    cluster,
    reports,
    ask: async (id, path, init) => await apps.get(id)!.fetch(new Request(`http://localhost${path}`, init)),
    handle: async (id, request) => await apps.get(id)!.fetch(request),
    url(id) {
      const server = servers.get(id) ??
        Deno.serve(
          { hostname: "127.0.0.1", port: 0, onListen: () => {}, signal: cutOff.signal },
          (request) => apps.get(id)!.fetch(request),
        );
      servers.set(id, server);
      return `http://127.0.0.1:${server.addr.port}`;
    },
    async restart(id) {
      await cluster.restart(id);
      apps.set(id, appOf(id));
    },
    async close() {
      // Not gracefully: a fetch that was given up just as its answer came may keep its connection for ever.
      cutOff.abort();
      await Promise.all([...servers.values()].map((server) => server.finished));
      cluster.close();
    },
  };
}

export async function withApps(
  n: number,
  run: (apps: Apps) => Promise<void>,
  options: Partial<AppOptions> = {},
  clusterOptions: MemoryClusterOptions = {},
): Promise<void> {
  const apps = await memoryApps(n, options, clusterOptions);
  try {
    await run(apps);
  } finally {
    await apps.close();
  }
}
