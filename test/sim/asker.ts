/**
 * Asks a cluster as a client does that has to know: the same request, under the same id, through node after node, until
 * one says something definite. Stops where it is when everything is over.
 */
import type { Answer } from "../../src/api.ts";
import { QuorateError } from "../../src/errors.ts";
import type { ReplicaNode } from "../../src/replica/node.ts";
import type { Caller } from "../../src/replica/service.ts";
import type { Seeded } from "./virtual_time.ts";
import type { World } from "./world.ts";

export const TIMEOUT_MS = 1_500;
const ATTEMPTS = 5;
/** Of answers, lost on their way from the node to the client. */
const ANSWERS_LOST = 0.03;
/** Nobody knows what became of it: asked again. */
export const OPEN: ReadonlySet<string> = new Set(["outcome-unknown", "no-quorum", "not-ready"]);

export type Call<T> = (node: ReplicaNode, caller: Caller) => Promise<Answer<T>>;
/** An answer, or the error that is one, and who gave it. */
export type Told<T> =
  | { readonly answer: Answer<T>; readonly node: string }
  | { readonly code: string; readonly error: QuorateError; readonly node: string };

export type AskCounts = { operations: number; unknown: number; paths: Record<string, number> };

export class Asker {
  readonly random: Seeded;
  readonly #world: World;
  readonly #counts: AskCounts;
  readonly #over: Promise<unknown>;
  /** Refusals that a client may be told for good. */
  readonly #final: ReadonlySet<string>;
  readonly #fault: (what: string) => void;
  #isOver = false;

  constructor(
    world: World,
    { random, counts, over, final, fault }: {
      readonly random: Seeded;
      readonly counts: AskCounts;
      readonly over: Promise<unknown>;
      readonly final: ReadonlySet<string>;
      readonly fault: (what: string) => void;
    },
  ) {
    this.random = random;
    this.#world = world;
    this.#counts = counts;
    this.#over = over;
    this.#final = final;
    this.#fault = fault;
    over.then(() => this.#isOver = true);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Null: nobody ever said anything definite. */
  async ask<T>(idempotencyKey: string, call: Call<T>, more: Partial<Caller> = {}): Promise<Told<T> | null> {
    this.#counts.operations++;
    const caller: Caller = { subject: "sim", idempotencyKey, timeoutMs: TIMEOUT_MS, ...more };
    // Of a hedged one others may be asked at the same time.
    let isNone = caller.hedge === undefined;
    for (let attempt = 0; attempt < ATTEMPTS && !this.#isOver; attempt++) {
      this.#world.none.asked(idempotencyKey);
      const told = await this.#askOne(call, caller);
      isNone &&= told !== null && "code" in told && told.error.facts.outcome === "none";
      if (isNone) this.#world.none.told(idempotencyKey);
      if (told !== null && "answer" in told) {
        const { path } = told.answer.receipt;
        this.#counts.paths[path] = (this.#counts.paths[path] ?? 0) + 1;
        return told;
      }
      if (told !== null && !OPEN.has(told.code)) {
        if (!this.#final.has(told.code)) this.#fault(`${idempotencyKey}: ${told.code}`);
        return told;
      }
      await this.sleep(this.random.next() * 100);
    }
    this.#counts.unknown++;
    return null;
  }

  /** Null: the answer was lost on its way, or everything is over. */
  async #askOne<T>(call: Call<T>, caller: Caller): Promise<Told<T> | null> {
    const node = this.pickNode();
    const isLost = this.random.chance(ANSWERS_LOST);
    if (node === undefined) return null;
    const told = await this.until(this.askNode(node, (replica) => call(replica, caller)));
    return isLost ? null : told;
  }

  /** Of one node, once. */
  async askNode<T>(node: string, call: (node: ReplicaNode) => Promise<Answer<T>>): Promise<Told<T>> {
    try {
      return { answer: await this.#world.ask(node, call), node };
    } catch (error) {
      if (error instanceof QuorateError) return { code: error.code, error, node };
      throw error;
    }
  }

  pickNode(): string | undefined {
    const { up } = this.#world;
    return up.length === 0 ? undefined : this.random.pick(up);
  }

  /** Null if everything is over first. */
  until<T>(work: Promise<T>): Promise<T | null> {
    return Promise.race([work, this.#over.then(() => null)]);
  }

  async sleep(ms: number): Promise<void> {
    await this.until(this.#world.clock.sleep(ms));
  }
}

export function outputOf<T>(told: Told<T> | null): Readonly<Record<string, unknown>> | "unknown" {
  if (told === null) return "unknown";
  return "code" in told ? { code: told.code } : { ok: true };
}
