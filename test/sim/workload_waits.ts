/**
 * Waits of minutes, once everything works again: one keeps a lock for one to four minutes, and others wait for it, each by
 * a clock of its own that is off as far as is allowed. Most let the lock lapse, so that the next gets it as soon as
 * that may be. In some runs the node of the first of them stalls for so long that its place lapses, and takes it again later.
 */
import { QuorateError } from "../../src/errors.ts";
import { OPEN, TIMEOUT_MS } from "./asker.ts";
import { callerRate, guaranteedUntilMs } from "./guarantee.ts";
import type { Heal } from "./heal.ts";
import type { Hold } from "./holder.ts";
import { type Seeded, seededRandomness } from "./virtual_time.ts";
import { nameOf, NounWorkload, type WorkloadParts } from "./workload.ts";
import { SUBJECT } from "./world.ts";

const STREAM = 1_300;
const WAITERS = 3;
const KEPT_MIN_MS = 60_000;
const KEPT_MAX_MS = 240_000;
const KEEPER_TTL_MS = 600_000;
const WAIT_MS = 300_000;
/** A place lapses after 10 s; then all others may have had their turn. */
const STALL_MS = 45_000;
const AGAIN_MS = 100;
/** What is told of a wait is less by what two clocks may differ, and by what its last renewal and the answer took. */
const TOLD_SHARE = 0.97;
const TOLD_LESS_MS = 2_000;

export class WaitWorkload extends NounWorkload {
  readonly #name: string;
  readonly #random: Seeded;
  readonly #holds: Hold[] = [];
  #stalled: string | undefined;

  constructor(parts: WorkloadParts) {
    super(parts);
    const { seed } = parts.world.plan;
    this.#name = `${nameOf(seed, 0)}/long`;
    this.#random = seededRandomness(seed, STREAM);
  }

  override faults(): readonly string[] {
    return [...this.clients.faults, ...this.clients.exclusiveFaults(this.#holds)];
  }

  override run(): Promise<void> {
    return Promise.resolve();
  }

  override async healed(heal: Heal): Promise<void> {
    const { world } = this.clients;
    const { clock } = world;
    const calledMs = clock.now();
    const kept = await heal.inTime(
      () => calledMs,
      (node, caller) => node.locks.acquire(this.#name, this.#request("keeper", KEEPER_TTL_MS, 0), caller),
      `${this.#key} is not to be had`,
    );
    const keeper = this.#granted("keeper", calledMs, kept.sentMs, 1, kept.body);
    const waiting = [];
    for (let i = 0; i < WAITERS; i++) {
      waiting.push(this.#wait(`waiter-${i}`, i));
      await clock.sleep(this.#random.next() * 100);
    }
    // On a fast clock a wait is over sooner.
    const keptMs = (KEPT_MIN_MS + this.#random.next() * (KEPT_MAX_MS - KEPT_MIN_MS)) / Math.max(1, ...world.plan.rates);
    await clock.sleep(keptMs - STALL_MS);
    const stalled = this.#stallOne();
    await clock.sleep(this.#random.next() * STALL_MS);
    keeper.releasedMs = clock.now();
    this.#stalled = stalled;
    await this.#release(kept.body.fence, "keeper-x");
    await Promise.all(waiting);
  }

  /** Through any node that does not stall. */
  async #release(fence: string, idempotencyKey: string): Promise<void> {
    const { world } = this.clients;
    const caller = { subject: SUBJECT, idempotencyKey, timeoutMs: TIMEOUT_MS };
    for (;;) {
      const nodes = world.up.filter((id) => id !== this.#stalled);
      const node = nodes.length === 0 ? undefined : this.#random.pick(nodes);
      try {
        if (node === undefined) throw new QuorateError("not-ready", "nobody is there");
        await world.ask(node, (one) => one.locks.release(this.#name, fence, caller));
        return;
      } catch (error) {
        if (!(error instanceof QuorateError) || !OPEN.has(error.code)) throw error;
      }
      await world.clock.sleep(AGAIN_MS);
    }
  }

  /** The node of the first who waits, where all others can do without it. */
  #stallOne(): string | undefined {
    const { world } = this.clients;
    const { plan, stalls, clock } = world;
    const node = this.#nodeOf(0);
    const isSpared = plan.shared.length > 0 || world.ids.some((id) => world.isQuarantined(id));
    if (node === undefined || isSpared || !this.#random.chance(0.5)) return undefined;
    stalls.begin(node);
    clock.after(STALL_MS, () => stalls.end(node));
    return node;
  }

  #nodeOf(index: number): string | undefined {
    const { up } = this.clients.world;
    return up[index % up.length];
  }

  /** Through one node after another if one does not know or is gone, under the same key. */
  async #wait(name: string, index: number): Promise<void> {
    const { world } = this.clients;
    const { clock, plan } = world;
    const rate = callerRate(plan.seed, STREAM + index);
    const startMs = clock.now();
    const ttlMs = this.#random.pick([2_000, 10_000]);
    const releases = this.#random.chance(0.4);
    this.clients.counts.operations++;
    for (let i = index;; i++) {
      const sentMs = clock.now();
      const node = this.#nodeOf(i);
      const request = this.#request(name, ttlMs, Math.max(1, WAIT_MS - (sentMs - startMs)));
      const caller = { subject: SUBJECT, idempotencyKey: name, timeoutMs: TIMEOUT_MS };
      try {
        if (node === undefined) throw new QuorateError("not-ready", "nobody is there");
        const { body } = await world.ask(node, (one) => one.locks.acquire(this.#name, request, caller), 2 * WAIT_MS);
        this.clients.counts.done++;
        const hold = this.#granted(name, startMs, sentMs, rate, body);
        if (!releases) return;
        await clock.sleep(ttlMs / 2);
        hold.releasedMs = clock.now();
        return await this.#release(body.fence, `${name}-x`);
      } catch (error) {
        if (!(error instanceof QuorateError)) throw error;
        if (!OPEN.has(error.code)) {
          this.clients.faults.push(`${this.#key}: ${name} waited and was told ${error.code}`);
          return;
        }
      }
      await clock.sleep(AGAIN_MS);
    }
  }

  #granted(
    name: string,
    calledMs: number,
    sentMs: number,
    rate: number,
    body: { readonly fence: string; readonly guaranteedForMs: number; readonly waitedMs: number },
  ): Hold {
    const hold: Hold = {
      lock: this.#key,
      calledMs,
      returnedMs: this.clients.now(),
      fence: BigInt(body.fence),
      guaranteedUntilMs: guaranteedUntilMs({ sentMs, rate }, body),
      releasedMs: Infinity,
    };
    this.#holds.push(hold);
    const waitedMs = hold.returnedMs - sentMs;
    if (this.clients.leases && body.waitedMs < waitedMs * TOLD_SHARE - TOLD_LESS_MS) {
      this.clients.faults.push(
        `${this.#key}: ${name} waited ${waitedMs.toFixed(0)} ms for ${hold.fence}, and was told ${body.waitedMs}`,
      );
    }
    return hold;
  }

  get #key(): string {
    return `lock/${this.#name}`;
  }

  #request(holder: string, ttlMs: number, waitMs: number) {
    return { holder, ttlMs, waitMs, mode: "exclusive" as const, lockDelayMs: 0 };
  }
}
