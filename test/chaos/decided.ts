/**
 * What was decided of one key, put together from the lines of all nodes and applied once more. The hashes that the nodes
 * had of their states show that this is what they applied too.
 */
import { compareDecimals } from "../../src/machine/fence.ts";
import type { LockMachine } from "../../src/machine/machine.ts";
import type { Result } from "../../src/machine/op.ts";
import type { Command, State, Value } from "../../src/paxos/message.ts";
import type { Line } from "./recording.ts";

/** One decided command and what it came to there. */
export type Step = { readonly instance: number; readonly command: Command; readonly result: Result };

/** A command that changed its register. */
export type Effect = {
  readonly id: string;
  readonly instance: number;
  readonly revision: string;
  /** How many commands had left an entry in the window before it. */
  readonly at: number;
};

export type Visitor = {
  readonly step?: (step: Step) => void;
  /** The state after an instance. */
  readonly state?: (state: State, instance: number) => void;
};

export type Replayed = {
  readonly instances: number;
  /** Why this is not what happened: a contradiction between nodes, or something nobody wrote down. */
  readonly faults: readonly string[];
};

type Log = {
  first: State | null;
  last: number;
  /** Value ids by instance. */
  readonly chosen: Map<number, string>;
  readonly hashes: Map<number, string>;
  readonly values: Map<string, Value>;
  readonly faults: string[];
};

export function replay(lines: readonly Line[], machine: LockMachine, visitor: Visitor): Replayed {
  const log = merged(lines);
  const { faults } = log;
  let state = log.first;
  if (state === null) return { instances: 0, faults: [...faults, "no node wrote down how the key began"] };
  for (let instance = 1; instance <= log.last; instance++) {
    const value = log.values.get(log.chosen.get(instance) ?? "");
    if (value === undefined) {
      faults.push(`no node wrote down what was decided in instance ${instance}`);
      return { instances: instance - 1, faults };
    }
    const applied = machine.applyWithResults(state, instance, value);
    state = applied.state;
    const hash = log.hashes.get(instance);
    if (hash !== machine.hash(state)) faults.push(`the state after instance ${instance} is not ${hash}`);
    value.commands.forEach((command, i) => visitor.step?.({ instance, command, result: applied.results[i]! }));
    visitor.state?.(state, instance);
  }
  return { instances: log.last, faults };
}

function merged(lines: readonly Line[]): Log {
  const log: Log = {
    first: null,
    last: 0,
    chosen: new Map(),
    hashes: new Map(),
    values: new Map(),
    faults: [],
  };
  for (const line of lines) {
    switch (line.type) {
      case "start":
        log.first = line.state;
        break;
      case "vote":
        log.values.set(line.value.id, line.value);
        break;
      case "move":
        agree(log, log.chosen, line.instance, line.valueId);
        agree(log, log.hashes, line.instance, line.hash);
        log.last = Math.max(log.last, line.instance);
    }
  }
  return log;
}

function agree({ faults }: Log, known: Map<number, string>, instance: number, text: string): void {
  const before = known.get(instance) ?? text;
  known.set(instance, before);
  if (before !== text) faults.push(`instance ${instance} is ${before} at one node and ${text} at another`);
}

/** Collects, as a visitor of a register's log, what changed it. */
export class Effects {
  readonly all: Effect[] = [];
  readonly #ids = new Set<string>();
  #revision = "0";
  #entries = 0;

  step({ instance, command: { id }, result }: Step): void {
    const isChange = result.outcome === "written" || result.outcome === "deleted";
    // A repeated command is answered with its first revision; only a change has a new one.
    if (isChange && compareDecimals(result.revision, this.#revision) > 0) {
      this.#revision = result.revision;
      this.all.push({ id, instance, revision: result.revision, at: this.#entries++ });
    } else if (!this.#ids.has(id) && result.outcome !== "expired-command") {
      this.#entries++;
    }
    this.#ids.add(id);
  }
}
