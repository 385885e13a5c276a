/**
 * Asks a cluster as a client does that has to know: the same request, under the same id, through node after node, until
 * one says something definite. Stops where it is when everything is over.
 */
import type { Answer } from "../../src/api.ts";
import { QuorateError } from "../../src/errors.ts";
import type { ReplicaNode } from "../../src/compose/node.ts";
import type { Caller } from "../../src/service/service.ts";
import { bornIn, forgottenFault } from "./born.ts";
import type { Seeded } from "./virtual_time.ts";
import { SUBJECT, type World } from "./world.ts";

export const TIMEOUT_MS = 1_500;
const ATTEMPTS = 5;
/** The share of answers that are lost on their way from the node to the client. */
const ANSWERS_LOST = 0.03;
/** Nobody knows what became of it: asked again. */
export const OPEN: ReadonlySet<string> = new Set(["outcome-unknown", "no-quorum", "not-ready"]);

/** An answer that has been forgotten: nobody knows what became of the command. Only who said its born may be told so. */
export const FORGOTTEN = "expired-command";

/** Share of answered requests that come once more where names are forgotten, and when. */
const REPEATED = 0.4;
const REPEATED_WITHIN_MS = 2_000;

export type Call<T> = (node: ReplicaNode, caller: Caller) => Promise<Answer<T>>;
/** An answer, or the error that is one, and who gave it. */
export type Told<T> =
  | { readonly answer: Answer<T>; readonly node: string; readonly sentMs: number }
  | { readonly code: string; readonly error: QuorateError; readonly node: string; readonly isRepeated: boolean };

/** More of the caller, and of how it is asked. */
export type Asking = Partial<Caller> & {
  /** Whose command it is: what is told of it must then be true of what was decided there. */
  readonly key?: string;
  /** The same for the names of a set: what is refused of them may still be being undone. */
  readonly keys?: readonly string[];
  readonly tries?: number;
  /** Says the born that it is told with an unknown outcome from then on. */
  readonly takesBorn?: boolean;
};

export type AskCounts = { operations: number; unknown: number; paths: Record<string, number> };

export class Asker {
  readonly random: Seeded;
  /** How fast the clock of who asks runs. */
  readonly rate: number;
  readonly #world: World;
  readonly #counts: AskCounts;
  readonly #over: Promise<unknown>;
  /** Refusals that a client may be told for good. */
  readonly #final: ReadonlySet<string>;
  readonly #fault: (what: string) => void;
  /** What each command was first sent with, where names are forgotten. */
  readonly #born = new Map<string, number>();
  #isOver = false;

