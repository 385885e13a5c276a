/** Real nodes in this process, each behind a link that may be cut or swallow what it is sent. */
import { connectIn } from "../../src/client/connect.ts";
import { webWorld, type World } from "../../src/client/world.ts";
import type { ConnectOptions, Quorate } from "../../src/mod.ts";
import { memoryApps } from "../routes/memory_apps.ts";

/** `cut`: connections are closed, also those that stand. `silent`: they stay open, and nothing goes through them. */
export type LinkState = "open" | "cut" | "silent";

/** A way to a node, byte by byte, so that a stream goes through as it comes. */
export class Relay {
  readonly url: string;
  readonly #target: Deno.ConnectOptions;
  readonly #listener: Deno.TcpListener;
  readonly #open = new Set<Deno.TcpConn>();
  #state: LinkState = "open";

  constructor(target: string) {
    const { hostname, port } = new URL(target);
    this.#target = { hostname, port: Number(port) };
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.url = `http://127.0.0.1:${this.#listener.addr.port}`;
    void this.#accept();
  }

  set state(state: LinkState) {
    this.#state = state;
    if (state === "cut") this.#closeAll();
  }

  close(): void {
    this.#listener.close();
    this.#closeAll();
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      this.#open.add(client);
      if (this.#state === "cut") this.#drop(client);
      else void this.#serve(client);
    }
  }

  async #serve(client: Deno.TcpConn): Promise<void> {
    const node = await Deno.connect(this.#target).catch(() => null);
    if (node === null) return this.#drop(client);
    this.#open.add(node);
    await Promise.all([this.#carry(client, node), this.#carry(node, client)]);
  }

  async #carry(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
    try {
      for await (const bytes of from.readable) {
        if (this.#state === "silent") continue;
        for (let at = 0; at < bytes.length;) at += await to.write(bytes.subarray(at));
      }
    } catch {
      // Whoever closed it knows why.
    }
    this.#drop(from);
    this.#drop(to);
  }

  #drop(connection: Deno.TcpConn): void {
    if (!this.#open.delete(connection)) return;
    try {
      connection.close();
    } catch {
      // Its stream has closed it.
    }
  }

  #closeAll(): void {
    for (const connection of [...this.#open]) this.#drop(connection);
  }
}

export type Linked = {
  /** What the links are reached under; `direct`: the nodes themselves. */
  readonly urls: readonly string[];
  readonly direct: readonly string[];
  readonly links: readonly Relay[];
  /** The process of a node is gone, and then starts again on its disk. */
  kill(i: number): void;
  restart(i: number): Promise<void>;
  /** A client of the links. */
  client(world?: World, options?: ConnectOptions): Quorate;
};

export async function withLinks(n: number, run: (linked: Linked) => Promise<void>): Promise<void> {
  const apps = await memoryApps(n);
  const direct = apps.cluster.ids.map((id) => apps.url(id));
  const links = direct.map((url) => new Relay(url));
  const urls = links.map(({ url }) => url);
  try {
    await run({
      urls,
      direct,
      links,
      kill(i) {
        links[i]!.state = "cut";
        apps.cluster.kill(apps.cluster.ids[i]!);
      },
      async restart(i) {
        await apps.restart(apps.cluster.ids[i]!);
        links[i]!.state = "open";
      },
      client: (world = webWorld, options = {}) => connectIn(world, urls, options),
    });
  } finally {
    for (const link of links) link.close();
    await apps.close();
  }
}

/** A world in which time passes so many times faster than here, and that tells where grants were asked for. */
export function fastWorld(times: number, asked: string[] = []): World {
  return {
    ...webWorld,
    fetch: (url, init) => {
      if (init.method === "POST") asked.push(new URL(url).origin);
      return fetch(url, init);
    },
    clock: {
      now: () => performance.now() * times,
      wall: () => performance.now() * times,
      after(ms, run) {
        const timer = setTimeout(run, ms / times);
        return () => clearTimeout(timer);
      },
    },
  };
}
