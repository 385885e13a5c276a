/**
 * One client of locks. It takes them, at times renews them, gives them back or lets them lapse; it waits, tries again
 * through other nodes under the same id, races nodes against each other, and asks acceptors directly.
 */
import type { Answer, Grant } from "../../src/api.ts";
import { QuorateError } from "../../src/errors.ts";
import type { ReplicaNode } from "../../src/replica/node.ts";
import type { AcquireRequest, Caller } from "../../src/replica/service.ts";
import { askDirectly } from "./direct.ts";
import type { Held, History } from "./history.ts";
import { KEYS } from "./plan.ts";
import { type Seeded, seededRandomness } from "./virtual_time.ts";
import type { World } from "./world.ts";

const STREAM = 100;
const TIMEOUT_MS = 1_500;
const ATTEMPTS = 5;
/** Of answers, lost on their way from the node to the client. */
const ANSWERS_LOST = 0.03;
/** Nobody knows what became of it: asked again. */
const OPEN: ReadonlySet<string> = new Set(["outcome-unknown", "no-quorum", "not-ready"]);
/** What a client may be told for good. */
const FINAL: ReadonlySet<string> = new Set(["held", "cooling", "queue-full", "lost", "expired-command"]);

export type ClientCounts = {
  operations: number;
  unknown: number;
  raced: number;
  direct: number;
  paths: Record<string, number>;
};

export function noCounts(): ClientCounts {
  return { operations: 0, unknown: 0, raced: 0, direct: 0, paths: {} };
}

type Call<T> = (node: ReplicaNode, caller: Caller) => Promise<Answer<T>>;
type Told<T> = { readonly answer: Answer<T>; readonly node: string } | { readonly code: string };

export class Client {
  readonly #name: string;
  readonly #world: World;
  readonly #history: History;
  readonly #counts: ClientCounts;
  readonly #random: Seeded;
  /** Consensus-Instance last seen, by key. */
  readonly #instances = new Map<string, number>();
  readonly #over: Promise<unknown>;
  #isOver = false;

