/** Makes the faults of a plan happen, each at its time. */
import type { MemoryBallotStore } from "../../src/store/memory_ballot_store.ts";
import type { Parcel } from "../../src/transport/local_transport.ts";
import type { FaultEvent } from "./plan.ts";
import { memberOf } from "./processes.ts";
import type { World } from "./world.ts";

/** Between the image that a disk is rolled back to and the rollback. */
const ROLLBACK_MS = 800;

export type FaultCounts = {
  cuts: number;
  diskFaults: number;
  rollbacks: number;
  losses: number;
  stalls: number;
  lates: number;
};

export class Faults {
  readonly counts: FaultCounts = { cuts: 0, diskFaults: 0, rollbacks: 0, losses: 0, stalls: 0, lates: 0 };
  /** Nodes whose disk was rolled back, or lost and made again: each must find it out, and never vote again. */
  readonly rolledBack = new Set<string>();
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
    const { clock, plan, startMs } = world;
    for (const fault of plan.faults) {
      if (fault.atMs >= plan.faultyMs) continue;
      clock.after(startMs + fault.atMs - clock.now(), () => world.isFaulty && this.#happens(fault));
    }
  }

  /** Everything works again from now on. */
  heal(): void {
    const world = this.#world;
    world.isFaulty = false;
    world.points.disarm();
    world.slowDiskMs.clear();
    world.isolates.heal();
    world.stalls.endAll();
    for (const id of world.ids.filter((id) => !world.plan.shared.includes(id))) {
      // A member that is about to join has no store yet.
      const store = world.cluster.store(id) as MemoryBallotStore | undefined;
      if (store !== undefined) store.failNext = null;
    }
    for (const id of [...world.down]) world.restart(id);
  }