  constructor(
    world: World,
    { random, rate, counts, over, final, fault }: {
      readonly random: Seeded;
      readonly rate: number;
      readonly counts: AskCounts;
      readonly over: Promise<unknown>;
      readonly final: ReadonlySet<string>;
      readonly fault: (what: string) => void;
    },
  ) {
    this.random = random;
    this.rate = rate;
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
  async ask<T>(
    idempotencyKey: string,
    call: Call<T>,
    { key, keys = [], tries = ATTEMPTS, takesBorn = false, ...more }: Asking = {},
  ): Promise<Told<T> | null> {
    this.#counts.operations++;
    let caller: Caller = { subject: SUBJECT, idempotencyKey, timeoutMs: TIMEOUT_MS, ...more };
    const { answers, clock, plan } = this.#world;
    if (plan.forgetAfterMs !== null && key !== undefined && caller.hedge === undefined && caller.born === undefined) {
      // Without it what is sent again after the name was forgotten is another request.
      const node = this.pickNode();
      const born = this.#born.get(idempotencyKey) ?? (node === undefined ? 0 : this.#world.instanceAt(node, key));
      this.#born.set(idempotencyKey, born);
      caller = { ...caller, born };
    }
    const firstMs = clock.now();
    // Other nodes may be asked the same hedged request at the same time.
    let isNone = caller.hedge === undefined;
    for (let attempt = 0; attempt < tries && !this.#isOver; attempt++) {
      const hasBorn = caller.born !== undefined || caller.hedge !== undefined;
      const nth = key === undefined ? attempt + 1 : answers.tried(key, idempotencyKey, clock.now(), hasBorn);
      for (const one of keys) answers.tried(one, idempotencyKey, clock.now(), hasBorn);
      // What a try says of itself says nothing of an earlier one that somebody heard of.
      isNone &&= nth === attempt + 1;
      this.#world.none.asked(idempotencyKey);
      const told = await this.#askOne(call, caller);
      isNone &&= told !== null && "code" in told && told.error.facts.outcome === "none";
      if (isNone) this.#world.none.told(idempotencyKey);
      if (told !== null && "answer" in told) {
        const { path } = told.answer.receipt;
        this.#counts.paths[path] = (this.#counts.paths[path] ?? 0) + 1;
        const number = numberIn(told.answer.body);
        if (key !== undefined && number !== undefined) answers.done(key, idempotencyKey, number);
        if (key !== undefined && plan.forgetAfterMs !== null && caller.born !== undefined) {
          void this.#repeat(key, call, caller);
        }
        // Copies of a hedged request are no repetitions: they count from the first.
        return caller.hedge === undefined ? told : { ...told, sentMs: firstMs };
      }
      if (told !== null && told.code === FORGOTTEN) {
        const fault = forgottenFault(told.error, nth, hasBorn);
        if (fault !== null) this.#fault(`${idempotencyKey} ${fault}`);
        return told;
      }
      if (told !== null && !OPEN.has(told.code)) {
        if (!this.#final.has(told.code)) this.#fault(`${idempotencyKey}: ${told.code}`);
        // Another try of a hedged one may be under way.
        if (key !== undefined && caller.hedge === undefined) {
          answers.refused(key, idempotencyKey, told.code, clock.now());
        }
        return { ...told, isRepeated: nth > 1 };
      }
      const born = told === null || !takesBorn ? undefined : bornIn(told.error);
      if (born !== undefined && caller.born === undefined) caller = { ...caller, born };
      await this.sleep(this.random.next() * 100);
    }
    this.#counts.unknown++;
    return null;
  }

  /** Now and then a copy of an answered request comes late, as by a proxy: it must do nothing, be its name forgotten or not. */
  async #repeat<T>(key: string, call: Call<T>, caller: Caller): Promise<void> {
    const { answers, clock } = this.#world;
    if (!this.random.chance(REPEATED)) return;
    await this.sleep(this.random.next() * REPEATED_WITHIN_MS);
    if (this.#isOver) return;
    const nth = answers.tried(key, caller.idempotencyKey, clock.now(), true);
    const told = await this.#askOne(call, caller);
    if (told === null || !("code" in told) || told.code !== FORGOTTEN) return;
    const fault = forgottenFault(told.error, nth, true);
    if (fault !== null) this.#fault(`${caller.idempotencyKey} ${fault}`);
  }

  /** Null: the answer was lost on its way, or everything is over. */
  async #askOne<T>(call: Call<T>, caller: Caller): Promise<Told<T> | null> {
    const node = this.pickNode();
    const isLost = this.random.chance(ANSWERS_LOST);
    if (node === undefined) return null;
    const told = await this.until(this.askNode(node, (replica) => call(replica, caller)));
    return isLost ? null : told;
  }

  /** Asks one node, once. */
  async askNode<T>(node: string, call: (node: ReplicaNode) => Promise<Answer<T>>): Promise<Told<T>> {
    const sentMs = this.#world.clock.now();
    try {
      return { answer: await this.#world.ask(node, call), node, sentMs };
    } catch (error) {
      if (error instanceof QuorateError) return { code: error.code, error, node, isRepeated: false };
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

/** What names the state in which the write was decided. */
function numberIn(body: unknown): string | undefined {
  const { fence, revision } = body as { readonly fence?: string; readonly revision?: string };
  return fence ?? revision;
}

export function outputOf<T>(told: Told<T> | null): Readonly<Record<string, unknown>> | "unknown" {
  if (told === null) return "unknown";
  return "code" in told ? { code: told.code } : { ok: true };
}
