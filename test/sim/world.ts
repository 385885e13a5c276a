/** One cluster of shipped nodes in virtual time, with everything that watches it, and the lives and deaths of its nodes. */
import type { AcceptorRecord } from "../../src/paxos/mod.ts";
import { QuorateError } from "../../src/errors.ts";
import type { KeyState } from "../../src/machine/state.ts";
import { MODE_NAMES } from "../../src/replica/modes.ts";
import type { ReplicaNode } from "../../src/replica/node.ts";
import { KEY_PREFIXES } from "../../src/replica/nouns.ts";
import { isAcceptorReply } from "../../src/replica/peer_reply.ts";
import type { Sighting, Trace } from "../../src/replica/ports.ts";
import type { AtomicWatch } from "../../src/store/memory_ballot_store.ts";
import type { Parcel, Receive } from "../../src/transport/local_transport.ts";
import { type MemoryCluster, memoryCluster } from "../replica/memory_cluster.ts";
import { AcceptorMonitor } from "./check/acceptor_monitor.ts";
import { QueueOrder } from "./check/queue_order.ts";
import { changeOf, CrashPoints } from "./crash_points.ts";
import { Digest } from "./digest.ts";
import { Leftovers } from "./leftovers.ts";
import { LEARNERS, type Link, MEMBERS, type Plan } from "./plan.ts";
import { MachineClock, type Seeded, seededRandomness, VirtualClock } from "./virtual_time.ts";

/** Streams of randomness, so that fewer clients or faults leave the other decisions of a seed as they were. */
const NODES = 1;
const NETWORK = 2;
const DISKS = 3;
/** A request whose node says nothing for so long is given up by its client. */
const SILENCE_MS = 8_000;
const CALM: Link = { loss: 0, repeat: 0, delayMs: 1 };

type Life = { readonly died: Promise<never>; readonly end: () => void; isOver: boolean };

export class World {
  readonly plan: Plan;
  readonly clock = new VirtualClock();
  readonly startMs: number;
  readonly points = new CrashPoints();
  readonly leftovers = new Leftovers();
  readonly order = new QueueOrder();
  readonly monitor: AcceptorMonitor;
  readonly digest: Digest;
  readonly down = new Set<string>();
  /** How much longer each node's disk takes for an atomic. */
  readonly slowDiskMs = new Map<string, number>();
  kills = 0;
  readonly faults: string[] = [];
  isFaulty = true;
  /** Told each state that a disk has committed. */
  readonly observers = new Set<(key: string, state: KeyState) => void>();
  readonly #clocks: ReadonlyMap<string, MachineClock>;
  readonly #lives = new Map<string, Life>();
  readonly #records = new Map<string, AcceptorRecord>();
  readonly #network: Seeded;
  readonly #disks: Seeded;
  #cluster!: MemoryCluster;

  static async make(plan: Plan, digest: Digest): Promise<World> {
    const world = new World(plan, digest);
    await world.clock.run(world.#start(), 10_000);
    return world;
  }

  private constructor(plan: Plan, digest: Digest) {
    this.plan = plan;
    this.digest = digest;
    this.#network = seededRandomness(plan.seed, NETWORK);
    this.#disks = seededRandomness(plan.seed, DISKS);
    const members = [...MEMBERS.slice(0, plan.n)];
    const all = [...members, ...LEARNERS.slice(0, plan.learners)];
    this.#clocks = new Map(all.map((id, i) => [id, new MachineClock(this.clock, plan.rates[i]!)]));
    for (const id of all) this.#lives.set(id, newLife());
    this.monitor = new AcceptorMonitor(members);
    this.startMs = this.clock.now();
  }

  async #start(): Promise<void> {
    const { n, learners, seed } = this.plan;
    this.#cluster = await memoryCluster(n, {
      learners,
      clock: this.clock,
      random: seededRandomness(seed, NODES),
      modes: Object.values(KEY_PREFIXES).flatMap((noun) =>
        MODE_NAMES.map((mode) => ({ prefix: `${noun}${mode}/`, mode }))
      ),
      clockOf: (id) => this.machine(id),
      schedule: (id) => this.clock.sleep(this.#disks.next() * 3 + (this.slowDiskMs.get(id) ?? 0)),
      watch: (id) => this.#watch(id),
      trace: (id) => this.#trace(id),
      received: (id, receive) => this.#received(id, receive),
    });
    const { network } = this.#cluster;
    network.delay((parcel) => this.#network.next() * this.linkOf(parcel).delayMs);
    network.drop((parcel) => {
      const isLost = this.#network.chance(this.linkOf(parcel).loss);
      this.digest.parcel(this.clock.now(), parcel, isLost);
      return isLost;
    });
    network.duplicate((parcel) => this.#network.chance(this.linkOf(parcel).repeat));
  }

  get cluster(): MemoryCluster {
    return this.#cluster;
  }

  get nodes(): readonly string[] {
    return [...this.#clocks.keys()];
  }

  /** Nodes that are up; some of them may not vote yet, or any more. */
  get up(): readonly string[] {
    return this.nodes.filter((id) => !this.down.has(id));
  }

  machine(id: string): MachineClock {
    return this.#clocks.get(id)!;
  }

  /** The slowest rate there is, but not above 1: how much longer than on a true clock things may take. */
  get slowest(): number {
    return Math.min(1, ...this.plan.rates);
  }

  linkOf({ from, to }: Pick<Parcel, "from" | "to">): Link {
    return this.isFaulty ? this.plan.links[`${from}>${to}`] ?? this.plan.link : CALM;
  }

  kill(id: string): void {
    if (this.down.has(id)) return;
    this.kills++;
    this.down.add(id);
    this.digest.add(this.clock.now(), `kill ${id}`);
    const life = this.#lives.get(id)!;
    life.isOver = true;
    life.end();
    this.#cluster.kill(id);
  }

  /** Not awaited to its end: it may have to wait for others to confirm its store. */
  restart(id: string): void {
    if (!this.down.delete(id)) return;
    this.digest.add(this.clock.now(), `restart ${id}`);
    this.#lives.set(id, newLife());
    this.leftovers.restarted(id);
    this.#cluster.restart(id).catch((error: Error) => {
      if (!error.message.endsWith("was killed while it started")) {
        this.faults.push(`${id} did not start: ${error.message}`);
      }
    });
  }

