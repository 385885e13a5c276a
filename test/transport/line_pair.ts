/** Two nodes' real /paxos on real sockets, with lasting connections between them; what is behind b's mailboxes the test says. */
import type { PeerSide } from "../../routes/peer_head.ts";
import { peerKeys, peerTo } from "../../src/auth/peer_mac.ts";
import type { Mailbox, Transport } from "../../src/ports.ts";
import { createHttpTransport, type HttpTransportOptions } from "../../src/transport/http_transport.ts";
import { Lines } from "../../src/transport/lines.ts";
import type { Receive } from "../../src/transport/local_transport.ts";
import { until } from "../replica/clocks.ts";
import { scripted } from "../routes/scripted_node.ts";
import { echo, realClock } from "./contract.ts";
import { CLUSTER } from "./peer_server.ts";
import { CONFIG, MARK } from "./samples.ts";
import { PeerVersions } from "../../src/transport/peer_versions.ts";
import { type NodeVersion, OWN_VERSION } from "../../src/version.ts";

export type PairOptions = Partial<Pick<HttpTransportOptions, "deadlineMs" | "onMark" | "ownMark">> & {
  readonly secrets?: { readonly a: readonly string[]; readonly b: readonly string[] };
  /** What comes between a node's server and its app. */
  readonly before?: (id: string, request: Request) => Response | null;
  /** In place of `new WebSocket`. */
  readonly connect?: (url: string, headers: Readonly<Record<string, string>>) => WebSocket;
  /** What both say of themselves. */
  readonly version?: NodeVersion;
};

export type LineNode = {
  readonly id: string;
  readonly url: string;
  readonly lines: Lines;
  readonly transport: Transport;
  readonly versions: PeerVersions;
  /** Boot of this node, as its door and its own connections see it. */
  boot: number;
  /** Mailboxes that requests came to by POST. */
  readonly posts: string[];
  /** What the door answered at /paxos/line. */
  readonly statuses: number[];
  /** What it said of requests it refused. */
  readonly refusals: unknown[];
  readonly reports: readonly Error[];
  stop(): Promise<void>;
};

type Door = { url: string; answer: (request: Request) => Response | Promise<Response>; close(): Promise<void> };

export class LinePair {
  readonly a: LineNode;
  readonly b: LineNode;
  /** That of a. */
  readonly transport: Transport;

  constructor(receive: Receive, options: PairOptions = {}) {
    const doors = { a: open(), b: open() };
    const secrets = options.secrets ?? { a: ["secret"], b: ["secret"] };
    const c = "http://127.0.0.1:1";
    this.a = startNode("a", doors.a, { b: doors.b.url, c }, echo, secrets.a, options);
    this.b = startNode("b", doors.b, { a: doors.a.url, c }, receive, secrets.b, options);
    this.transport = this.a.transport;
  }

  /** Resolves when what either sends the other goes by frames. */
  async stand(): Promise<void> {
    this.a.lines.wanted("b");
    this.b.lines.wanted("a");
    await until("both connections stand", () => this.a.lines.stands("b") && this.b.lines.stands("a"));
  }

  async stop(): Promise<void> {
    await Promise.all([this.a.stop(), this.b.stop()]);
  }
}

function open(): Door {
  const stopped = new AbortController();
  const http = Deno.serve(
    { hostname: "127.0.0.1", port: 0, signal: stopped.signal, onListen: () => {} },
    (request) => door.answer(request),
  );
  const door: Door = {
    url: `http://127.0.0.1:${http.addr.port}`,
    answer: () => new Response(null, { status: 503 }),
    close: async () => {
      stopped.abort();
      await http.finished;
    },
  };
  return door;
}

export function startNode(
  id: string,
  door: Door,
  urls: Readonly<Record<string, string>>,
  receive: Receive,
  secrets: readonly string[],
  options: PairOptions,
): LineNode {
  const { version = OWN_VERSION } = options;
  const versions = new PeerVersions({ own: version });
  const calls = {
    urls,
    config: CONFIG,
    versions,
    keys: peerKeys({ cluster: CLUSTER, id, secrets, version }),
    fetch,
    clock: realClock,
  };
  const me = () => ({ incarnation: `inc-${id}`, boot: node.boot });
  const lines = new Lines({
    ...calls,
    connect: options.connect ?? ((url, headers) => new WebSocket(url, { headers })),
    newId: () => crypto.randomUUID(),
    life: () => peerTo(id, me()),
  });
  const transport = createHttpTransport({ ...calls, lines, ownMark: () => MARK, onMark: () => {}, ...options });
  const peers: PeerSide = {
    cluster: CLUSTER,
    secrets: () => secrets,
    members: () => ["a", "b", "c"],
    config: () => CONFIG,
    identity: me,
    mark: () => MARK,
    versions,
    refused: (...args) => node.refusals.push(args),
    lines,
  };
  const posts: string[] = [];
  const statuses: number[] = [];
  const noting = (from: string, mailbox: Mailbox, ...rest: [never, never]) => receive(from, mailbox, ...rest);
  const { app, reports } = scripted({ receive: noting }, { peers }, id);
  door.answer = async (request) => {
    const { pathname } = new URL(request.url);
    const stopped = options.before?.(id, request) ?? null;
    if (stopped !== null) return stopped;
    const response = await app.fetch(request);
    if (pathname === "/paxos/line") statuses.push(response.status);
    else if (pathname.startsWith("/paxos/")) posts.push(pathname.slice("/paxos/".length));
    return response;
  };
  let isStopped = false;
  const node: LineNode = {
    id,
    url: door.url,
    lines,
    transport,
    versions,
    boot: 7,
    posts,
    statuses,
    refusals: [],
    reports,
    stop: async () => {
      if (isStopped) return;
      isStopped = true;
      transport.close();
      await door.close();
    },
  };
  return node;
}
