/**
 * Candidates of one election: they campaign, at times wait for their turn, proclaim, and resign or let their term lapse. A
 * term has one leader, terms grow, and no two lead at once as far as their answers guarantee.
 */
import type { Answer, Leadership } from "../../src/api.ts";
import { type Asker, TIMEOUT_MS } from "./asker.ts";
import type { FenceRead } from "./check/fences.ts";
import { Terms } from "./check/terms.ts";
import { guaranteedUntilMs } from "./guarantee.ts";
import type { Heal } from "./heal.ts";
import { type Granted, type Hold, Holder, REFUSALS } from "./holder.ts";
import { nameOf, NounWorkload, type WorkloadParts } from "./workload.ts";

const STREAM = 500;
const CANDIDATES = 4;
const PAUSE_MS = 300;
const TTL_MS = 5_000;
const WAIT_MS = 60_000;

export class ElectionWorkload extends NounWorkload {
  readonly #name: string;
  readonly #terms = new Terms();
  /** A term is a fence that leaders call so. */
  readonly #led: Hold[] = [];
  readonly #reads: FenceRead[] = [];

  constructor(parts: WorkloadParts) {
    super(parts);
    this.#name = nameOf(parts.world.plan.seed, 0);
  }

  override faults(): readonly string[] {
    return [
      ...this.clients.faults,
      ...this.#terms.faults(),
      ...this.clients.exclusiveFaults(this.#led, this.#reads),
    ];
  }

  override async run(): Promise<void> {
    await Promise.all(Array.from({ length: CANDIDATES }, (_, i) => this.#candidate(`candidate-${i}`, STREAM + i)));
  }

  /** Somebody new can lead as soon as the leases that were left behind allow. */
  override async healed(heal: Heal): Promise<void> {
    const calledMs = this.clients.now();
    const request = { candidate: "last", ttlMs: TTL_MS, waitMs: WAIT_MS };
    const { body, sentMs } = await heal.inTime(
      () => Math.max(calledMs, heal.freeMs(this.#key, calledMs)),
      (node, caller) => node.elections.campaign(this.#name, request, caller),
      `${this.#key}: nobody new can lead`,
    );
    const { term, candidate } = body;
    this.#terms.told(this.#key, term, candidate);
    this.#led.push({
      lock: this.#key,
      calledMs,
      returnedMs: this.clients.now(),
      fence: BigInt(term),
      guaranteedUntilMs: guaranteedUntilMs({ sentMs, rate: 1 }, body),
      releasedMs: Infinity,
    });
  }

  get #key(): string {
    return `election/${this.#name}`;
  }

  async #candidate(name: string, stream: number): Promise<void> {
    const asker = this.clients.asker(stream, REFUSALS);
    const holder = new Holder(name, this.clients, asker);
    for (let i = 0; !asker.isOver; i++) {
      await asker.sleep(asker.random.next() * PAUSE_MS);
      const reads = asker.random.chance(0.3);
      if (asker.isOver) return;
      if (reads) await this.#read(asker, `${name}-${i}`);
      else await this.#campaign(asker, holder, name, `${name}-${i}`);
    }
  }

  async #campaign({ random }: Asker, holder: Holder, candidate: string, id: string): Promise<void> {
    const ttlMs = random.pick([1_000, 2_000]);
    const waitMs = random.pick([0, 1_000, 4_000]);
    const says = random.chance(0.5) ? { value: `${candidate} says ${id}` } : {};
    const request = { candidate, ttlMs, waitMs, ...says };
    await holder.use(id, {
      key: this.#key,
      ttlMs,
      input: request,
      waits: waitMs > 0,
      ask: async (node, caller) => this.#leads(await node.elections.campaign(this.#name, request, caller)),
      renew: async (node, term, caller) =>
        this.#leads(
          await node.elections.proclaim(this.#name, term, { value: `${candidate} says ${id} again` }, caller),
        ),
      release: (node, term, caller) => node.elections.resign(this.#name, term, caller),
      granted: (hold) => this.#led.push(hold),
    });
  }

  #leads({ body, receipt }: Answer<Leadership>): Answer<Granted> {
    this.#terms.told(this.#key, body.term, body.candidate);
    return { body: { ...body, fence: body.term }, receipt };
  }

  async #read(asker: Asker, id: string): Promise<void> {
    const calledMs = this.clients.now();
    const told = await asker.ask(id, (node) => node.elections.get(this.#name, { stale: false, timeoutMs: TIMEOUT_MS }));
    this.clients.count(told);
    if (told === null || "code" in told) return;
    const { leader, lastTerm } = told.answer.body;
    this.#reads.push({ lock: this.#key, calledMs, returnedMs: this.clients.now(), fence: BigInt(lastTerm) });
    if (leader === null) return;
    this.#terms.told(this.#key, leader.term, leader.candidate);
    if (leader.value !== undefined && !leader.value.startsWith(`${leader.candidate} says `)) {
      this.clients.faults.push(`${this.#key}: ${leader.candidate} leads, and is said to say "${leader.value}"`);
    }
  }
}
