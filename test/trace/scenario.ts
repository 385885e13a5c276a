/** One cluster in memory on a clock of its own, traced: what happens in it is the same in every run. */
import { sha256Hex } from "../../src/auth/digest.ts";
import type { Answer, Grant, Released } from "../../src/api.ts";
import { mergeTraces } from "../../src/observe/merge.ts";
import { type TraceEvent, TraceRing } from "../../src/observe/trace.ts";
import type { Mode } from "../../src/paxos/message.ts";
import { createModes, type ModeName } from "../../src/engine/modes.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "../replica/memory_cluster.ts";
import { ManualClock } from "../transport/manual_clock.ts";

/** Five in a row: a message takes this long, and as much again for each node it passes. */
const HOP_MS = 4;
const WARM_UPS = 3;

export class Scenario {
  readonly cluster: MemoryCluster;
  readonly #clock: ManualClock;
  readonly #rings: ReadonlyMap<string, TraceRing>;

  private constructor(cluster: MemoryCluster, clock: ManualClock, rings: ReadonlyMap<string, TraceRing>) {
    this.cluster = cluster;
    this.#clock = clock;
    this.#rings = rings;
  }

  /** Every key starts in `mode`. */
  static async start(n: number, mode: ModeName): Promise<Scenario> {
    const clock = new WholeClock();
    const rings = new Map<string, TraceRing>();
    const starting = memoryCluster(n, {
      clock,
      modes: [{ prefix: "lock/", mode }],
      trace: (id) => {
        rings.set(id, new TraceRing(id, clock));
        return rings.get(id)!;
      },
    });
    const scenario = new Scenario(await passing(clock, starting), clock, rings);
    scenario.cluster.network.delay(({ from, to }) => HOP_MS * Math.abs(from.charCodeAt(0) - to.charCodeAt(0)));
    // Timers follow measured round trips.
    for (let i = 0; i < WARM_UPS; i++) {
      for (const id of scenario.cluster.ids) {
        await scenario.during(scenario.acquire(id, `warm-${id}-${i}`, `warm-${id}-${i}`));
      }
    }
    return scenario;
  }

  /** Time passes until it is done; nothing happens without. */
  during<T>(work: Promise<T>): Promise<T> {
    return passing(this.#clock, work);
  }

  /** Asks for a lock; `hedge` where the same request goes to several nodes. */
  acquire(node: string, name: string, id: string, hedge?: number): Promise<Answer<Grant>> {
    const who = caller({ idempotencyKey: id, ...(hedge === undefined ? {} : { hedge }) });
    // One request has one holder.
    return this.cluster.node(node).locks.acquire(name, request(hedge === undefined ? node : "racer"), who);
  }

  release(node: string, name: string, fence: string, id: string): Promise<Answer<Released>> {
    return this.cluster.node(node).locks.release(name, fence, caller({ idempotencyKey: id }));
  }

  /** Until nothing more of this is on its way. */
  async settle(): Promise<void> {
    await this.#clock.pass(200);
  }

  traces(name: string): readonly (readonly TraceEvent[])[] {
    return [...this.#rings.values()].map((ring) => ring.events(`lock/${name}`));
  }

  events(name: string): readonly TraceEvent[] {
    return mergeTraces(this.traces(name));
  }

  close(): void {
    this.cluster.close();
  }
}

/** Its wall is of whole milliseconds, as the real one; back-offs are not. */
class WholeClock extends ManualClock {
  override wall(): number {
    return Math.floor(this.now());
  }
}

/** A name below `prefix` whose coordinator is `node` while nobody has used it. */
export function nameOfCoordinator(prefix: string, node: string, members: readonly string[]): string {
  const modes = createModes(members, [], sha256Hex);
  for (let i = 0; i < 1_000; i++) {
    const mode: Mode = modes.initial(`lock/${prefix}${i}`);
    if (mode.kind === "fast" && mode.coordinator === node) return `${prefix}${i}`;
  }
  throw new Error(`${node} coordinates nothing`);
}

async function passing<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  let over = false;
  const end = () => void (over = true);
  work.then(end, end);
  for (let i = 0; i < 20_000 && !over; i++) await clock.pass(1);
  return await work;
}
