/**
 * Callers that renew, once everything works again: several wait for one lock, each by a clock of its own that is off as far as
 * is allowed, and are answered before their hand-over is confirmed. The node of one may stall while it is handed over, so that
 * it sees that late, or as soon as it has answered, so that nothing is ever confirmed. Most give back at once, some renew, some
 * let it lapse.
 */
import { QuorateError } from "../../src/errors.ts";
import { DRIFT, HANDOVER_TTL_MS } from "../../src/limits.ts";
import { OPEN, TIMEOUT_MS } from "./asker.ts";
import { callerRate, guaranteedUntilMs } from "./guarantee.ts";
import type { Hold } from "./holder.ts";
import { type Seeded, seededRandomness } from "./virtual_time.ts";
import { nameOf, NounWorkload, type WorkloadParts } from "./workload.ts";
import { SUBJECT } from "./world.ts";

const STREAM = 1_600;
const ROUNDS = 3;
const WAITERS = 4;
/** Longer than a place goes unrenewed, and too short for that. */
const KEPT_MS = [0, 500, 2_000, 15_000];
const KEEPER_TTL_MS = 120_000;
const WAIT_MS = 300_000;
const AGAIN_MS = 100;
/** So late a hand-over is seen by a node that stalls meanwhile. */
const LATE_MS = 4_000;
/** A hand-over that nobody confirms lapses meanwhile. */
const SILENT_MS = 13_000;

export class RenewingWorkload extends NounWorkload {
  readonly #name: string;
  readonly #random: Seeded;
  readonly #holds: Hold[] = [];

  constructor(parts: WorkloadParts) {
    super(parts);
    const { seed } = parts.world.plan;
    this.#name = `${nameOf(seed, 0)}/renewing`;
    this.#random = seededRandomness(seed, STREAM);
  }

  override faults(): readonly string[] {
    return [...this.clients.faults, ...this.clients.exclusiveFaults(this.#holds)];
  }

  override run(): Promise<void> {
    return Promise.resolve();
  }

  override async healed(): Promise<void> {
    for (let round = 0; round < ROUNDS; round++) await this.#round(round);
  }

  async #round(round: number): Promise<void> {
    const { clock } = this.clients.world;
    const keeper = await this.#take(`keeper-${round}`, 0, KEEPER_TTL_MS, false);
    const waiting = [];
    for (let i = 0; i < WAITERS; i++) {
      waiting.push(this.#wait(`waiter-${round}-${i}`, i));
      await clock.sleep(this.#random.next() * 100);
    }
    await clock.sleep(this.#random.pick(KEPT_MS));
    if (this.#random.chance(0.3)) this.#stall(this.#nodeOf(0), LATE_MS);
    if (keeper !== null) await this.#giveBack(keeper.hold, `keeper-${round}-x`);
    await Promise.all(waiting);
  }

  /** Where all others can do without it, and no other stalls. */
  #stall(node: string | undefined, ms: number): void {
    const { plan, stalls, clock, nodes, ids } = this.clients.world;
    const isSpared = node === undefined || plan.shared.length > 0 || plan.n < 3 || plan.nouns.includes("waits") ||
      ids.some((id) => this.clients.world.isQuarantined(id)) || nodes.some((id) => stalls.isStalled(id));
    if (isSpared) return;
    stalls.begin(node);
    clock.after(ms, () => stalls.end(node));
  }

  #nodeOf(index: number): string | undefined {
    const { up } = this.clients.world;
    return up[index % up.length];
  }

  async #wait(name: string, index: number): Promise<void> {
    const { clock } = this.clients.world;
    const ttlMs = this.#random.pick([4_000, HANDOVER_TTL_MS, 30_000]);
    const then = this.#random.pick(["back", "back", "renew", "silent", "lapse"] as const);
    const taken = await this.#take(name, index, ttlMs, true);
    if (taken === null) return;
    const { hold, node, rate } = taken;
    if (then === "silent") this.#stall(node, SILENT_MS);
    if (then === "silent" || then === "lapse") return;
    await clock.sleep(this.#random.next() * 200);
    if (then === "renew") await this.#renew(node, hold, rate);
    await this.#giveBack(hold, `${name}-x`);
  }

  /** Through one node after another if one does not know or is gone. Null: an earlier try was granted it, and that is over. */
  async #take(name: string, index: number, ttlMs: number, renews: boolean) {
    const { world, counts, faults } = this.clients;
    const { clock, plan } = world;
    const rate = callerRate(plan.seed, STREAM + index);
    const calledMs = clock.now();
    counts.operations++;
    for (let i = index;; i++) {
      const sentMs = clock.now();
      const node = this.#nodeOf(i);
      const caller = { subject: SUBJECT, idempotencyKey: name, timeoutMs: TIMEOUT_MS };
      const request = { holder: name, ttlMs, waitMs: WAIT_MS, mode: "exclusive", lockDelayMs: 0, renews } as const;
      try {
        if (node === undefined) throw new QuorateError("not-ready", "nobody is there");
        const { body } = await world.ask(node, (one) => one.locks.acquire(this.#name, request, caller), 2 * WAIT_MS);
        counts.done++;
        if (body.guaranteedForMs < Math.floor(ttlMs * (1 - DRIFT))) counts.early = (counts.early ?? 0) + 1;
        const hold: Hold = {
          lock: this.#key,
          calledMs,
          returnedMs: clock.now(),
          fence: BigInt(body.fence),
          guaranteedUntilMs: guaranteedUntilMs({ sentMs, rate }, body),
          releasedMs: Infinity,
        };
        this.#holds.push(hold);
        return { hold, node, rate };
      } catch (error) {
        if (!(error instanceof QuorateError)) throw error;
        if (error.code === "lost") return null;
        if (!OPEN.has(error.code)) {
          faults.push(`${this.#key}: ${name} waited and was told ${error.code}`);
          return null;
        }
      }
      await clock.sleep(AGAIN_MS);
    }
  }

  async #renew(node: string, hold: Hold, rate: number): Promise<void> {
    const { world } = this.clients;
    const sentMs = world.clock.now();
    const caller = { subject: SUBJECT, idempotencyKey: `${hold.fence}-r`, timeoutMs: TIMEOUT_MS };
    try {
      const { body } = await world.ask(node, (one) => one.locks.renew(this.#name, `${hold.fence}`, {}, caller));
      hold.guaranteedUntilMs = guaranteedUntilMs({ sentMs, rate }, body);
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error;
      if (error.code === "lost") this.clients.lost(hold);
    }
  }

  /** Through any node that does not stall. */
  async #giveBack(hold: Hold, idempotencyKey: string): Promise<void> {
    const { world } = this.clients;
    hold.releasedMs = Math.min(hold.releasedMs, world.clock.now());
    const caller = { subject: SUBJECT, idempotencyKey, timeoutMs: TIMEOUT_MS };
    for (;;) {
      const nodes = world.up.filter((id) => !world.stalls.isStalled(id));
      const node = nodes.length === 0 ? undefined : this.#random.pick(nodes);
      try {
        if (node === undefined) throw new QuorateError("not-ready", "nobody is there");
        await world.ask(node, (one) => one.locks.release(this.#name, `${hold.fence}`, caller));
        return;
      } catch (error) {
        if (!(error instanceof QuorateError)) throw error;
        if (!OPEN.has(error.code)) return;
      }
      await world.clock.sleep(AGAIN_MS);
    }
  }

  get #key(): string {
    return `lock/${this.#name}`;
  }
}
