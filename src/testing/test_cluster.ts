/** A cluster for the unit tests of whoever uses the client: the shipped nodes in memory, in a time of its own. */
import { createApp } from "../../routes/app.ts";
import { connectIn, type Quorate } from "../client/connect.ts";
import type { ClientClock } from "../client/world.ts";
import { namedOf, targetOf } from "../http/named.ts";
import { type MemoryCluster, memoryCluster } from "./memory_cluster.ts";
import { type Seeded, seededRandomness } from "./seeded.ts";
import { Stalls } from "./stalls.ts";
import { VirtualClock } from "./virtual_clock.ts";
import { fetchOver, type Way } from "./way.ts";

/** What a cluster is made with. */
export interface TestClusterOptions {
  /** How many nodes: 1 or 3 to 9. Default: 3. */
  readonly nodes?: number;
  /** The same seed, and the same calls, are the same run. Default: 1. */
  readonly seed?: number;
}

/** How a client of it is made. */
export interface TestConnectOptions {
  /** The nodes it knows, by id, the nearest first. Default: all of them. */
  readonly nodes?: readonly string[];
  /** As `ConnectOptions.timeout`, in ms of the cluster's time. */
  readonly timeout?: number;
}

/** A side of a partition: ids of nodes, and clients. */
export type TestSide = readonly (string | Quorate)[];

/** What `expire` takes the name of. */
export type TestNoun = "lock" | "election" | "semaphore";

/** Nodes in memory, their clients, and what befalls both. */
export interface TestCluster extends AsyncDisposable {
  /** The ids of the nodes: `a`, `b`, `c`, … */
  readonly nodes: readonly string[];
  /** A client of it, in a process of its own as far as stalls and partitions go. Throws for a node that is not there. */
  connect(options?: TestConnectOptions): Quorate;
  /** Ms of the cluster's time: those of all nodes, and of all clients that are not stalled. */
  now(): number;
  /** Resolves when so many ms of the cluster's time have gone by. For code under test that sleeps. */
  sleep(ms: number): Promise<void>;
  /** Lets so many ms go by; resolves once all that was due has been done, as renewals and expiries. */
  advance(ms: number): Promise<void>;
  /**
   * Lets as much time go by as the work takes, and settles as it does. Rejects with an `Error` once `limitMs` have gone by
   * (default 600,000), or where nothing is left that could ever end it.
   */
  run<T>(work: Promise<T>, limitMs?: number): Promise<T>;
  /**
   * Cuts the network between these sides; who is on none reaches all. What is sent across arrives after `heal`, unless its
   * sender has given up by then. A further call replaces the one before.
   */
  partition(...sides: readonly TestSide[]): void;
  /** Ends the partition. */
  heal(): void;
  /** The process of the node is gone; its disk stays. Throws for a node that is not there. */
  stop(node: string): void;
  /** Starts it again on its disk. Resolves once it is up; it votes as soon as a quorum reaches it. */
  start(node: string): Promise<void>;
  /**
   * The client's process does not run (SIGSTOP, a blocked event loop, a suspended machine): no timer fires, no answer is
   * heard, and its clock is not read. Until `resume` its holds say what they said when it stopped: a zombie's belief.
   */
  stall(client: Quorate): void;
  /** It runs again: what came meanwhile comes now. What it held past its lease has ended by the time this returns. */
  resume(client: Quorate): void;
  /**
   * Loses renewals of the name until all who hold it now have lapsed, which takes as long as their leases: their signals
   * abort, and others may have it. Rejects with an `Error` if nobody holds it, or if it does not lapse, as what lives by a session.
   */
  expire(name: string, noun?: TestNoun): Promise<void>;
}

const LIMIT_MS = 600_000;
const START_WITHIN_MS = 60_000;
const PORT = 8701;
/** A lease that is asked so often and has not lapsed is renewed in another way. */
const LAPSE_TRIES = 3;

type Node = { readonly life: AbortController; readonly handle: (request: Request) => Promise<Response> };

