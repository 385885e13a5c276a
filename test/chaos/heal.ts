/** How long after the faults each lock takes writes again, as its users would notice. */
import { seeded } from "../replica/clocks.ts";
import { Client } from "./client.ts";
import type { History } from "./history.ts";
import { lockName, LOCKS } from "./workload.ts";

/** Leases and places that were left behind lapse within this. */
const WAIT_MS = 15_000;
const TTL_MS = 1_000;

export type HealTimes = {
  /** Per lock, until a write of it was decided and answered: a renewal, whoever holds it. In ms. */
  readonly writable: readonly number[];
  /** Per lock, until it was granted: what holders and waiters left behind had to lapse first. In ms. */
  readonly granted: readonly number[];
  /** Locks that were not to be had. */
  readonly faults: readonly string[];
};

/** Asks for all locks at once, from now on. */
export async function healTimes(
  nodes: ReadonlyMap<string, string>,
  history: History,
  seed: number,
): Promise<HealTimes> {
  const startMs = history.now();
  const random = seeded(seed);
  // Nobody holds its fence, so it proves nothing but that the lock's log goes on.
  const prober = new Client("prober", { nodes, history: { now: () => history.now(), add: () => {} }, random });
  const faults: string[] = [];
  const times = await Promise.all(Array.from({ length: LOCKS }, async (_, i) => {
    const key = lockName(i);
    const { outcome } = await prober.renew(key, "1");
    const writableMs = history.now() - startMs;
    if (!["lost", "not-found"].includes(outcome)) faults.push(`${key}: a write was answered ${outcome} after healing`);
    const client = new Client(`heal-${i}`, { nodes, history, random });
    const { outcome: taken, fence } = await client.acquire(key, TTL_MS, WAIT_MS);
    const grantedMs = history.now() - startMs;
    if (taken === "granted") await client.release(key, fence!);
    else faults.push(`${key}: asked for ${WAIT_MS} ms after healing, it was ${taken}`);
    return { writableMs, grantedMs };
  }));
  return {
    writable: times.map(({ writableMs }) => writableMs),
    granted: times.map(({ grantedMs }) => grantedMs),
    faults,
  };
}
