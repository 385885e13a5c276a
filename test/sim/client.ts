/**
 * One client of locks. It takes them, at times renews them, gives them back or lets them lapse; it waits, tries again
 * through other nodes under the same id, hedges nodes against each other, and asks acceptors directly.
 */
import type { Grant } from "../../src/api.ts";
import { DRIFT } from "../../src/limits.ts";
import type { AcquireRequest } from "../../src/service/service.ts";
import { type AskCounts, Asker, type Call, FORGOTTEN, OPEN, outputOf, TIMEOUT_MS } from "./asker.ts";
import { askDirectly } from "./direct.ts";
import { type Bounds, callerRate, guaranteedUntilMs } from "./guarantee.ts";
import type { Held, History } from "./history.ts";
import { KEYS } from "./plan.ts";
import { type Seeded, seededRandomness } from "./virtual_time.ts";
import type { World } from "./world.ts";

const STREAM = 100;
const REFUSED: ReadonlySet<string> = new Set(["held", "cooling"]);
/** What a client may be told for good. */
const FINAL: ReadonlySet<string> = new Set([...REFUSED, "queue-full", "lost"]);

export type ClientCounts = AskCounts & { hedged: number; direct: number };

export function noCounts(): ClientCounts {
  return { operations: 0, unknown: 0, hedged: 0, direct: 0, paths: {} };
}

type How = "node" | "hedge" | "direct";
type Taken =
  | { readonly fence: string; readonly bounds: Bounds; readonly sentMs: number; readonly node: string }
  | { readonly code: string };

export class Client {
  readonly #name: string;
  readonly #world: World;
  readonly #history: History;
  readonly #counts: ClientCounts;
  readonly #random: Seeded;
  /** Consensus-Instance last seen, by key. */
  readonly #instances = new Map<string, number>();
  readonly #asker: Asker;

  /** @param over when this client stops where it is: what it holds or waits for is left behind */
  constructor(index: number, world: World, history: History, counts: ClientCounts, over: Promise<unknown>) {
    this.#name = `holder-${index}`;
    this.#world = world;
    this.#history = history;
    this.#counts = counts;
    this.#random = seededRandomness(world.plan.seed, STREAM + index);
    const fault = (what: string) => history.fault(what);
    const rate = callerRate(world.plan.seed, STREAM + index);
    this.#asker = new Asker(world, { random: this.#random, rate, counts, over, final: FINAL, fault });
  }

  async run(): Promise<void> {
    for (let i = 0; !this.#asker.isOver; i++) {
      await this.#asker.sleep(this.#random.next() * 200);
      const index = this.#random.below(KEYS);
      const key = this.#world.plan.keys.find((name) => name.endsWith(`/${index}`));
      const how = this.#random.pick(
        ["node", "node", "node", "node", "node", "read", "read", "hedge", "direct"] as const,
      );
      if (key === undefined || this.#asker.isOver) continue;
      if (how === "read") await this.#read(key);
      else await this.#useLock(key, `${this.#name}-${i}`, how);
    }
  }

