/**
 * One run of a whole cluster in virtual time: the shipped nodes, a network that loses, repeats, delays and cuts, disks
 * that fail, nodes that die and return, clients that retry through other nodes. Same seed, same run.
 */
import { QuorateError } from "../../src/errors.ts";
import type { ModeRule } from "../../src/replica/modes.ts";
import { MODE_NAMES } from "../../src/replica/modes.ts";
import { type MemoryCluster, memoryCluster } from "../replica/memory_cluster.ts";
import { History } from "./history.ts";
import { rated, type Seeded, seededRandomness, VirtualClock } from "./virtual_time.ts";

export type SimFigures = {
  readonly seed: number;
  readonly n: number;
  operations: number;
  grants: number;
  unknown: number;
  kills: number;
  cuts: number;
  diskFaults: number;
  rollbacks: number;
  quarantined: number;
  paths: Record<string, number>;
  /** Virtual time from the healing of everything to the last key being writable again. */
  healedMs: number;
};

export type SimResult = { readonly figures: SimFigures; readonly faults: readonly string[] };

const KEYS = 4;
const CLIENTS = 6;
const FAULTY_MS = 6_000;
/** A place of a dead node lapses after 10 s, a hold after its ttl; both may come after another. */
const HEAL_LIMIT_MS = 60_000;

/** What a client may be told while others still wait and hold. */
const EXPECTED = ["held", "unknown", "outcome-unknown", "no-quorum", "not-ready"];

export async function simulate(seed: number): Promise<SimResult> {
  return await new Simulation(seed).run();
}

class Simulation {
  readonly #random: Seeded;
  readonly #clock = new VirtualClock();
  readonly #history = new History();
  readonly #figures: SimFigures;
  readonly #n: number;
  readonly #loss: number;
  readonly #repeat: number;
  readonly #delayMs: number;
  readonly #down = new Set<string>();
  readonly #keys: readonly string[];
  #cluster!: MemoryCluster;
  #isFaulty = true;
  #rolledBack = new Set<string>();