  #happens(fault: FaultEvent): void {
    const world = this.#world;
    // One that is to join may not be there yet.
    if ("node" in fault && !world.nodes.includes(fault.node) && !world.ids.includes(fault.node)) return;
    world.digest.add(world.clock.now(), JSON.stringify(fault));
    switch (fault.kind) {
      case "kill":
        return this.#kill(fault.node, fault.forMs);
      case "crash":
        return world.points.arm(fault.node, fault.point, fault.skip, () => this.#kill(fault.node, fault.forMs));
      case "cut": {
        this.counts.cuts++;
        const { from, to, both } = fault;
        return this.#drop(
          fault.forMs,
          (parcel) => isOn(parcel, from, to) || (both && isOn(parcel, to, from)),
        );
      }
      case "mute":
        this.counts.cuts++;
        return this.#drop(
          fault.forMs,
          (parcel) => parcel.kind === "reply" && isOn(parcel, fault.from, fault.to),
        );
      case "disk":
        this.counts.diskFaults++;
        world.cluster.store(fault.node).failNext = fault.fault;
        return;
      case "slow-disk":
        this.counts.diskFaults++;
        return this.#slow(fault.node, fault.ms, fault.forMs);
      case "kv":
        this.counts.diskFaults++;
        world.isolates.database(fault.node)?.failNext(fault.fault);
        return;
      case "stall":
        return this.#stall(
          (fault.key === undefined ? undefined : world.coordinatorOf(fault.key)) ?? fault.node,
          fault.forMs,
        );
      case "late":
        this.counts.lates++;
        return this.#late(fault);
      case "rollback":
        return this.#rollback(fault.node);
      case "lost":
        return this.#lose(fault.node, fault.forMs);
      case "wall":
        world.machine(fault.node).wallOffsetMs = world.wallOf(fault.node, fault.offsetMs);
        return;
    }
  }

  #kill(node: string, forMs: number): void {
    const world = this.#world;
    for (const process of world.processesOf(node)) {
      if (world.down.has(process)) continue;
      world.kill(process);
      world.clock.after(forMs, () => world.isFaulty && world.restart(process));
    }
  }

  #slow(node: string, ms: number, forMs: number): void {
    const { slowDiskMs, isolates, clock } = this.#world;
    const database = isolates.database(node);
    if (database === null) slowDiskMs.set(node, ms);
    else database.slowMs = ms;
    clock.after(forMs, () => database === null ? slowDiskMs.delete(node) : database.slowMs = 0);
  }

  #drop(forMs: number, test: (parcel: Parcel) => boolean): void {
    const { cluster, clock } = this.#world;
    const end = cluster.network.drop((parcel) => this.#world.isFaulty && test(parcel));
    clock.after(forMs, end);
  }

  #stall(node: string, forMs: number): void {
    const { stalls, clock, plan, down } = this.#world;
    if (plan.shared.includes(node) || down.has(node)) return;
    this.counts.stalls++;
    stalls.begin(node);
    clock.after(forMs, () => stalls.end(node));
  }

  #coordinator({ key }: { readonly key?: string }): string | undefined {
    return key === undefined ? undefined : this.#world.coordinatorOf(key);
  }

  #late(fault: FaultEvent & { readonly kind: "late" }): void {
    const { cluster, clock } = this.#world;
    const { from, to, type, byMs, forMs } = fault;
    const coordinator = this.#coordinator(fault);
    const isLate = (parcel: Parcel) =>
      coordinator === undefined ? isOn(parcel, from, to) : memberOf(parcel.to) === coordinator;
    const end = cluster.network.delay((parcel) => {
      if (parcel.kind !== "request" || !isLate(parcel)) return 0;
      return type === undefined || parcel.content.type === type ? byMs : 0;
    });
    clock.after(forMs, end);
  }

  /** One minority a run, and commits that members which answer have seen: others no one can detect (§9). */
  #rollback(node: string): void {
    const world = this.#world;
    const { cluster, clock, plan, isolates } = world;
    if (!this.#mayRollBack(node)) return;
    const image = cluster.disk(node).snapshot();
    clock.after(ROLLBACK_MS, () => {
      if (!world.isFaulty || !this.#mayRollBack(node)) return;
      // What they know durably: one that dies forgets the rest, as §9 says.
      const heard = cluster.ids.filter((other) => other !== node)
        .map((other) => isolates.heardOf(other, node) ?? metaOf(cluster.disk(other).meta).marks?.[node]?.seq ?? 0);
      const before = metaOf(image.meta).seq ?? 0;
      // All of the others know that there was more: a phase-1 quorum without this node asks at least one of them.
      if (before >= cluster.store(node).seq() || heard.filter((seq) => seq > before).length < plan.n - 1) return;
      this.counts.rollbacks++;
      this.rolledBack.add(node);
      world.kill(node);
      cluster.disk(node).restore(image);
      world.monitor.rolledBack(node);
      world.restart(node);
    });
  }

  /** As a rollback, to before all that there was; and an init, which nobody refuses. */
  #lose(node: string, forMs: number): void {
    const world = this.#world;
    if (!this.#mayRollBack(node)) return;
    this.counts.losses++;
    this.rolledBack.add(node);
    const processes = world.processesOf(node);
    for (const process of processes) world.lose(process);
    world.monitor.lost(node);
    this.#drop(forMs, ({ from, to }) => [from, to].some((process) => memberOf(process) === node));
    if (world.isolates.database(node) === null) {
      world.cluster.disk(node).restore({ records: new Map(), meta: null });
      return world.restart(node);
    }
    world.isolates.lose(node).then(() => processes.forEach((process) => world.restart(process)), (error: Error) => {
      world.faults.push(`${node} was not made again: ${error.message}`);
    });
  }

  #mayRollBack(node: string): boolean {
    const world = this.#world;
    const f = Math.floor((world.plan.n - 1) / 2);
    return this.rolledBack.size < f && !world.ids.some((id) => world.isGone(id)) && !this.rolledBack.has(node);
  }
}

/** Whether it goes from the one to the other, whichever of its processes that is. */
function isOn({ from, to }: Parcel, one: string, other: string): boolean {
  return memberOf(from) === one && memberOf(to) === other;
}

type Meta = { readonly seq?: number; readonly marks?: Readonly<Record<string, { readonly seq: number }>> };

function metaOf(text: string | null): Meta {
  return text === null ? {} : JSON.parse(text) as Meta;
}
