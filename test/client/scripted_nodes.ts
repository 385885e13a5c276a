/** Nodes that do as a test says, on real sockets, and a gateway before them whose time the test lets pass. */
import { createGateway, type GatewayOptions } from "../../src/gateway/gateway.ts";
import { ManualClock } from "../transport/manual_clock.ts";

export type Seen = {
  readonly method: string;
  /** Path and query, as they came. */
  readonly target: string;
  readonly headers: Headers;
  readonly body: string;
  /** Aborted once whoever asked is gone. */
  readonly signal: AbortSignal;
};

export type Scripted = {
  readonly url: string;
  /** Oldest first. */
  readonly seen: readonly Seen[];
  close(): Promise<void>;
};

/** Answers as `answer` says. */
export function scriptedNode(answer: (seen: Seen) => Response | Promise<Response>): Scripted {
  const seen: Seen[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { url, method, headers, signal } = request;
    const target = url.slice(url.indexOf("/", "http://".length));
    const one = { method, target, headers, body: await request.text(), signal };
    seen.push(one);
    return await answer(one);
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    seen,
    close: async () => {
      const abrupt = new Promise((resolve) => setTimeout(resolve, 200));
      await Promise.race([server.shutdown(), abrupt]);
    },
  };
}

/** Reads a request to its end and says `reply` and no more: by default nothing, as a process that is killed after it voted. */
export function cuttingNode(reply = ""): Scripted {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let isOpen = true;
  const seen: Seen[] = [];
  const signal = new AbortController().signal;
  const serve = async (connection: Deno.Conn) => {
    const buffer = new Uint8Array(200_000);
    let text = "";
    for (;;) {
      const size = await connection.read(buffer);
      if (size === null) break;
      text += new TextDecoder().decode(buffer.subarray(0, size));
      const [head = "", body] = text.split("\r\n\r\n");
      const [line = "", ...lines] = head.split("\r\n");
      const headers = new Headers(lines.map((header) => header.split(": ", 2) as [string, string]));
      if (body === undefined || body.length < Number(headers.get("content-length") ?? 0)) continue;
      const [method = "", target = ""] = line.split(" ");
      seen.push({ method, target, headers, body, signal });
      if (reply !== "") await connection.write(new TextEncoder().encode(reply));
      break;
    }
    connection.close();
  };
  const serving = (async () => {
    for await (const connection of listener) await serve(connection).catch(() => {});
  })();
  return {
    url: `http://127.0.0.1:${listener.addr.port}`,
    seen,
    close: async () => {
      if (isOpen) listener.close();
      isOpen = false;
      await serving;
    },
  };
}

/** Above what systems choose from for port 0: one that was given back may be the next node's. */
let unusedPort = 65_000;

/** An origin at which nothing listens. */
export function nobody(): Scripted {
  return { url: `http://127.0.0.1:${unusedPort--}`, seen: [], close: () => Promise.resolve() };
}

export type Rig = {
  readonly clock: ManualClock;
  readonly reports: readonly Error[];
  readonly gateway: (request: Request) => Promise<Response>;
  /** A request as a client on this machine sends it. */
  ask(method: string, path: string, init?: RequestInit): Promise<Response>;
};

/**
 * The first node is the nearest, the others follow in their order. Nodes are not asked what a name has come to before it
 * is written, unless `asks` says so: then they see that too.
 */
export async function withGateway(
  nodes: readonly Scripted[],
  run: (rig: Rig) => Promise<void>,
  { asks = false, ...options }: Partial<GatewayOptions> & { readonly asks?: boolean } = {},
): Promise<void> {
  const clock = new ManualClock();
  const reports: Error[] = [];
  let ids = 0;
  const gateway = createGateway({
    nodes: nodes.map(({ url }) => url),
    fetch: (url, init) => {
      if (!asks && isQuestion(url)) return Promise.resolve(new Response(null, { status: 403 }));
      if (!url.endsWith("/healthz")) return fetch(url, init);
      // The first was there a moment ago, whatever it is by now, and no other has answered yet.
      return url.startsWith(`${nodes[0]!.url}/`) ? Promise.resolve(new Response()) : new Promise(() => {});
    },
    clock,
    newId: () => `id-${++ids}`,
    report: (error) => reports.push(error),
    ...options,
  });
  try {
    await run({
      clock,
      reports,
      gateway,
      ask: (method, path, init = {}) => gateway(new Request(`http://127.0.0.1:8700${path}`, { method, ...init })),
    });
  } finally {
    await Promise.all(nodes.map((node) => node.close()));
  }
}

/** Whether it asks a node for its own record of a name. */
export function isQuestion(target: string): boolean {
  return target.includes("consistency=stale");
}

export function problem(
  status: number,
  code: string,
  more: object = {},
  headers: Record<string, string> = {},
): Response {
  return Response.json({ type: "about:blank", title: code, status, code, detail: "as scripted", ...more }, {
    status,
    headers: { "Content-Type": "application/problem+json", ...headers },
  });
}

export function grant(more: object = {}): Response {
  return Response.json({
    name: "x",
    holder: "me",
    fence: "1025",
    mode: "exclusive",
    ttlMs: 30_000,
    guaranteedForMs: 29_700,
    lapsesInMs: 30_300,
    waitedMs: 0,
    revision: "1025",
    ...more,
  });
}
