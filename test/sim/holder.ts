/**
 * One client of something that is granted for a time, whatever its noun: it asks, perhaps waits, perhaps renews, and gives
 * it back or lets it lapse.
 */
import type { ReplicaNode } from "../../src/compose/node.ts";
import type { Answer } from "../../src/api.ts";
import type { Caller } from "../../src/service/service.ts";
import { type Asker, type Call, outputOf, type Told } from "./asker.ts";
import { type Bounds, guaranteedUntilMs } from "./guarantee.ts";
import type { Clients } from "./workload.ts";

/** What a client may be told for good of what is granted. */
export const REFUSALS: ReadonlySet<string> = new Set([
  "held",
  "led",
  "cooling",
  "queue-full",
  "lost",
]);
const RENEWS = 0.3;
const LETS_LAPSE = 0.2;
const HEDGES = 0.5;
/** Refusals of a hedged request that are decided and stay what they were. */
const DECIDED: ReadonlySet<string> = new Set(["held", "led", "cooling"]);

/** As its holder knows it, who writes down what becomes of it. Times in ms of one clock. */
export type Hold = {
  readonly lock: string;
  readonly calledMs: number;
  readonly returnedMs: number;
  readonly fence: bigint;
  guaranteedUntilMs: number;
  releasedMs: number;
};

export type Granted = Bounds & { readonly fence: string };

export type Asking = {
  readonly key: string;
  readonly ttlMs: number;
  readonly input: Readonly<Record<string, unknown>>;
  /** Who waits cannot hedge. */
  readonly waits: boolean;
  ask(node: ReplicaNode, caller: Caller): Promise<Answer<Granted>>;
  renew(node: ReplicaNode, fence: string, caller: Caller): Promise<Answer<Bounds>>;
  release(node: ReplicaNode, fence: string, caller: Caller): Promise<Answer<unknown>>;
  /** Called at once with what was granted. */
  granted(hold: Hold): void;
};

export class Holder {
  readonly #name: string;
  readonly #clients: Clients;
  readonly #asker: Asker;
  /** Last seen, by key. */
  readonly #instances = new Map<string, number>();

  constructor(name: string, clients: Clients, asker: Asker) {
    this.#name = name;
    this.#clients = clients;
    this.#asker = asker;
  }

  /** Once, under this id. */
  async use(id: string, asking: Asking): Promise<void> {
    const { key, ttlMs, input } = asking;
    const { random } = this.#asker;
    const heldMs = random.next() * ttlMs * 0.8;
    const [renews, letsLapse] = [random.chance(RENEWS), random.chance(LETS_LAPSE)];
    const calledMs = this.#clients.now();
    const told = await this.#ask(id, asking);
    if (told === null || "code" in told) return this.#note(key, "take", input, told, calledMs);
    const { body, receipt } = told.answer;
    const { fence } = body;
    const { rate } = this.#asker;
    this.#instances.set(key, receipt.instance);
    this.#note(key, "take", input, told, calledMs, fence);
    const hold: Hold = {
      lock: key,
      calledMs,
      returnedMs: this.#clients.now(),
      fence: BigInt(fence),
      guaranteedUntilMs: guaranteedUntilMs({ sentMs: told.sentMs, rate }, body),
      releasedMs: Infinity,
    };
    asking.granted(hold);
    await this.#asker.sleep(heldMs);
    if (renews && !this.#asker.isOver) await this.#renew(id, fence, asking, hold);
    if (letsLapse || this.#asker.isOver) return;
    const releasedMs = hold.releasedMs = Math.min(hold.releasedMs, this.#clients.now());
    const released = await this.#asker.ask(`${id}-x`, (node, caller) => asking.release(node, fence, caller));
    this.#note(key, "release", { fence }, released, releasedMs);
  }

  async #ask(id: string, asking: Asking): Promise<Told<Granted> | null> {
    const call: Call<Granted> = (node, caller) => asking.ask(node, caller);
    const hedges = this.#asker.random.chance(HEDGES);
    if (asking.waits || !hedges) return await this.#asker.ask(id, call, { key: asking.key });
    return await this.#clients.hedge(this.#asker, id, this.#instances.get(asking.key) ?? 0, call, (told) => {
      if ("answer" in told) return told.answer.body.fence;
      return DECIDED.has(told.code) ? told.code : null;
    }, asking.key);
  }

  async #renew(id: string, fence: string, asking: Asking, hold: Hold): Promise<void> {
    const calledMs = this.#clients.now();
    const renewed = await this.#asker.ask(`${id}-r`, (node, caller) => asking.renew(node, fence, caller));
    this.#note(asking.key, "renew", { fence }, renewed, calledMs);
    if (renewed === null) return;
    const { rate } = this.#asker;
    if ("answer" in renewed) hold.guaranteedUntilMs = guaranteedUntilMs({ ...renewed, rate }, renewed.answer.body);
    else if (renewed.code === "lost") this.#clients.lost(hold);
  }

  #note<T>(
    key: string,
    op: string,
    input: Readonly<Record<string, unknown>>,
    told: Told<T> | null,
    callMs: number,
    fence?: string,
  ): void {
    this.#clients.count(told);
    const known = { ...(fence === undefined ? {} : { fence }), ...(told === null ? {} : { node: told.node }) };
    this.#clients.note({ process: this.#name, key, op, input, output: outputOf(told), callMs, ...known });
  }
}