  constructor(seed: number) {
    this.#random = seededRandomness(seed);
    this.#n = this.#random.pick([3, 3, 4, 5, 5]);
    this.#loss = this.#random.pick([0, 0.01, 0.05, 0.3]);
    this.#repeat = this.#random.pick([0, 0.05, 0.5]);
    this.#delayMs = this.#random.pick([2, 10, 60]);
    this.#keys = Array.from({ length: KEYS }, (_, i) => `${MODE_NAMES[(seed + i) % MODE_NAMES.length]}/${i}`);
    this.#figures = {
      seed,
      n: this.#n,
      operations: 0,
      grants: 0,
      unknown: 0,
      kills: 0,
      cuts: 0,
      diskFaults: 0,
      rollbacks: 0,
      quarantined: 0,
      paths: {},
      healedMs: 0,
    };
  }

  async run(): Promise<SimResult> {
    const faults: string[] = [];
    try {
      await this.#clock.run(this.#play(), 600_000);
    } catch (error) {
      faults.push(`the run failed: ${(error as Error).stack}`);
    }
    faults.push(...this.#history.faults());
    this.#figures.grants = this.#history.grants;
    return { figures: this.#figures, faults };
  }

  async #play(): Promise<void> {
    const modes: ModeRule[] = MODE_NAMES.map((mode) => ({ prefix: `lock/${mode}/`, mode }));
    const rates = new Map<string, number>();
    this.#cluster = await memoryCluster(this.#n, {
      clock: this.#clock,
      random: this.#random,
      modes,
      clockOf: (id) => {
        // Within the bound that lease guarantees are given for.
        if (!rates.has(id)) rates.set(id, 0.991 + this.#random.next() * 0.018);
        return rated(this.#clock, rates.get(id)!);
      },
      schedule: () => this.#clock.sleep(this.#random.next() * 3),
    });
    const { network } = this.#cluster;
    network.delay(() => this.#isFaulty ? this.#random.next() * this.#delayMs : 1);
    network.drop(() => this.#isFaulty && this.#random.chance(this.#loss));
    network.duplicate(() => this.#isFaulty && this.#random.chance(this.#repeat));

    const untilMs = this.#clock.now() + FAULTY_MS;
    const clients = Array.from({ length: CLIENTS }, (_, i) => this.#client(i, untilMs));
    await this.#trouble(untilMs);
    await Promise.all(clients);
    await this.#heal();
    this.#history.see(this.#cluster);
    this.#cluster.close();
  }

  async #client(index: number, untilMs: number): Promise<void> {
    for (let i = 0; this.#clock.now() < untilMs; i++) {
      await this.#clock.sleep(this.#random.next() * 200);
      const key = this.#random.pick(this.#keys);
      const id = `c${index}-${i}`;
      await this.#useLock(key, id, `holder-${index}`);
    }
  }

  /** Takes the lock, perhaps renews it, then releases it or lets it lapse. */
  async #useLock(key: string, id: string, holder: string): Promise<void> {
    const random = this.#random;
    const ttlMs = random.pick([1_000, 2_000, 5_000]);
    const waitMs = random.pick([0, 0, 1_000, 4_000]);
    const request = { holder, ttlMs, waitMs, mode: "exclusive" as const, lockDelayMs: 0 };
    const calledMs = this.#clock.now();
    const grant = await this.#ask(id, (node, caller) => node.locks.acquire(key, request, caller));
    if (typeof grant === "string") return;
    this.#path(grant.receipt.path);
    const { fence, notBeforeMs } = grant.body;
    const held = this.#history.granted(key, calledMs, this.#clock.now(), BigInt(fence), calledMs + notBeforeMs);
    await this.#clock.sleep(random.next() * ttlMs * 0.8);
    if (random.chance(0.3)) {
      const renewMs = this.#clock.now();
      const renewed = await this.#ask(`${id}-r`, (node, caller) => node.locks.renew(key, fence, {}, caller));
      if (typeof renewed !== "string") held.guaranteedUntilMs = renewMs + renewed.body.notBeforeMs;
      else if (renewed === "lost") this.#history.lost(held, this.#clock.now());
    }
    if (random.chance(0.2)) return;
    held.releasedMs = this.#clock.now();
    await this.#ask(`${id}-x`, (node, caller) => node.locks.release(key, fence, caller));
  }

  /** The same request, under the same id, through node after node, until one says something definite: else its code. */
  async #ask<T>(
    idempotencyKey: string,
    call: (node: ReturnType<MemoryCluster["node"]>, caller: {
      subject: string;
      idempotencyKey: string;
      timeoutMs: number;
    }) => Promise<T>,
  ): Promise<T | string> {
    this.#figures.operations++;
    for (let attempt = 0; attempt < 5; attempt++) {
      const up = this.#cluster.ids.filter((id) => !this.#down.has(id));
      if (up.length === 0) {
        await this.#clock.sleep(300);
        continue;
      }
      const caller = { subject: "sim", idempotencyKey, timeoutMs: 1_500 };
      try {
        // A node that dies takes its answer with it.
        return await Promise.race([
          call(this.#cluster.node(this.#random.pick(up)), caller),
          this.#clock.sleep(8_000).then(() => Promise.reject(new QuorateError("outcome-unknown", "no answer"))),
        ]);
      } catch (error) {
        if (!(error instanceof QuorateError)) throw error;
        if (error.code === "internal") throw error;
        if (!["outcome-unknown", "no-quorum", "not-ready"].includes(error.code)) return error.code;
      }
      await this.#clock.sleep(this.#random.next() * 100);
    }
    this.#figures.unknown++;
    return "unknown";
  }

  #path(path: string): void {
    this.#figures.paths[path] = (this.#figures.paths[path] ?? 0) + 1;
  }

  async #trouble(untilMs: number): Promise<void> {
    const random = this.#random;
    while (this.#clock.now() < untilMs) {
      await this.#clock.sleep(random.next() * 500);
      this.#history.see(this.#cluster);
      this.#clock.wallOffsetMs = (random.next() - 0.5) * 7_200_000;
      const up = this.#cluster.ids.filter((id) => !this.#down.has(id));
      const kind = random.pick(["kill", "kill", "return", "return", "cut", "disk", "disk", "rollback"]);
      if (kind === "kill" && up.length > 0) this.#kill(random.pick(up));
      else if (kind === "return") await this.#return(false);
      else if (kind === "cut") this.#cut();
      else if (kind === "disk" && up.length > 0) this.#disk(random.pick(up));
      else if (kind === "rollback") await this.#rollback();
    }
  }

  #kill(id: string): void {
    this.#figures.kills++;
    this.#down.add(id);
    this.#cluster.kill(id);
  }

  async #return(all: boolean): Promise<void> {
    const down = [...this.#down];
    for (const id of all ? down : down.slice(0, 1)) {
      this.#down.delete(id);
      // Not awaited to its end: it may have to wait for others to confirm its store.
      this.#cluster.restart(id).catch(() => {});
      await this.#clock.sleep(5);
    }
  }

  #cut(): void {
    const { network, ids } = this.#cluster;
    const [a, b] = [this.#random.pick(ids), this.#random.pick(ids)];
    if (a === b) return;
    this.#figures.cuts++;
    network.cut(a, b);
    this.#clock.after(200 + this.#random.next() * 1_500, () => network.heal(a, b));
  }

  #disk(id: string): void {
    this.#figures.diskFaults++;
    this.#cluster.store(id).failNext = this.#random.pick(["conflict", "unknown-applied", "unknown-lost"]);
  }

  /** Of a minority a run, and of commits that members which answer have seen: others no one can detect (§9). */
  async #rollback(): Promise<void> {
    const f = Math.floor((this.#n - 1) / 2);
    const { ids } = this.#cluster;
    const candidates = ids.filter((id) => !this.#down.has(id) && !this.#rolledBack.has(id));
    if (this.#rolledBack.size >= f || this.#down.size > 0 || candidates.length === 0) return;
    const id = this.#random.pick(candidates);
    const image = this.#cluster.disk(id).snapshot();
    await this.#clock.sleep(800);
    if (this.#down.size > 0 || !this.#isFaulty) return;
    const lostFrom = this.#cluster.store(id).seq();
    // What they know durably: one that dies forgets the rest, as §9 says.
    const heard = ids.filter((other) => other !== id)
      .map((other) => metaOf(this.#cluster.disk(other).meta).marks?.[id]?.seq ?? 0);
    const before = metaOf(image.meta).seq ?? 0;
    // Enough of the others know that there was more: a phase-1 quorum without this node asks at least one of them.
    if (before >= lostFrom || heard.filter((seq) => seq > before).length < ids.length - 1) return;
    this.#figures.rollbacks++;
    this.#rolledBack.add(id);
    this.#cluster.kill(id);
    this.#cluster.disk(id).restore(image);
    this.#cluster.restart(id).catch(() => {});
  }

  /** Everything works again: every key must become writable, whatever was left behind. */
  async #heal(): Promise<void> {
    this.#isFaulty = false;
    const { network, ids } = this.#cluster;
    for (const a of ids) for (const b of ids) if (a < b) network.heal(a, b);
    await this.#return(true);
    const startMs = this.#clock.now();
    for (const id of this.#rolledBack) {
      await this.#until(
        () => this.#cluster.store(id).quarantined() !== null,
        `${id} lost commits and was not found out`,
      );
      this.#figures.quarantined++;
    }
    await Promise.all(this.#keys.map(async (key, i) => {
      for (let attempt = 0; this.#clock.now() - startMs < HEAL_LIMIT_MS; attempt++) {
        const request = { holder: "last", ttlMs: 1_000, waitMs: 15_000, mode: "exclusive" as const, lockDelayMs: 0 };
        const calledMs = this.#clock.now();
        const grant = await this.#ask(
          `last-${i}-${attempt}`,
          (node, caller) => node.locks.acquire(key, request, caller),
        );
        if (typeof grant === "string") {
          if (!EXPECTED.includes(grant)) throw new Error(`${key}: ${grant} after everything was healed`);
          await this.#clock.sleep(100);
          continue;
        }
        const { fence, notBeforeMs } = grant.body;
        this.#history.granted(key, calledMs, this.#clock.now(), BigInt(fence), calledMs + notBeforeMs);
        return;
      }
      throw new Error(`${key} could not be taken within ${HEAL_LIMIT_MS} ms after everything was healed`);
    }));
    this.#figures.healedMs = Math.round(this.#clock.now() - startMs);
  }

  async #until(test: () => boolean, what: string): Promise<void> {
    for (let i = 0; i < 400; i++) {
      if (test()) return;
      await this.#clock.sleep(50);
    }
    throw new Error(what);
  }
}

type Meta = { readonly seq?: number; readonly marks?: Readonly<Record<string, { readonly seq: number }>> };

function metaOf(text: string | null): Meta {
  return text === null ? {} : JSON.parse(text) as Meta;
}
