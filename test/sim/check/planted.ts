/** A made-up log of one key, for tests of what judges logs: commands by instance, applied with the shipped machine. */
import { sha256Hex } from "../../../src/auth/digest.ts";
import { createMachine } from "../../../src/machine/machine.ts";
import type { Op } from "../../../src/machine/op.ts";
import type { Value } from "../../../src/paxos/mod.ts";
import { DecidedLog } from "./decided.ts";

export const SUBJECT = "sim";
const STEP_MS = 10;

export type Planted = readonly [id: string, op: Op, born?: number];

/** @param instances what was decided in 1, 2, …, each chosen 10 ms after the one before, from 10 on */
export function planted(key: string, instances: readonly (readonly Planted[])[]): DecidedLog {
  const log = new DecidedLog();
  instances.forEach((commands, i) => plant(log, key, i + 1, commands));
  return log;
}

/** @param more of the value */
export function plant(
  log: DecidedLog,
  key: string,
  instance: number,
  commands: readonly Planted[],
  more: Partial<Value> = {},
): void {
  const value: Value = {
    ...more,
    id: `v${instance}`,
    proposer: "a",
    commands: commands.map(([id, op, born = instance]) => ({ subject: SUBJECT, id, born, op })),
  };
  const vote = { ballot: [0, "", 0], kind: "classic", value } as const;
  const state = createMachine({ digest: sha256Hex }).init({ kind: "prepare" });
  log.committed(key, { instance, vote, state });
  log.chose(key, instance, value.id, instance * STEP_MS);
}

export function put(text: string, ifMatch?: string): Op {
  const condition = ifMatch === undefined ? {} : { ifMatch: [ifMatch] };
  return { type: "put", bytes: btoa(text), contentType: "text/plain", ...condition };
}

export function acquire(holder: string, waits = false): Op {
  const wait = waits ? { wait: { node: "a" } } : {};
  return { type: "acquire", holder, mode: "exclusive", ttlMs: 5_000, lockDelayMs: 0, ...wait, atMs: 0 };
}

export function release(fence: string): Op {
  return { type: "release", fence, atMs: 0 };
}

/** So many writes of others, ten in each instance: more than a window keeps, where they are very many. */
export function others(count: number): readonly (readonly Planted[])[] {
  const writes = Array.from({ length: count }, (_, i) => [`other-${i}`, put(`other ${i}`)] as const);
  return Array.from({ length: Math.ceil(count / 10) }, (_, i) => writes.slice(i * 10, i * 10 + 10));
}
