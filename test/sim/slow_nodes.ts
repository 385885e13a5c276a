/**
 * Nodes in virtual time that are slow and alive: their processors do one thing after another, each in its time, and their disks
 * take as long as they are told. What a node does too much makes it slower, as on a machine.
 */
import type { QuorateError } from "../../src/errors.ts";
import { ATOMIC_MAX_RECORDS } from "../../src/limits.ts";
import type { PeerError } from "../../src/ports.ts";
import { seededRandomness } from "../../src/testing/seeded.ts";
import { VirtualClock } from "../../src/testing/virtual_clock.ts";
import { caller, memoryCluster } from "../replica/memory_cluster.ts";

/** In ms: of a processor for a message, of a disk for an atomic. */
export type Cost = { cpuMs: number; diskMs: number };

const LINK_MS = 0.2;

export class SlowNodes {
  readonly clock = new VirtualClock();
  readonly cost: Cost = { cpuMs: 0.2, diskMs: 2 };
  /** Messages of each type that were sent since `begin`. */
  readonly sent = new Map<string, number>();
  /** How many of these were given up. */
  timedOut = 0;
  cluster!: Awaited<ReturnType<typeof memoryCluster>>;
  readonly #freeMs = new Map<string, number>();
  readonly #records = new Map<string, number>();
  #names = 0;

  static async start(n = 3): Promise<SlowNodes> {
    const nodes = new SlowNodes();
    await nodes.clock.run(nodes.#start(n), 10_000);
    await nodes.clock.pass(3_000);
    return nodes;
  }

  async #start(n: number): Promise<void> {
    const { clock, cost } = this;
    this.cluster = await memoryCluster(n, {
      clock,
      random: seededRandomness(1, 1),
      watch: (id) => (moment, steps) => void (moment === "ready" && this.#records.set(id, steps.length)),
      // One atomic of a file has room for so many records.
      schedule: (id) => clock.sleep(cost.diskMs * Math.ceil((this.#records.get(id) ?? 0) / ATOMIC_MAX_RECORDS)),
      received: (id, receive) => async (from, mailbox, messages, mark) => {
        await this.#work(id, messages.length);
        return await receive(from, mailbox, messages, mark);
      },
      sending: (id, transport) => ({
        ...transport,
        send: async (to, message) => {
          this.sent.set(message.type, this.sentOf(message.type) + 1);
          try {
            const reply = await transport.send(to, message);
            await this.#work(id, 1);
            return reply;
          } catch (error) {
            if ((error as PeerError).why === "timed-out") this.timedOut++;
            throw error;
          }
        },
        rttMs: (to) => transport.rttMs(to),
        close: () => transport.close(),
      }),
    });
    this.cluster.network.delay(() => LINK_MS);
  }

  #work(id: string, times: number): Promise<void> {
    const atMs = Math.max(this.clock.now(), this.#freeMs.get(id) ?? 0) + this.cost.cpuMs * times;
    this.#freeMs.set(id, atMs);
    return this.clock.sleep(atMs - this.clock.now());
  }

  /** From now on the nodes are so slow, and counts begin. */
  begin(cost: Cost): void {
    Object.assign(this.cost, cost);
    this.sent.clear();
    this.timedOut = 0;
  }

  sentOf(type: string): number {
    return this.sent.get(type) ?? 0;
  }

  /** Writes a name, by default one that nobody has used, through this node: what came of it. */
  async write(id: string, timeoutMs = 10_000, name = `n${++this.#names}`): Promise<string> {
    await this.#work(id, 1);
    const value = { bytes: btoa("x"), contentType: "text/plain" };
    return await this.cluster.node(id).registers.put(name, value, caller({ timeoutMs })).then(
      () => "ok",
      (error: QuorateError) => error.code,
    );
  }

  /** So many write one name after another, at all nodes alike, for so long in all; how many came to what. */
  async load(writers: number, ms: number): Promise<ReadonlyMap<string, number>> {
    const came = new Map<string, number>();
    const endMs = this.clock.now() + ms;
    const { ids } = this.cluster;
    const writer = async (w: number) => {
      while (this.clock.now() < endMs) {
        const what = await this.write(ids[w % ids.length]!);
        came.set(what, (came.get(what) ?? 0) + 1);
      }
    };
    await this.clock.run(Promise.all(Array.from({ length: writers }, (_, w) => writer(w))), 3 * ms + 60_000);
    return came;
  }
}