  /** @param over when this client stops where it is: what it holds or waits for is left behind */
  constructor(index: number, world: World, history: History, counts: ClientCounts, over: Promise<unknown>) {
    this.#name = `holder-${index}`;
    this.#world = world;
    this.#history = history;
    this.#counts = counts;
    this.#random = seededRandomness(world.plan.seed, STREAM + index);
    this.#over = over;
    over.then(() => this.#isOver = true);
  }

  async run(): Promise<void> {
    for (let i = 0; !this.#isOver; i++) {
      await this.#sleep(this.#random.next() * 200);
      const index = this.#random.below(KEYS);
      const key = this.#world.plan.keys.find((name) => name.endsWith(`/${index}`));
      const how = this.#random.pick(
        ["node", "node", "node", "node", "node", "read", "read", "race", "direct"] as const,
      );
      if (key === undefined || this.#isOver) continue;
      if (how === "read") await this.#read(key);
      else await this.#useLock(key, `${this.#name}-${i}`, how);
    }
  }

  async #read(key: string): Promise<void> {
    const calledMs = this.#now();
    const id = this.#pickNode();
    if (id === undefined) return;
    this.#counts.operations++;
    const read = await this.#until(
      this.#world.ask(id, (node) => node.locks.get(key, { stale: false, timeoutMs: TIMEOUT_MS })).catch(codeOf),
    );
    if (read === null) return;
    if (typeof read === "string") {
      return OPEN.has(read) ? undefined : this.#history.fault(`${key}: a read said ${read}`);
    }
    this.#sawInstance(key, read.receipt.instance);
    const fence = read.body.lastFence;
    this.#history.read({ lock: key, calledMs, returnedMs: this.#now(), fence: BigInt(fence) });
    this.#note(key, "get", {}, { fence, state: read.body.state }, calledMs, { node: id, revision: read.body.revision });
  }

  /** Takes the lock, perhaps renews it, then releases it or lets it lapse. */
  async #useLock(key: string, id: string, how: "node" | "race" | "direct"): Promise<void> {
    const random = this.#random;
    const ttlMs = random.pick([1_000, 2_000, 5_000]);
    const waitMs = random.pick([0, 0, 1_000, 4_000]);
    const request: AcquireRequest = {
      holder: this.#name,
      ttlMs,
      waitMs: how === "node" ? waitMs : 0,
      mode: random.chance(0.15) ? "shared" : "exclusive",
      lockDelayMs: random.pick([0, 0, 0, 500]),
    };
    const heldMs = random.next() * ttlMs * 0.8;
    const [renews, letsLapse] = [random.chance(0.3), random.chance(0.2)];
    const calledMs = this.#now();
    const grant = await this.#acquire(key, id, request, how);
    if (grant === null) {
      return this.#note(key, "acquire", request, "unknown", calledMs);
    }
    if ("code" in grant) return this.#note(key, "acquire", request, { code: grant.code }, calledMs);
    const { fence, notBeforeMs } = grant.answer.body;
    const { mode } = request;
    const guaranteedUntilMs = calledMs + notBeforeMs;
    const held = this.#history.granted({
      lock: key,
      mode,
      calledMs,
      returnedMs: this.#now(),
      fence: BigInt(fence),
      guaranteedUntilMs,
    });
    this.#note(key, "acquire", request, { notBeforeMs }, calledMs, { fence, node: grant.node });
    await this.#sleep(heldMs);
    if (renews && !this.#isOver) await this.#renew(key, id, fence, held);
    if (letsLapse || this.#isOver) return;
    const releasedMs = held.releasedMs = Math.min(held.releasedMs, this.#now());
    const released = await this.#ask(`${id}-x`, (node, caller) => node.locks.release(key, fence, caller));
    this.#note(key, "release", { fence }, outputOf(released), releasedMs);
  }

  async #renew(key: string, id: string, fence: string, held: Held): Promise<void> {
    const calledMs = this.#now();
    const renewed = await this.#ask(`${id}-r`, (node, caller) => node.locks.renew(key, fence, {}, caller));
    this.#note(key, "renew", { fence }, outputOf(renewed), calledMs);
    if (renewed === null) return;
    if ("answer" in renewed) held.guaranteedUntilMs = calledMs + renewed.answer.body.notBeforeMs;
    else if (renewed.code === "lost") this.#history.lost(held, this.#now());
  }

  async #acquire(
    key: string,
    id: string,
    request: AcquireRequest,
    how: "node" | "race" | "direct",
  ): Promise<Told<Grant> | null> {
    const call: Call<Grant> = (node, caller) => node.locks.acquire(key, request, caller);
    const tell = (told: Told<Grant> | null) => {
      if (told === null || !("answer" in told)) return;
      this.#history.answered(id, told.answer.body.fence);
      this.#sawInstance(key, told.answer.receipt.instance);
    };
    if (how === "node") return await this.#ask(id, call, {}, tell);
    const race = this.#instances.get(key) ?? 0;
    if (how === "race") {
      this.#counts.raced++;
      // Both go on to the end, and must not contradict each other.
      const both = [this.#ask(id, call, { race }, tell), this.#ask(id, call, { race }, tell)];
      return await Promise.race(both) ?? await Promise.any(both);
    }
    this.#counts.direct++;
    this.#counts.operations++;
    const { holder, mode, ttlMs, lockDelayMs } = request;
    const op = { type: "acquire", holder, mode, ttlMs, lockDelayMs, atMs: 0 } as const;
    const end = await this.#until(askDirectly(this.#world, this.#random, key, op, id, race));
    if (end === null) return null;
    if (end.type === "unsettled") return await this.#ask(id, call, { race }, tell);
    this.#sawInstance(key, end.instance);
    const { outcome, fence } = end.result;
    if (outcome !== "granted" || fence === undefined) return { code: outcome };
    this.#history.answered(id, fence);
    const notBeforeMs = Math.floor(ttlMs * 0.99);
    const body = {
      name: key,
      holder,
      fence,
      mode,
      ttlMs,
      notBeforeMs,
      notAfterMs: ttlMs,
      waitedMs: 0,
      revision: fence,
    };
    return { answer: { body, receipt: { path: "open-fast", instance: end.instance, ballot: "0..0" } }, node: "direct" };
  }

  /**
   * The same request, under the same id, through node after node, until one says something definite. Null: nobody ever did.
   * @param each hears of every answer, those included that come to nothing
   */
  async #ask<T>(
    idempotencyKey: string,
    call: Call<T>,
    more: Partial<Caller> = {},
    each: (told: Told<T> | null) => void = () => {},
  ): Promise<Told<T> | null> {
    this.#counts.operations++;
    const caller: Caller = { subject: "sim", idempotencyKey, timeoutMs: TIMEOUT_MS, ...more };
    for (let attempt = 0; attempt < ATTEMPTS && !this.#isOver; attempt++) {
      const id = this.#pickNode();
      const lost = this.#random.chance(ANSWERS_LOST);
      const told = id === undefined ? null : await this.#until(
        this.#world.ask(id, (node) => call(node, caller)).then((answer) => ({ answer, node: id }), told_),
      );
      each(told);
      if (told !== null && "code" in told && !OPEN.has(told.code)) {
        if (!FINAL.has(told.code)) this.#history.fault(`${idempotencyKey}: ${told.code}`);
        return told;
      }
      if (told !== null && "answer" in told && !lost) {
        const { path } = told.answer.receipt;
        this.#counts.paths[path] = (this.#counts.paths[path] ?? 0) + 1;
        return told;
      }
      await this.#sleep(this.#random.next() * 100);
    }
    this.#counts.unknown++;
    return null;
  }

  #pickNode(): string | undefined {
    const { up } = this.#world;
    return up.length === 0 ? undefined : this.#random.pick(up);
  }

  #sawInstance(key: string, instance: number): void {
    this.#instances.set(key, Math.max(instance, this.#instances.get(key) ?? 0));
  }

  /** Null if everything is over first. */
  #until<T>(work: Promise<T>): Promise<T | null> {
    return Promise.race([work, this.#over.then(() => null)]);
  }

  async #sleep(ms: number): Promise<void> {
    await this.#until(this.#world.clock.sleep(ms));
  }

  #now(): number {
    return this.#world.clock.now();
  }

  #note(
    key: string,
    op: string,
    input: Readonly<Record<string, unknown>>,
    output: Readonly<Record<string, unknown>> | "unknown",
    callMs: number,
    more: { readonly fence?: string; readonly revision?: string; readonly node?: string } = {},
  ): void {
    const returnMs = output === "unknown" ? null : this.#now();
    this.#history.events.push({ process: this.#name, key, op, input, output, callMs, returnMs, ...more });
    this.#world.digest.add(this.#now(), `${this.#name} ${op} ${key} ${JSON.stringify(output)}`);
  }
}

function codeOf(error: unknown): string {
  if (error instanceof QuorateError) return error.code;
  throw error;
}

function told_(error: unknown): { readonly code: string } {
  return { code: codeOf(error) };
}

function outputOf<T>(told: Told<T> | null): Readonly<Record<string, unknown>> | "unknown" {
  if (told === null) return "unknown";
  return "code" in told ? { code: told.code } : { ok: true };
}
