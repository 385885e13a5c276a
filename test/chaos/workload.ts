/** Many users of few locks, and of the resources that these locks guard. */
import { seeded } from "../replica/clocks.ts";
import { Client, type ClientOptions } from "./client.ts";
import { pause } from "./real_cluster.ts";
import type { Resource } from "./resource.ts";

export const CLIENTS = 32;
export const LOCKS = 40;
export const TTLS_MS: readonly number[] = [1_000, 2_000, 3_000];
const WAITS_MS = [0, 0, 1_500];
/** Far beyond any run: such a hold can only be lost by a fault. */
const KEPT_TTL_MS = 3_600_000;
const THINK_MAX_MS = 10;

export type WorkloadOptions = Omit<ClientOptions, "random"> & {
  readonly seed: number;
  /** Both are used at each visit: what differs is only whether the fence is looked at. */
  readonly guarded: Resource;
  readonly unguarded: Resource;
  /** How many users. Default: CLIENTS. */
  readonly clients?: number;
  /** The longest that one of them rests between two operations, in ms. Default: so short that they keep the machine busy. */
  readonly thinkMs?: number;
};

export function lockName(index: number): string {
  return `shared/${index}`;
}

export class Workload {
  readonly #options: WorkloadOptions;
  readonly #clients: Promise<void>[];
  #isOver = false;

  /** Starts at once. */
  constructor(options: WorkloadOptions) {
    this.#options = options;
    this.#clients = Array.from({ length: options.clients ?? CLIENTS }, (_, i) => this.#run(i));
  }

  /** Resolves when every client has come to the end of what it was at. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients);
  }

  async #run(index: number): Promise<void> {
    const random = seeded(this.#options.seed * 1_000 + index);
    const client = new Client(`client-${index}`, { ...this.#options, random });
    const { thinkMs = THINK_MAX_MS } = this.#options;
    for (let i = 0; !this.#isOver; i++) {
      const key = lockName(Math.floor(random() * LOCKS));
      const kind = random();
      if (kind < 0.15) await client.read(key);
      else if (kind < 0.2) await this.#keep(client, `kept/${index}/${i}`, random() < 0.5);
      else await this.#visit(client, key, random);
      await pause(random() * thinkMs);
    }
  }

  /** Takes the lock, changes what it guards, perhaps renews in between, and mostly gives it back. */
  async #visit(client: Client, key: string, random: () => number): Promise<void> {
    const { guarded, unguarded } = this.#options;
    const { outcome, fence } = await client.acquire(key, pick(TTLS_MS, random), pick(WAITS_MS, random));
    if (outcome !== "granted" || fence === null) return;
    const [base, plainBase] = [guarded.read(key, fence), unguarded.read(key, fence)];
    await pause(random() * THINK_MAX_MS);
    if (random() < 0.2) await client.renew(key, fence);
    if (base !== null) guarded.write(key, fence, base);
    if (plainBase !== null) unguarded.write(key, fence, plainBase);
    // A few forget it: it has to lapse.
    if (random() < 0.98) await client.release(key, fence);
  }

  /** A lock of its own that nobody touches again: no later write can hide that it was lost. */
  async #keep(client: Client, key: string, giveBack: boolean): Promise<void> {
    const { outcome, fence } = await client.acquire(key, KEPT_TTL_MS, 0);
    if (outcome === "granted" && giveBack) await client.release(key, fence!);
  }
}

function pick<T>(items: readonly T[], random: () => number): T {
  return items[Math.floor(random() * items.length)]!;
}
