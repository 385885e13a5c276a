/** Sessions in virtual time, on clocks that differ, and a client that asks node after node. */
import { QuorateError } from "../../src/errors.ts";
import { DRIFT } from "../../src/limits.ts";
import type { Caller } from "../../src/service/service.ts";
import { drifting } from "../replica/clocks.ts";
import { type MemoryCluster, memoryCluster } from "../replica/memory_cluster.ts";
import { type Seeded, seededRandomness, VirtualClock } from "../sim/virtual_time.ts";

export type World = { readonly clock: VirtualClock; readonly random: Seeded; readonly cluster: MemoryCluster };

export async function inVirtualTime(seed: number, n: number, play: (world: World) => Promise<void>): Promise<void> {
  const clock = new VirtualClock();
  const random = seededRandomness(seed);
  const run = async () => {
    const rates = new Map<string, number>();
    const cluster = await memoryCluster(n, {
      clock,
      random,
      clockOf: (id) => {
        if (!rates.has(id)) rates.set(id, 1 + (random.next() - 0.5) * 1.8 * DRIFT);
        return drifting(clock, rates.get(id)!);
      },
      schedule: () => clock.sleep(random.next() * 3),
    });
    cluster.network.delay(() => 1 + random.next() * 20);
    await play({ clock, random, cluster });
    cluster.close();
  };
  await clock.run(run(), 600_000);
}

type Node = ReturnType<MemoryCluster["node"]>;

/** Asks node after node under one key until one says something definite: the answer, or the error's code. */
export async function ask<T>(
  { random, cluster }: World,
  alive: readonly string[],
  id: string,
  subject: string,
  call: (node: Node, caller: Caller) => Promise<T>,
): Promise<T | string> {
  for (let i = 0; i < 20; i++) {
    const caller = { subject, idempotencyKey: id, timeoutMs: 2_000 };
    try {
      return await call(cluster.node(random.pick(alive)), caller);
    } catch (error) {
      const code = error instanceof QuorateError ? error.code : "unknown";
      if (!["outcome-unknown", "no-quorum", "not-ready", "unknown"].includes(code)) return code;
    }
  }
  return "unknown";
}