/**
 * Starts nodes in memory; resolves once they vote. Rejects with an `Error` where there are not 1 or 3 to 9, and in a runtime
 * that cannot run them. Close it with `await using`, or `[Symbol.asyncDispose]`.
 *
 * ```ts ignore
 * await using cluster = await testCluster({ nodes: 3 });
 * const quorate = cluster.connect();
 * const lock = await quorate.locks.acquire("deploy");
 * await cluster.expire("deploy");
 * console.log(lock.signal.aborted);
 * ```
 */
export async function testCluster({ nodes = 3, seed = 1 }: TestClusterOptions = {}): Promise<TestCluster> {
  if (!("toBase64" in Uint8Array.prototype)) throw new Error("nodes run in Deno, in Bun and in Node from 25 on");
  const clock = new VirtualClock();
  const random = seededRandomness(seed);
  const cluster = await clock.run(memoryCluster(nodes, { clock, random }), START_WITHIN_MS);
  return new Cluster(clock, random, cluster);
}

class Cluster implements TestCluster {
  readonly #clock: VirtualClock;
  readonly #random: Seeded;
  readonly #cluster: MemoryCluster;
  readonly #nodes = new Map<string, Node>();
  readonly #clients = new Map<Quorate, string>();
  readonly #stalls = new Stalls();
  /** The side of each node and client that is on one. */
  #sides: ReadonlyMap<string, number> = new Map();
  #healed = Promise.withResolvers<void>();
  /** Keys of names whose renewals get lost. */
  readonly #unrenewed = new Set<string>();

  constructor(clock: VirtualClock, random: Seeded, cluster: MemoryCluster) {
    this.#clock = clock;
    this.#random = random;
    this.#cluster = cluster;
    for (const id of this.nodes) this.#serve(id);
  }

  get nodes(): readonly string[] {
    return this.#cluster.ids;
  }

