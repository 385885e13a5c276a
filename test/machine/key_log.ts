/** The log of one key, for tests: applies values one instance after the other and answers for the last. */
import { createHash } from "node:crypto";
import { assert } from "@std/assert";
import { createMachine } from "../../src/machine/machine.ts";
import type { Acquire, Hold, Op, Place, Result } from "../../src/machine/op.ts";
import { unpackPlace } from "../../src/machine/place.ts";
import type { KeyState } from "../../src/machine/state.ts";
import type { Command, LeaseName, Mode, Value } from "../../src/paxos/message.ts";
import { MACHINE_VERSION } from "../../src/version.ts";

export const digest = (text: string): string => createHash("sha256").update(text).digest("hex");
export const machine = createMachine({ digest });
export const FAST: Mode = { kind: "fast", recovery: "coordinated", coordinator: "a" };

export type Asking = Partial<Omit<Acquire, "type" | "wait">> & { wait?: string; subject?: string; id?: string };

export class KeyLog {
  readonly #version: number;
  state: KeyState = machine.init(FAST);
  instance = 0;
  #ids = 0;

  /** @param version of the rules, from the first value on */
  constructor(version: number = MACHINE_VERSION) {
    this.#version = version;
  }

  command(op: Op, subject = "s", id = `id${++this.#ids}`, born = this.instance + 1): Command {
    return { subject, id, born, op };
  }

  ask(holder: string, { wait, subject = "s", id, ...rest }: Asking = {}): Command {
    const op: Acquire = {
      type: "acquire",
      holder,
      mode: "exclusive",
      ttlMs: 30_000,
      lockDelayMs: 0,
      atMs: 1_000 + this.instance,
      ...rest,
      ...(wait === undefined ? {} : { wait: { node: wait } }),
    };
    return this.command(op, subject, id);
  }

  /** Decides one value in the next instance. */
  decide(commands: readonly Command[], more: Partial<Value> = {}): readonly Result[] {
    const instance = ++this.instance;
    const value: Value = { id: `a/n/${instance}`, proposer: "a", commands, ...this.#raise(), ...more };
    const { state, results } = machine.applyWithResults(this.state, instance, value);
    this.state = state;
    return results;
  }

  /** What the values of nodes carry while the state is of an older version. */
  #raise(): Pick<Value, "machine"> {
    return this.state.version < this.#version ? { machine: this.#version } : {};
  }

  do(op: Op, subject = "s", id?: string): Result {
    return this.one(this.command(op, subject, id));
  }

  one(command: Command): Result {
    const [result] = this.decide([command]);
    assert(result !== undefined);
    return result;
  }

  acquire(holder: string, asking: Asking = {}): Result {
    return this.one(this.ask(holder, asking));
  }

  /** Acquires, and returns the fence of the grant that must come of it. */
  grant(holder: string, asking: Asking = {}): string {
    const result = this.acquire(holder, asking);
    assert(result.outcome === "granted", `${holder}: ${result.outcome}`);
    return result.fence;
  }

  release(fence: string, subject = "s"): Result {
    return this.do({ type: "release", fence, atMs: 5_000 }, subject);
  }

  renew(fence: string, ttlMs?: number, subject = "s"): Result {
    return this.do({ type: "renew", fence, ...(ttlMs === undefined ? {} : { ttlMs }) }, subject);
  }

  /** Claims the lease of that id, as the state names it now, or under `by`. */
  lapse(id: string, by?: string): void {
    this.decide([], { claims: [this.lease(id, by)] });
  }

  lease(id: string, by?: string): LeaseName {
    const found = machine.leases(this.state).find((lease) => lease.id === id);
    return { id, by: by ?? found?.by ?? "none" };
  }

  get holders(): readonly string[] {
    return this.state.holders.map(({ holder }) => holder);
  }

  get waiters(): readonly string[] {
    return this.places.map(({ holder }) => holder);
  }

  get places(): readonly Place[] {
    return this.state.queue.map(unpackPlace);
  }

  get hold(): Hold {
    const [hold] = this.state.holders;
    assert(hold !== undefined, "somebody holds the lock");
    return hold;
  }
}

/** What a state says, without what led to it: a value that changes nothing is a link of the chain too. */
export function contentOf({ chain: _, ...content }: KeyState): Omit<KeyState, "chain"> {
  return content;
}

/** mulberry32: uniform in [0, 1), the same for the same seed. */
export function randomness(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
