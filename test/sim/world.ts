/** One cluster of shipped nodes in virtual time, with everything that watches it, and the lives and deaths of its nodes. */
import type { AcceptorRecord } from "../../src/paxos/mod.ts";
import { QuorateError } from "../../src/errors.ts";
import { entriesOf, type KeyState } from "../../src/machine/state.ts";
import { MACHINE_OF_ALL, MACHINE_VERSION } from "../../src/version.ts";
import type { ReplicaNode } from "../../src/compose/node.ts";
import type { EpochsRow, Sighting, StoredRecord, Trace } from "../../src/ports.ts";
import type { AtomicWatch } from "../../src/store/memory_ballot_store.ts";
import type { Parcel, Receive } from "../../src/transport/local_transport.ts";
import { type MemoryCluster, memoryCluster } from "../replica/memory_cluster.ts";
import { Changes } from "./changes.ts";
import { AcceptorMonitor } from "./check/acceptor_monitor.ts";
import { Answers } from "./check/answers.ts";
import { DecidedLog } from "./check/decided.ts";
import { NoneTold } from "./check/none_told.ts";
import { QueueOrder } from "./check/queue_order.ts";
import { changeOf, type CrashPoint, CrashPoints } from "./crash_points.ts";
import { Digest } from "./digest.ts";
import { Leftovers } from "./leftovers.ts";
import { Isolates, type IsolateWatch, type RecordStep } from "./isolates.ts";
import { LEARNERS, type Link, MEMBERS, MODE_RULES, type Plan, WALL_APART_MS } from "./plan.ts";
import { isolatesOf, memberOf } from "./processes.ts";
import { Stalls } from "../../src/testing/stalls.ts";
import { MachineClock, type Seeded, seededRandomness, VirtualClock } from "./virtual_time.ts";

/** Streams of randomness, so that fewer clients or faults leave the other decisions of a seed as they were. */
const NODES = 1;
const NETWORK = 2;
const DISKS = 3;
const LIVES = 4;
/** How wrong the wall clock of a member's platform may be. */
const PLATFORM_WALL_MS = 3_600_000;
/** Two processes of one member may be 2 s apart, and 2 s are not counted of what one of them noted (§7). */
const WALL_LATE_MS = 4_000;
/** Until there is another process in place of one that was evicted; and before one that did not start is started again. */
const REPLACED_MS = 150;
/** A request whose node says nothing for so long is given up by its client. */
const SILENCE_MS = 8_000;
/** Everybody who calls is this one. */
export const SUBJECT = "sim";
const CALM: Link = { loss: 0, repeat: 0, delayMs: 1 };

const SHARED_POINT_OF: Readonly<Record<"read" | "doubt", CrashPoint>> = {
  read: "record read, nothing done",
  doubt: "outcome of a commit in doubt, not looked at",
};

type Life = { readonly died: Promise<never>; readonly end: () => void; isOver: boolean };

export class World {
  readonly plan: Plan;
  readonly clock = new VirtualClock();
  readonly startMs: number;
  readonly points = new CrashPoints();
  readonly leftovers: Leftovers;
  readonly order = new QueueOrder();
  readonly none = new NoneTold();
  readonly decided = new DecidedLog();
  readonly answers = new Answers(this.decided, SUBJECT);
  readonly monitor: AcceptorMonitor;
  readonly digest: Digest;
  /** Every process; a node that has its store to itself is one of its own name. */
  readonly nodes: string[];
  /** Members, those that were and will be none too once they are there, and nodes that do not vote. */
  readonly ids: string[];
  readonly changes: Changes;
  readonly isolates: Isolates;
  /** Processes that are not there. */
  readonly down = new Set<string>();
  readonly stalls = new Stalls();
  /** How much longer each node's disk takes for an atomic. */
  readonly slowDiskMs = new Map<string, number>();
  kills = 0;
  /** How often a process was ended while others served its store. */
  evictions = 0;
  /** Keys and instances of the states that had forgotten what was before. */
  readonly forgotten = new Set<string>();
  readonly faults: string[] = [];
  isFaulty = true;
  /** Told each state that a disk has committed, and each that the votes on disks decide. */
  readonly observers = new Set<(key: string, state: KeyState) => void>();
  readonly #clocks = new Map<string, MachineClock>();
  /** By member, how wrong the wall clock of its platform is. */
  readonly #walls = new Map<string, number>();
  readonly #lives = new Map<string, Life>();
  readonly #starting = new Set<string>();
  readonly #left = new Map<string, PromiseWithResolvers<void>>();
  readonly #coordinators = new Map<string, string>();
  readonly #records = new Map<string, AcceptorRecord>();
  readonly #network: Seeded;
  readonly #disks: Seeded;
  readonly #random: Seeded;
  #cluster!: MemoryCluster;