  connect({ nodes = this.nodes, timeout }: TestConnectOptions = {}): Quorate {
    const name = `client-${this.#clients.size}`;
    const urls = nodes.map((id) => `http://localhost:${PORT + this.#indexOf(id)}`);
    const fetches = new Map(urls.map((url, i) => [url, fetchOver(this.#way(name, nodes[i]!))]));
    const quorate = connectIn(
      {
        clock: this.#clockOf(name),
        newId: () => this.#random.id(),
        fetch: (url, init) => {
          const { origin } = new URL(url);
          if (init.method === "PUT" && this.#unrenewed.has(namedOf(url.slice(origin.length))?.key ?? "")) {
            return fetchOver({ ...this.#way(name, nodes[0]!), open: () => new Promise(() => {}) })(url, init);
          }
          return fetches.get(origin)!(url, init);
        },
      },
      urls,
      timeout === undefined ? {} : { timeout },
    );
    this.#clients.set(quorate, name);
    return quorate;
  }

  now(): number {
    return this.#clock.now();
  }

  sleep(ms: number): Promise<void> {
    return this.#clock.sleep(ms);
  }

  advance(ms: number): Promise<void> {
    return this.#clock.pass(ms);
  }

  run<T>(work: Promise<T>, limitMs: number = LIMIT_MS): Promise<T> {
    return this.#clock.run(work, limitMs);
  }

  partition(...sides: readonly TestSide[]): void {
    this.#sides = new Map(sides.flatMap((side, i) => side.map((one) => [this.#nameOf(one), i] as const)));
    this.#rewire();
  }

  heal(): void {
    this.partition();
  }

  stop(node: string): void {
    this.#indexOf(node);
    const known = this.#nodes.get(node);
    if (known === undefined) return;
    this.#nodes.delete(node);
    this.#cluster.kill(node);
    known.life.abort(new TypeError(`the connection to ${node} was closed`));
  }

  async start(node: string): Promise<void> {
    this.#indexOf(node);
    if (this.#nodes.has(node)) return;
    // Resolves once it votes, for which others may have to start too; rejects if it is stopped before.
    this.#cluster.restart(node).catch(() => {});
    await this.#clock.pass(0);
    this.#serve(node);
  }

  stall(client: Quorate): void {
    this.#stalls.begin(this.#nameOf(client));
  }

  resume(client: Quorate): void {
    this.#stalls.end(this.#nameOf(client));
  }

  async expire(name: string, noun: TestNoun = "lock"): Promise<void> {
    const target = targetOf(`${noun}s`, name);
    const { key } = namedOf(target)!;
    const before = await this.#lapses(target);
    if (before.size === 0) throw new Error(`nobody holds ${noun} ${name}`);
    this.#unrenewed.add(key);
    try {
      for (let tries = 0; tries < LAPSE_TRIES; tries++) {
        const left = [...await this.#lapses(target)].filter(([fence]) => before.has(fence)).map(([, ms]) => ms);
        const leftMs = Math.max(0, ...left);
        if (leftMs === 0) return;
        await this.advance(leftMs);
      }
      throw new Error(`${noun} ${name} does not lapse; it may be bound to a session`);
    } finally {
      this.#unrenewed.delete(key);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const { life } of this.#nodes.values()) life.abort(new TypeError("the test cluster is closed"));
    this.#nodes.clear();
    this.#cluster.close();
    return Promise.resolve();
  }

  #serve(id: string): void {
    const app = createApp(this.#cluster.node(id), {
      tokens: null,
      rate: null,
      peers: null,
      newId: () => this.#random.id(),
      now: () => this.#clock.now(),
      after: (ms, run) => this.#clock.after(ms, run),
      report: (error) => console.error(error),
    });
    this.#nodes.set(id, { life: new AbortController(), handle: async (request) => await app.fetch(request) });
  }

  /** That of a process, which is not read while it does not run. */
  #clockOf(client: string): ClientClock {
    let readMs = this.#clock.now();
    let wallMs = this.#clock.wall();
    const read = () => {
      if (this.#stalls.isStalled(client)) return;
      readMs = this.#clock.now();
      wallMs = this.#clock.wall();
    };
    return {
      now: () => (read(), readMs),
      wall: () => (read(), wallMs),
      after: (ms, run) => {
        let isCancelled = false;
        const due = () => this.#stalls.run(client, () => void (isCancelled || run()));
        const cancel = this.#clock.after(ms, due);
        return () => {
          isCancelled = true;
          cancel();
        };
      },
    };
  }

  #way(client: string, id: string): Way {
    return {
      open: async () => {
        for (;;) {
          if (this.#isCut(client, id)) await this.#healed.promise;
          else if (this.#stalls.isStalled(client)) await this.#stalls.awake(client);
          else return;
        }
      },
      node: () => {
        const node = this.#nodes.get(id);
        return node === undefined ? null : { gone: node.life.signal, handle: node.handle };
      },
    };
  }

  #isCut(one: string, other: string): boolean {
    const [a, b] = [this.#sides.get(one), this.#sides.get(other)];
    return a !== undefined && b !== undefined && a !== b;
  }

  #rewire(): void {
    const { network } = this.#cluster;
    for (const a of this.nodes) {
      for (const b of this.nodes) {
        if (this.#isCut(a, b)) network.cut(a, b);
        else network.heal(a, b);
      }
    }
    // Whoever waits looks again.
    this.#healed.resolve();
    this.#healed = Promise.withResolvers();
  }

  #nameOf(one: string | Quorate): string {
    if (typeof one === "string") return this.nodes[this.#indexOf(one)]!;
    const name = this.#clients.get(one);
    if (name === undefined) throw new TypeError("this is no client of the cluster");
    return name;
  }

  #indexOf(id: string): number {
    const index = this.nodes.indexOf(id);
    if (index < 0) throw new TypeError(`the cluster has no node ${id}; it has ${this.nodes.join(", ")}`);
    return index;
  }

  /** By fence, in how many ms each holder of the name lapses. Rejects with an `Error` if no node can tell. */
  async #lapses(target: string): Promise<ReadonlyMap<string, number>> {
    for (const { handle } of this.#nodes.values()) {
      const response = await this.run(handle(new Request(`http://localhost${target}`)));
      const state = await response.json() as {
        readonly leader?: { readonly term: string; readonly lapsesInMs: number } | null;
        readonly holders?: readonly { readonly fence: string; readonly lapsesInMs: number }[];
      };
      if (response.status === 404) return new Map();
      if (response.status !== 200) continue;
      const { leader = null, holders = leader === null ? [] : [{ fence: leader.term, ...leader }] } = state;
      return new Map(holders.map(({ fence, lapsesInMs }) => [fence, lapsesInMs]));
    }
    throw new Error("no node can tell who holds it: too few of them are up, or reach each other");
  }
}
