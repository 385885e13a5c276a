/** How long after the faults each lock takes writes again, as its users would notice. */
import { seeded } from "../replica/clocks.ts";
import { Client } from "./client.ts";
import type { History, Operation } from "./history.ts";
import { lockName, LOCKS } from "./workload.ts";

/** Leases and places that were left behind lapse within this. */
const WAIT_MS = 15_000;
const TTL_MS = 1_000;
const ASKED_MAX = 4;

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
    const outcome = await asked(() => prober.renew(key, "1"), ["lost", "not-found"]);
    const writableMs = history.now() - startMs;
    if (outcome !== null) faults.push(`${key}: after healing a write was answered ${outcome}, again and again`);
    const client = new Client(`heal-${i}`, { nodes, history, random });
    let fence: string | null = null;
    const refused = await asked(async () => {
      const grant = await client.acquire(key, TTL_MS, WAIT_MS);
      fence = grant.fence;
      return grant;
    }, ["granted"]);
    const grantedMs = history.now() - startMs;
    if (refused !== null) faults.push(`${key}: after healing it was ${refused}, again and again`);
    else await client.release(key, fence!);
    return { writableMs, grantedMs };
  }));
  return {
    writable: times.map(({ writableMs }) => writableMs),
    granted: times.map(({ grantedMs }) => grantedMs),
    faults,
  };
}

/** Asks until it is told one of these, each time anew; null if it was, else what it was told last. */
async function asked(ask: () => Promise<Operation>, wanted: readonly string[]): Promise<string | null> {
  let told = "";
  for (let i = 0; i < ASKED_MAX; i++) {
    told = (await ask()).outcome;
    if (wanted.includes(told)) return null;
  }
  return told;
}
