/**
 * A cluster in this process as real processes make one: the shipped nodes on Deno KV, their routes on sockets, and the HTTP
 * transport between them; all traced.
 */
import { createApp } from "../../routes/app.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { peerKeys } from "../../src/auth/peer_mac.ts";
import { realClock, realRandomness } from "../../src/compose/world.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { mergeTraces } from "../../src/observe/merge.ts";
import { type TraceEvent, TraceRing } from "../../src/observe/trace.ts";
import { tracingTransport } from "../../src/observe/tracing_transport.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import { createModes, type ModeRule } from "../../src/engine/modes.ts";
import { ReplicaNode } from "../../src/compose/node.ts";
import {
  type BallotStore,
  type Mark,
  NO_MARK,
  type Transport,
  type WireMessage,
  type WireReply,
} from "../../src/ports.ts";
import { openOwnerStore } from "../../src/store/kv_ballot_store.ts";
import { createHttpTransport, type Fetch } from "../../src/transport/http_transport.ts";
import { AT_FIRST } from "../../src/version.ts";
import { PeerVersions } from "../../src/transport/peer_versions.ts";

const SECRETS = ["a secret of this test only"];
const CONFIG = sha256Hex("this test's");

/** What a test does with a message on its way; `go` sends it. */
export type Around = (
  from: string,
  to: string,
  message: WireMessage,
  go: () => Promise<WireReply>,
) => Promise<WireReply>;

export type HttpClusterOptions = {
  /** Nodes that do not vote, none of which runs: all know them, and take what is signed as theirs. */
  readonly learners?: readonly string[];
  readonly modes?: readonly ModeRule[];
  /** Carries each request between nodes. Default: `fetch`. */
  readonly fetch?: Fetch;
};

export class HttpCluster {
  readonly ids: readonly string[];
  /** Default: every message is sent at once. */
  around: Around = (_from, _to, _message, go) => go();
  /** What became a 500, and what nodes told their operator. */
  readonly reports: string[] = [];
  readonly #servers = new Map<string, Deno.HttpServer<Deno.NetAddr>>();
  readonly #handlers = new Map<string, (request: Request) => Response | Promise<Response>>();
  readonly #nodes = new Map<string, ReplicaNode>();
  readonly #stores = new Map<string, BallotStore>();
  readonly #rings = new Map<string, TraceRing>();

  private constructor(ids: readonly string[]) {
    this.ids = ids;
    for (const id of ids) {
      const starting = () => new Response(null, { status: 503 });
      const options = { hostname: "127.0.0.1", port: 0, onListen: () => {} };
      this.#servers.set(id, Deno.serve(options, (request) => (this.#handlers.get(id) ?? starting)(request)));
    }
  }

  static async start(n: number, options: HttpClusterOptions = {}): Promise<HttpCluster> {
    const cluster = new HttpCluster([..."abcdefghi".slice(0, n)]);
    try {
      const started = await Promise.all(cluster.ids.map((id) => cluster.#start(id, options)));
      await Promise.all(started.flat());
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  url(id: string): string {
    return `http://127.0.0.1:${this.#servers.get(id)!.addr.port}`;
  }

  node(id: string): ReplicaNode {
    return this.#nodes.get(id)!;
  }

  /** What all nodes recorded of the key, in one order. */
  events(key: string): readonly TraceEvent[] {
    return mergeTraces([...this.#rings.values()].map((ring) => ring.events(key)));
  }

  /** A write of a client: its status and body. */
  async ask(id: string, method: string, path: string, body: unknown, key: string, more: Record<string, string> = {}) {
    const response = await fetch(this.url(id) + path, {
      method,
      headers: { "Idempotency-Key": key, ...more },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json(), headers: response.headers };
  }

  async stop(): Promise<void> {
    for (const node of this.#nodes.values()) node.close();
    await Promise.all([...this.#servers.values()].map((server) => server.shutdown()));
    await Promise.all([...this.#stores.values()].map((store) => store.close()));
  }

  /** Sends to the nodes as the peer of this name does, whether it runs or not. */
  peer(id: string, carry: Fetch = fetch, onMark: (peer: string, mark: Mark) => void = () => {}): Transport {
    return createHttpTransport({
      urls: Object.fromEntries(this.ids.filter((other) => other !== id).map((other) => [other, this.url(other)])),
      config: CONFIG,
      versions: new PeerVersions(),
      keys: peerKeys({ cluster: "test", id, secrets: SECRETS }),
      fetch: carry,
      clock: realClock,
      ownMark: () => this.#nodes.get(id)?.mark() ?? NO_MARK,
      onMark,
    });
  }

  /** Resolves when it is there, with what resolves when it votes: until then the others may not be there. */
  async #start(
    id: string,
    { modes = [], learners = [], fetch: carry = fetch }: HttpClusterOptions,
  ): Promise<Promise<void>[]> {
    const machine = createMachine({ digest: sha256Hex });
    const store = await openOwnerStore({
      apply: machine.apply,
      path: ":memory:",
      run: () => realRandomness.id(),
      allowEphemeral: true,
    });
    this.#stores.set(id, store);
    await store.init({ cluster: "test", id, incarnation: realRandomness.id(), config: CONFIG });
    const http = this.peer(id, carry, (peer, mark) => node.note(peer, mark));
    const transport: Transport = {
      send: (to, message) => this.around(id, to, message, () => http.send(to, message)),
      rttMs: (to) => http.rttMs(to),
      close: () => http.close(),
    };
    const ring = new TraceRing(id, realClock);
    this.#rings.set(id, ring);
    const node: ReplicaNode = new ReplicaNode({
      id,
      cluster: "test",
      urls: {},
      quorums: new QuorumSystem(this.ids),
      machine,
      modes: createModes(this.ids, modes, sha256Hex),
      digest: sha256Hex,
      version: "test",
      report: (line) => this.reports.push(line),
    }, {
      store,
      transport: tracingTransport(transport, ring),
      clock: realClock,
      random: realRandomness,
      machine,
      trace: ring,
      versions: AT_FIRST,
    });
    this.#nodes.set(id, node);
    const app = createApp(node, {
      tokens: null,
      rate: null,
      peers: {
        cluster: "test",
        secrets: () => SECRETS,
        members: () => [...this.ids, ...learners],
        config: () => CONFIG,
        identity: () => node.identity(),
        mark: () => node.mark(),
        versions: new PeerVersions(),
        refused: () => {},
      },
      newId: () => realRandomness.id(),
      now: () => realClock.now(),
      after: (ms, run) => realClock.after(ms, run),
      report: (error) => this.reports.push(`${error.stack}`),
    });
    this.#handlers.set(id, (request) => app.fetch(request));
    return [node.start()];
  }
}