  /** Resolves when it dies, this time. */
  deathOf(id: string): Promise<void> {
    return this.#lives.get(id)!.died.catch(() => {});
  }

  /** What a client hears of a node: nothing more from the moment it dies. */
  async ask<T>(id: string, call: (node: ReplicaNode) => Promise<T>): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>();
    const cancel = this.clock.after(SILENCE_MS, () => reject(new QuorateError("outcome-unknown", "no answer")));
    try {
      return await Promise.race([call(this.#cluster.node(id)), this.#lives.get(id)!.died, promise]);
    } finally {
      cancel();
    }
  }

  #watch(id: string): AtomicWatch {
    const life = this.#lives.get(id)!;
    return (moment, steps) => {
      if (life.isOver) return;
      const isArmed = this.points.isArmed(id);
      if (moment === "ready" && !isArmed) return;
      const records = steps.map(([key, text]) => [key, JSON.parse(text) as AcceptorRecord] as const);
      const changes = !isArmed
        ? []
        : records.map(([key, record]) => changeOf(this.#records.get(`${id} ${key}`) ?? null, record));
      if (moment === "committed") {
        for (const [key, record] of records) this.#committed(id, key, record);
        for (const [key, text] of steps) this.digest.add(this.clock.now(), `${id} ${key} ${text}`);
      }
      this.points.atomic(id, moment, changes);
    };
  }

  #committed(id: string, key: string, record: AcceptorRecord): void {
    this.#records.set(`${id} ${key}`, record);
    this.monitor.committed(id, key, record);
    const { instance } = record;
    const state = record.state as KeyState;
    this.order.seen(key, {
      instance,
      waiting: state.queue.map(([place]) => place),
      holding: state.holders.map(({ command }) => command),
      cooling: state.cooling !== null,
    });
    this.leftovers.seen(id, key, instance, state, this.clock.now());
    for (const observe of this.observers) observe(key, state);
  }

  #trace(id: string): Trace {
    const life = this.#lives.get(id)!;
    const record = (sighting: Sighting) => {
      if (life.isOver) return;
      if (sighting.type === "sent") this.monitor.sent(id, sighting.message);
      this.points.sighted(id, sighting);
    };
    return { on: true, record };
  }

  #received(id: string, receive: Receive): Receive {
    const life = this.#lives.get(id)!;
    return async (from, mailbox, messages) => {
      this.points.reached(id, "message received, not looked at");
      if (life.isOver) return await life.died;
      const replies = await receive(from, mailbox, messages);
      if (life.isOver) return await life.died;
      messages.forEach((message, i) => {
        const reply = replies[i];
        if ("key" in message && reply !== undefined && isAcceptorReply(reply)) {
          this.monitor.replied(id, message.key, reply);
        }
      });
      this.points.reached(id, "replies ready, not sent");
      return life.isOver ? await life.died : replies;
    };
  }
}

function newLife(): Life {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  return { died: promise, end: () => reject(new QuorateError("outcome-unknown", "the node died")), isOver: false };
}
