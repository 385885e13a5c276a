/**
 * Clients of one semaphore: they take one permit or two, at times wait for them, renew them, and give them back or let
 * them lapse. Permits whose guarantee has not ended never exceed the limit.
 */
import type { Asker } from "./asker.ts";
import { TIMEOUT_MS } from "./asker.ts";
import type { FenceRead } from "./check/fences.ts";
import { permitFaults } from "./check/permits.ts";
import { guaranteedUntilMs } from "./guarantee.ts";
import type { Heal } from "./heal.ts";
import { type Hold, Holder, REFUSALS } from "./holder.ts";
import { nameOf, NounWorkload, type WorkloadParts } from "./workload.ts";

const STREAM = 400;
const CLIENTS = 5;
const PAUSE_MS = 300;
const TTL_MS = 5_000;
const WAIT_MS = 60_000;

export class SemaphoreWorkload extends NounWorkload {
  readonly #name: string;
  readonly #limit: number;
  readonly #holds: { readonly hold: Hold; readonly permits: number }[] = [];
  readonly #reads: FenceRead[] = [];

  constructor(parts: WorkloadParts) {
    super(parts);
    const { seed } = parts.world.plan;
    this.#name = nameOf(seed, 0);
    this.#limit = 2 + seed % 3;
  }

  override faults(): readonly string[] {
    const grants = this.#holds.map(({ hold, permits }) => ({ ...hold, permits, limit: this.#limit }));
    return [...this.clients.faults, ...permitFaults(grants, this.clients.leases, this.#reads)];
  }

  override async run(): Promise<void> {
    await Promise.all(Array.from({ length: CLIENTS }, (_, i) => this.#client(`taker-${i}`, STREAM + i)));
  }

  /** All permits can be had at once, as soon as the leases that were left behind allow. */
  override async healed(heal: Heal): Promise<void> {
    const calledMs = this.clients.now();
    const request = {
      holder: "last",
      limit: this.#limit,
      permits: this.#limit,
      ttlMs: TTL_MS,
      waitMs: WAIT_MS,
      lockDelayMs: 0,
    };
    const { body, sentMs } = await heal.inTime(
      () => Math.max(calledMs, heal.freeMs(this.#key, calledMs)),
      (node, caller) => node.semaphores.take(this.#name, request, caller),
      `${this.#key}: not all permits can be had`,
    );
    const { fence } = body;
    this.#granted(this.#limit, {
      lock: this.#key,
      calledMs,
      returnedMs: this.clients.now(),
      fence: BigInt(fence),
      guaranteedUntilMs: guaranteedUntilMs({ sentMs, rate: 1 }, body),
      releasedMs: Infinity,
    });
  }

  get #key(): string {
    return `semaphore/${this.#name}`;
  }

  #granted(permits: number, hold: Hold): void {
    this.#holds.push({ hold, permits });
  }

  async #client(name: string, stream: number): Promise<void> {
    const asker = this.clients.asker(stream, REFUSALS);
    const holder = new Holder(name, this.clients, asker);
    for (let i = 0; !asker.isOver; i++) {
      await asker.sleep(asker.random.next() * PAUSE_MS);
      const reads = asker.random.chance(0.2);
      if (asker.isOver) return;
      if (reads) await this.#read(asker, `${name}-${i}`);
      else await this.#take(asker, holder, name, `${name}-${i}`);
    }
  }

  async #take({ random }: Asker, holder: Holder, name: string, id: string): Promise<void> {
    const permits = random.pick([1, 1, 2]);
    const ttlMs = random.pick([1_000, 2_000]);
    const waitMs = random.pick([0, 1_000, 4_000]);
    const lockDelayMs = random.pick([0, 0, 0, 500]);
    const request = { holder: name, limit: this.#limit, permits, ttlMs, waitMs, lockDelayMs };
    await holder.use(id, {
      key: this.#key,
      ttlMs,
      input: request,
      waits: waitMs > 0,
      ask: (node, caller) => node.semaphores.take(this.#name, request, caller),
      renew: (node, fence, caller) => node.semaphores.renew(this.#name, fence, {}, caller),
      release: (node, fence, caller) => node.semaphores.release(this.#name, fence, caller),
      granted: (hold) => this.#granted(permits, hold),
    });
  }

  async #read(asker: Asker, id: string): Promise<void> {
    const calledMs = this.clients.now();
    const told = await asker.ask(
      id,
      (node) => node.semaphores.get(this.#name, { stale: false, timeoutMs: TIMEOUT_MS }),
    );
    this.clients.count(told);
    if (told === null || "code" in told) return;
    const { holders, available, limit, lastFence } = told.answer.body;
    this.#reads.push({ lock: this.#key, calledMs, returnedMs: this.clients.now(), fence: BigInt(lastFence) });
    const taken = holders.reduce((sum, { permits }) => sum + permits, 0);
    if (limit !== null && taken + (available ?? 0) !== limit) {
      this.clients.faults.push(
        `${this.#key}: shown with ${taken} permits taken and ${available} of ${limit} available`,
      );
    }
  }
}