  static async make(plan: Plan, digest: Digest): Promise<World> {
    const world = new World(plan, digest);
    await world.clock.run(world.#start(), 10_000);
    world.changes.begin();
    return world;
  }

  private constructor(plan: Plan, digest: Digest) {
    this.plan = plan;
    this.digest = digest;
    this.#network = seededRandomness(plan.seed, NETWORK);
    this.#disks = seededRandomness(plan.seed, DISKS);
    this.#random = seededRandomness(plan.seed, LIVES);
    const members = [...MEMBERS.slice(0, plan.n)];
    this.ids = [...members, ...LEARNERS.slice(0, plan.learners)];
    for (const [i, id] of this.ids.entries()) this.#clocks.set(id, this.#clockOf(id, plan.rates[i]!));
    this.nodes = this.ids.flatMap((id) => this.processesOf(id));
    for (const id of plan.shared) this.#walls.set(id, (this.#random.next() * 2 - 1) * PLATFORM_WALL_MS);
    for (const id of this.nodes) this.#begin(id);
    this.isolates = new Isolates({
      plan,
      clock: this.clock,
      random: this.#random,
      machine: (process) => this.machine(process),
      watch: (process) => this.#watchIsolate(process),
      isUp: (process) => !this.down.has(process),
    });
    this.leftovers = new Leftovers((id) => plan.shared.includes(id) ? WALL_LATE_MS : 0);
    this.monitor = new AcceptorMonitor(
      members,
      (key, instance, valueId) => this.decided.chose(key, instance, valueId, this.clock.now()),
      (id) => this.epochOf(id),
      (id) => plan.shared.includes(id),
    );
    this.changes = new Changes(this, members);
    this.startMs = this.clock.now();
  }

  async #start(): Promise<void> {
    const { n, learners, seed, shared, raises, forgetAfterMs } = this.plan;
    await this.isolates.init();
    this.#cluster = await memoryCluster(n, {
      learners,
      clock: this.clock,
      random: seededRandomness(seed, NODES),
      modes: MODE_RULES,
      clockOf: (id) => this.machine(id),
      schedule: (id) => this.#disk(id),
      watch: (id) => this.#watch(id),
      trace: (id) => this.#trace(id),
      received: (id, receive) => this.#received(id, receive),
      sending: (id, transport) => ({
        ...transport,
        send: (to, message) => this.stalls.told(id, transport.send(to, message)),
        rttMs: (to) => transport.rttMs(to),
        close: () => transport.close(),
      }),
      otherEpoch: (from, to) => this.changes.met(memberOf(from), memberOf(to)),
      ...(shared.length === 0 ? {} : { shared: this.isolates }),
      machine: raises ? MACHINE_VERSION : MACHINE_OF_ALL,
      ...(forgetAfterMs === null ? {} : { forgetAfterMs }),
    });
    for (const process of this.nodes) this.#livesFor(process);
    const { network } = this.#cluster;
    network.delay((parcel) => this.#network.next() * this.linkOf(parcel).delayMs);
    network.drop((parcel) => {
      const isLost = this.#network.chance(this.linkOf(parcel).loss);
      this.digest.parcel(this.clock.now(), parcel, isLost);
      return isLost;
    });
    network.duplicate((parcel) => this.#network.chance(this.linkOf(parcel).repeat));
  }

  #clockOf(process: string, rate: number): MachineClock {
    return new MachineClock(this.clock, rate, (run) => this.stalls.run(process, run));
  }

  async #disk(id: string): Promise<void> {
    await this.clock.sleep(this.#disks.next() * 3 + (this.slowDiskMs.get(id) ?? 0));
    await this.stalls.awake(id);
  }

  get cluster(): MemoryCluster {
    return this.#cluster;
  }

  /** Itself, if it is one; else those that serve the member. */
  processesOf(id: string): readonly string[] {
    const isolates = isolatesOf(this.plan, id);
    return isolates.length > 0 ? isolates : [id];
  }

  /** Nobody serves the member. */
  isGone(id: string): boolean {
    return this.processesOf(id).every((process) => this.down.has(process));
  }

  /** The instance that is open by the record that a process, or its member, has of the key. */
  instanceAt(process: string, key: string): number {
    return this.#records.get(`${memberOf(process)} ${key}`)?.instance ?? 0;
  }

  /** @param process or its member */
  isQuarantined(process: string): boolean {
    const id = memberOf(process);
    if (this.plan.shared.includes(id)) return this.isolates.isQuarantined(id);
    return (this.#cluster.store(id)?.quarantined() ?? null) !== null;
  }

  /**
   * Nodes that are up; some may not vote yet, or any more. Once all works nobody asks one whom others take nothing from, or
   * that is no member any more.
   */
  get up(): readonly string[] {
    const isAsked = (id: string) => !this.monitor.hasLost(id) && !this.changes.hasLeft(id);
    return this.nodes.filter((id) => !this.down.has(id) && (this.isFaulty || isAsked(memberOf(id))));
  }

  machine(id: string): MachineClock {
    return this.#clocks.get(id)!;
  }

  /** The slowest rate there is, but not above 1: how much longer than on a true clock things may take. */
  get slowest(): number {
    return Math.min(1, ...this.plan.rates);
  }

  linkOf({ from, to }: Pick<Parcel, "from" | "to">): Link {
    return this.isFaulty ? this.plan.links[`${memberOf(from)}>${memberOf(to)}`] ?? this.plan.link : CALM;
  }

  kill(id: string): void {
    if (this.down.has(id)) return;
    this.kills++;
    if (this.#isIsolate(id)) this.evictions++;
    this.down.add(id);
    this.digest.add(this.clock.now(), `kill ${id}`);
    this.#die(id);
    this.stalls.end(id);
  }

  /** As `kill`, and of one that is starting too: what it has opened is no more. */
  lose(id: string): void {
    this.kill(id);
    if (this.#starting.has(id)) this.#die(id);
  }

  #die(id: string): void {
    const life = this.#lives.get(id)!;
    life.isOver = true;
    life.end();
    this.#cluster.kill(id);
  }

  /** Who coordinates this key, as the record that was committed last has it. */
  coordinatorOf(key: string): string | undefined {
    return this.#coordinators.get(key);
  }

  /** The epoch that is in force at a node, durably. */
  epochOf(id: string): number {
    return this.plan.shared.includes(id) ? 0 : this.#cluster?.store(id)?.epochs()?.current.epoch ?? 0;
  }

  /** A new member, on a machine of its own; not awaited to its end either. */
  join(id: string, row: EpochsRow): void {
    this.digest.add(this.clock.now(), `join ${id}`);
    this.#clocks.set(id, this.#clockOf(id, this.plan.rates[this.ids.length] ?? 1));
    this.#lives.set(id, newLife());
    this.ids.push(id);
    this.nodes.push(id);
    this.#cluster.join(id, row).catch((error: Error) => {
      if (!error.message.endsWith("was killed while it started")) {
        this.faults.push(`${id} did not join: ${error.message}`);
      }
    });
  }

  /** Not awaited to its end: it may have to wait for others to confirm its store. */
  restart(id: string): void {
    if (this.#isIsolate(id)) return this.#replace(id);
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

  /** Another process in place of one that is no more: with another memory, on another machine. */
  #replace(process: string): void {
    if (!this.down.has(process) || this.#starting.has(process)) return;
    this.#starting.add(process);
    this.digest.add(this.clock.now(), `start ${process}`);
    this.#begin(process);
    const life = this.#lives.get(process)!;
    this.#cluster.restart(process).then(() => !life.isOver, () => false).then((isUp) => {
      this.#starting.delete(process);
      // Its database did not answer, or is gone.
      if (!isUp) return void this.clock.after(REPLACED_MS, () => this.#replace(process));
      this.down.delete(process);
      this.#livesFor(process);
    });
  }

  /** Where processes come and go by themselves this one is evicted in a while, also when everything works. */
  #livesFor(process: string): void {
    const { lifeMs } = this.plan;
    if (lifeMs === null || !this.#isIsolate(process)) return;
    const life = this.#lives.get(process)!;
    this.clock.after(lifeMs * (0.5 + this.#random.next()), () => {
      if (life.isOver) return;
      this.kill(process);
      this.clock.after(this.#random.next() * REPLACED_MS, () => this.restart(process));
    });
  }

  #begin(process: string): void {
    this.#lives.set(process, newLife());
    if (!this.#isIsolate(process)) return;
    const machine = this.#clockOf(process, this.#random.pick(this.plan.rates));
    machine.wallOffsetMs = this.wallOf(
      process,
      this.#random.pick([-1, 1, this.#random.next() * 2 - 1]) * WALL_APART_MS,
    );
    this.#clocks.set(process, machine);
  }

  /** How wrong a process's wall clock is that is `ms` off its platform's. */
  wallOf(process: string, ms: number): number {
    return (this.#walls.get(memberOf(process)) ?? 0) + ms;
  }

  #isIsolate(process: string): boolean {
    return process !== memberOf(process);
  }

  /** Resolves when it dies, or another node begins on its store: either way what it has to say ends. */
  deathOf(id: string): Promise<void> {
    return Promise.race([this.#lives.get(id)!.died.catch(() => {}), this.#leftOf(id)]);
  }

  /** Resolves when another node begins on its store: what was asked of the one before is cut off, as its sockets are. */
  #leftOf(id: string): Promise<void> {
    const left = this.#left.get(id) ?? Promise.withResolvers<void>();
    this.#left.set(id, left);
    return left.promise;
  }

  async adopt(id: string, row: EpochsRow): Promise<void> {
    const isOther = this.epochOf(id) !== row.current.epoch;
    await this.#cluster.adopt(id, row);
    if (!isOther) return;
    // The node of the new epoch has a memory of its own.
    this.leftovers.restarted(id);
    this.#left.get(id)?.resolve();
    this.#left.delete(id);
  }

  /** What a client hears of a node: nothing more from the moment it dies. */
  async ask<T>(id: string, call: (node: ReplicaNode) => Promise<T>, silenceMs = SILENCE_MS): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>();
    const cancel = this.clock.after(silenceMs, () => reject(new QuorateError("outcome-unknown", "no answer")));
    const { died } = this.#lives.get(id)!;
    const asked = async () => {
      await this.stalls.awake(id);
      const node = this.#cluster.node(id) as ReplicaNode | undefined;
      if (node === undefined) throw new QuorateError("not-ready", "it has not begun");
      return await this.stalls.told(id, call(node));
    };
    try {
      const left = this.#leftOf(id).then(() => {
        throw new QuorateError("outcome-unknown", "another node has begun there");
      });
      return await Promise.race([asked(), died, promise, left]);
    } finally {
      cancel();
    }
  }

  #watch(id: string): AtomicWatch {
    const life = this.#lives.get(id)!;
    return (moment, steps) => {
      if (!life.isOver) this.#atomic(id, moment, () => steps, true);
    };
  }

  #watchIsolate(process: string): IsolateWatch {
    const life = this.#lives.get(process)!;
    return {
      reached: (point) => life.isOver || this.points.reached(process, SHARED_POINT_OF[point]),
      // What was sent may arrive when its sender is no more: it counts like any other.
      atomic: (moment, steps) => this.#atomic(process, moment, steps, !life.isOver),
    };
  }

  #atomic(process: string, moment: "ready" | "committed", steps: () => readonly RecordStep[], isAlive: boolean): void {
    const isArmed = isAlive && this.points.isArmed(process);
    if (moment === "ready" && !isArmed) return;
    const id = memberOf(process);
    const records = steps();
    const changes = !isArmed
      ? []
      : records.map(([key, record]) => changeOf(this.#records.get(`${id} ${key}`) ?? null, record));
    if (moment === "committed") {
      for (const [key, record] of records) this.#committed(id, key, record);
      for (const [key, record] of records) this.digest.record(this.clock.now(), process, key, record);
    }
    if (isAlive) this.points.atomic(process, moment, changes);
  }

  #committed(id: string, key: string, record: StoredRecord): void {
    this.#records.set(`${id} ${key}`, record);
    const { instance, vote, importing } = record;
    this.decided.committed(key, record);
    const imported = importing?.vote ?? null;
    if (imported !== null) this.decided.committed(key, { ...imported.base, vote: imported });
    const newest = this.decided.newest(key);
    this.monitor.committed(id, key, record);
    for (const command of vote?.value.commands ?? []) this.none.voted(command.id);
    const state = record.state as KeyState;
    if (hasForgotten(state, instance)) this.forgotten.add(`${key} ${instance}`);
    this.order.seen(key, {
      instance,
      waiting: state.queue.map(([place]) => place),
      holding: state.holders.map(({ command }) => command),
      cooling: state.cooling !== null,
    });
    if (state.mode.kind !== "prepare") this.#coordinators.set(key, state.mode.coordinator);
    this.leftovers.seen(id, key, instance, state, this.clock.now());
    for (const observe of this.observers) observe(key, state);
    // This vote may be the last that its value needed: then readers tell of it before any record moves on.
    const made = newest < instance ? this.decided.made(key, record) : null;
    if (made !== null) { for (const observe of this.observers) observe(key, made); }
  }

  #trace(id: string): Trace {
    const life = this.#lives.get(id)!;
    const record = (sighting: Sighting) => {
      if (life.isOver) return;
      if (sighting.type === "sent") this.monitor.sent(memberOf(id), sighting.message);
      this.points.sighted(id, sighting);
    };
    return { on: true, record };
  }

  #received(id: string, receive: Receive): Receive {
    const life = this.#lives.get(id)!;
    return async (from, mailbox, messages, mark) => {
      this.points.reached(id, "message received, not looked at");
      const awake = this.stalls.awake(id);
      if (awake !== null) await awake;
      if (life.isOver) return await life.died;
      const replies = await receive(from, mailbox, messages, mark);
      if (life.isOver) return await life.died;
      messages.forEach((message, i) => {
        const reply = replies[i];
        if (!("key" in message) || reply === undefined) return;
        this.monitor.replied(memberOf(id), message.key, reply, message.epoch);
      });
      this.points.reached(id, "replies ready, not sent");
      return life.isOver ? await life.died : replies;
    };
  }
}

/** Nothing but the floor that forgetting leaves says so. */
function hasForgotten(state: KeyState, instance: number): boolean {
  return state.version >= 4 && state.evicted === instance - 2 && entriesOf(state).length === 0;
}

function newLife(): Life {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  return { died: promise, end: () => reject(new QuorateError("outcome-unknown", "the node died")), isOver: false };
}