  async #read(key: string): Promise<void> {
    const calledMs = this.#now();
    const id = this.#asker.pickNode();
    if (id === undefined) return;
    this.#counts.operations++;
    const told = await this.#asker.until(
      this.#asker.askNode(id, (node) => node.locks.get(key, { stale: false, timeoutMs: TIMEOUT_MS })),
    );
    if (told === null) return;
    if ("code" in told) {
      return OPEN.has(told.code) ? undefined : this.#history.fault(`${key}: a read said ${told.code}`);
    }
    const read = told.answer;
    this.#sawInstance(key, read.receipt.instance);
    const fence = read.body.lastFence;
    this.#history.read({ lock: key, calledMs, returnedMs: this.#now(), fence: BigInt(fence) });
    this.#note(key, "get", {}, { fence, state: read.body.state }, calledMs, { node: id, revision: read.body.revision });
  }

  /** Takes the lock, perhaps renews it, then releases it or lets it lapse. */
  async #useLock(key: string, id: string, how: How): Promise<void> {
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
    if (grant === null) return this.#note(key, "acquire", request, "unknown", calledMs);
    if ("code" in grant) return this.#note(key, "acquire", request, { code: grant.code }, calledMs);
    const { fence, bounds, sentMs, node } = grant;
    const { rate } = this.#asker;
    const held = this.#history.granted({
      lock: key,
      mode: request.mode,
      calledMs,
      returnedMs: this.#now(),
      fence: BigInt(fence),
      guaranteedUntilMs: guaranteedUntilMs({ sentMs, rate }, bounds),
    });
    this.#note(key, "acquire", request, { guaranteedForMs: bounds.guaranteedForMs }, calledMs, { fence, node });
    await this.#asker.sleep(heldMs);
    if (renews && !this.#asker.isOver) await this.#renew(key, id, fence, held);
    if (letsLapse || this.#asker.isOver) return;
    const releasedMs = held.releasedMs = Math.min(held.releasedMs, this.#now());
    const released = await this.#asker.ask(`${id}-x`, (node, caller) => node.locks.release(key, fence, caller));
    this.#note(key, "release", { fence }, outputOf(released), releasedMs);
  }

  async #renew(key: string, id: string, fence: string, held: Held): Promise<void> {
    const calledMs = this.#now();
    const renewed = await this.#asker.ask(`${id}-r`, (node, caller) => node.locks.renew(key, fence, {}, caller));
    this.#note(key, "renew", { fence }, outputOf(renewed), calledMs);
    if (renewed === null) return;
    if ("answer" in renewed) {
      const { rate } = this.#asker;
      held.guaranteedUntilMs = guaranteedUntilMs({ ...renewed, rate }, renewed.answer.body);
    } else if (renewed.code === "lost") this.#history.lost(held, this.#now());
  }

  async #acquire(key: string, id: string, request: AcquireRequest, how: How): Promise<Taken | null> {
    const call: Call<Grant> = (node, caller) => node.locks.acquire(key, request, caller);
    const firstMs = this.#now();
    const ask = async (hedge?: number): Promise<Taken | null> => {
      const told = await this.#asker.ask(id, call, { key: `lock/${key}`, ...(hedge === undefined ? {} : { hedge }) });
      if (told === null) return null;
      if ("code" in told) {
        // A refusal of a hedged one is decided too, and stays what it was.
        if (hedge !== undefined && REFUSED.has(told.code)) this.#history.answered(id, told.code);
        return told;
      }
      const { body, receipt } = told.answer;
      const { fence } = body;
      this.#history.answered(id, fence);
      this.#sawInstance(key, receipt.instance);
      // A direct try that went before is a copy of the same request, and the time of all counts from the first.
      return { fence, bounds: body, sentMs: hedge === undefined ? told.sentMs : firstMs, node: told.node };
    };
    const born = this.#instances.get(key) ?? 0;
    switch (how) {
      case "node":
        return await ask();
      case "hedge": {
        this.#counts.hedged++;
        // Both go on to the end, and must not contradict each other.
        const [one, other] = [ask(born), ask(born)];
        const first = await Promise.race([
          one.then((told) => [told, other] as const),
          other.then((told) => [told, one] as const),
        ]);
        return first[0] ?? await first[1];
      }
      case "direct":
        return await this.#acquireDirectly(key, id, request, born) ?? await ask(born);
    }
  }

  /** Null: unsettled. */
  async #acquireDirectly(key: string, id: string, request: AcquireRequest, born: number): Promise<Taken | null> {
    this.#counts.direct++;
    const sentMs = this.#now();
    this.#counts.operations++;
    const { holder, mode, ttlMs, lockDelayMs } = request;
    const op = { type: "acquire", holder, mode, ttlMs, lockDelayMs, atMs: 0 } as const;
    const end = await this.#asker.until(askDirectly(this.#world, this.#random, key, op, id, born));
    if (end === null || end.type === "unsettled") return null;
    this.#sawInstance(key, end.instance);
    const { outcome, fence } = end.result;
    this.#history.answered(id, fence ?? outcome);
    const bounds = { guaranteedForMs: Math.floor(ttlMs * (1 - DRIFT)) };
    if (fence !== undefined) return { fence, bounds, sentMs, node: "direct" };
    if (!FINAL.has(outcome) && outcome !== FORGOTTEN) this.#history.fault(`${id}: ${outcome}`);
    return { code: outcome };
  }

  #sawInstance(key: string, instance: number): void {
    this.#instances.set(key, Math.max(instance, this.#instances.get(key) ?? 0));
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
