/** Carries out a plan of faults on real processes, their links, stores and disks, and undoes it. */
import type { Disks } from "./disk.ts";
import type { Mesh } from "./mesh.ts";
import { type Fault, NODES, type Step } from "./mixes.ts";
import { pause, type RealCluster } from "./real_cluster.ts";
import { votesOf } from "./quarantine.ts";
import { copyStore, restoreStore, votesIn } from "./store_files.ts";

export type InjectorParts = {
  readonly cluster: RealCluster;
  readonly mesh: Mesh;
  readonly disks: Disks | null;
};

export class Injector {
  readonly counts = { kills: 0, pauses: 0, partitions: 0, rollbacks: 0, fullDisks: 0 };
  /** What must not be, as far as faults themselves show it. */
  readonly faults: string[] = [];
  /** Stores that were put back, with what was in them. */
  readonly #rolledBack = new Map<string, readonly string[]>();
  readonly #parts: InjectorParts;
  #watch: Promise<void> = Promise.resolve();
  #isOver = false;

  constructor(parts: InjectorParts) {
    this.#parts = parts;
  }

  /** Those whose store is the one they left: all others must never vote again. */
  get honest(): string[] {
    return NODES.filter((id) => !this.#rolledBack.has(id));
  }

  /** One step after the other; one that took longer to undo moves those after it, and what no longer fits is left out. */
  async run(steps: readonly Step[], durationMs: number): Promise<void> {
    const startMs = performance.now();
    let lateMs = 0;
    for (const { atMs, untilMs, fault } of steps) {
      if (untilMs + lateMs > durationMs) break;
      await until(startMs + atMs + lateMs);
      await this.#begin(fault);
      await until(startMs + untilMs + lateMs);
      await this.#end(fault);
      // The next fault must not meet a node that is not back yet: more than a minority would be down.
      if (untilMs < durationMs) await Promise.all(this.honest.map((id) => this.#parts.cluster.ready(id)));
      lateMs = Math.max(lateMs, performance.now() - startMs - untilMs);
    }
    await until(startMs + durationMs);
  }

  /** At the end: stores that were put back have been found out, and hold no vote that was not in the copy. */
  async settle(): Promise<void> {
    this.#isOver = true;
    await this.#watch;
    for (const [id, before] of this.#rolledBack) {
      await this.#parts.cluster.kill(id);
      const after = await votesIn(this.#parts.cluster, id);
      if (after.join("\n") !== before.join("\n")) this.faults.push(`${id} wrote votes with a store that was put back`);
    }
  }

  async #begin(fault: Fault): Promise<void> {
    const { cluster, mesh, disks } = this.#parts;
    switch (fault.type) {
      case "kill":
        this.counts.kills += fault.nodes.length;
        await Promise.all(fault.nodes.map((id) => cluster.kill(id)));
        return;
      case "pause":
        this.counts.pauses += fault.nodes.length;
        for (const id of fault.nodes) cluster.signal(id, "SIGSTOP");
        return;
      case "links":
        this.counts.partitions++;
        mesh.set(fault.pairs, fault.state);
        return;
      case "lossy":
        mesh.setFaults(fault.faults);
        return;
      case "rollback":
        for (const id of fault.nodes) {
          await cluster.kill(id);
          await copyStore(cluster, id, copyOf(cluster, id));
          await cluster.startNode(id);
        }
        return;
      case "full-disk":
        this.counts.fullDisks += fault.nodes.length;
        await Promise.all(fault.nodes.map((id) => disks!.fill(cluster, id)));
        return;
    }
  }

  async #end(fault: Fault): Promise<void> {
    const { cluster, mesh, disks } = this.#parts;
    switch (fault.type) {
      case "kill":
        await Promise.all(fault.nodes.map((id) => cluster.startNode(id, [], { ready: false })));
        return;
      case "pause":
        for (const id of fault.nodes) cluster.signal(id, "SIGCONT");
        return;
      case "links":
      case "lossy":
        mesh.heal();
        return;
      case "rollback":
        await this.#putBack(fault.nodes);
        return;
      case "full-disk":
        await Promise.all(fault.nodes.map((id) => disks!.free(cluster, id)));
        return;
    }
  }

  async #putBack(nodes: readonly string[]): Promise<void> {
    const { cluster } = this.#parts;
    this.counts.rollbacks += nodes.length;
    await Promise.all(nodes.map((id) => cluster.kill(id)));
    for (const id of nodes) {
      await restoreStore(cluster, id, copyOf(cluster, id));
      this.#rolledBack.set(id, await votesIn(cluster, id));
    }
    await Promise.all(nodes.map((id) => cluster.startNode(id, [], { ready: false })));
    this.#watch = Promise.all(
      nodes.map(async (id) => this.faults.push(...await votesOf(cluster, id, () => this.#isOver))),
    ).then(() => {});
  }
}

function copyOf(cluster: RealCluster, id: string): string {
  return `${cluster.folder}/copy-${id}`;
}

async function until(ms: number): Promise<void> {
  const left = ms - performance.now();
  if (left > 0) await pause(left);
}
