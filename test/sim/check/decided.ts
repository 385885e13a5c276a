/**
 * Everything that was decided, key by key: each value once, in the order of its instances, and what each of its commands
 * did. It takes the votes and the choices that others have checked, and applies them with the shipped machine.
 */
import { sha256Hex } from "../../../src/auth/digest.ts";
import { commandKey } from "../../../src/machine/dedup.ts";
import { DEDUP_WINDOW } from "../../../src/limits.ts";
import { createMachine } from "../../../src/machine/machine.ts";
import type { KeepPlaces, Result } from "../../../src/machine/op.ts";
import { entriesOf, type KeyState } from "../../../src/machine/state.ts";
import type { AcceptorRecord, Command, Value } from "../../../src/paxos/mod.ts";

/** One command where it stood in a decided value. */
export type Occurrence = {
  readonly instance: number;
  readonly chosenMs: number;
  readonly type: string;
  readonly result: Result;
  /** Whether it changed what there is: wrote, deleted, got a grant or a place. */
  readonly isEffect: boolean;
  /** Commands that were decided for this key before, each as often as it was new. */
  readonly before: number;
};

/** What one key went through. */
export type KeyStory = {
  /** By `subject id`. */
  readonly commands: ReadonlyMap<string, readonly Occurrence[]>;
  /** By fence: when it was first and last held, as the states after these instances have it, and the command it was for. */
  readonly holds: ReadonlyMap<string, HoldStory>;
  /** In the order in which they were taken. */
  readonly places: readonly PlaceStory[];
  /** So many commands of the subject that has most the window has at least: who has most loses first, down to its share. */
  readonly reach: number;
  /** The instances whose values forgot what was before. */
  readonly forgets: readonly number[];
};

/** `endMs`: when its end was decided; null if it never was. */
export type PlaceStory = { readonly command: string; readonly fromMs: number; endMs: number | null };
/** `confirmedMs`: since when somebody may have been told of it; null if nobody ever could. */
export type HoldStory = PlaceStory & { readonly from: number; until: number; confirmedMs: number | null };

type Chosen = { readonly valueId: string; readonly atMs: number };

const machine = createMachine({ digest: sha256Hex });

export class DecidedLog {
  readonly #values = new Map<string, Value>();
  /** By key, then by instance. */
  readonly #chosen = new Map<string, Map<number, Chosen>>();
  readonly #newest = new Map<string, number>();
  readonly #first = new Map<string, KeyState>();

  /** A record that is durable. */
  committed(key: string, { instance, vote, state }: Pick<AcceptorRecord, "instance" | "vote" | "state">): void {
    if (vote !== null) this.#values.set(`${key} ${vote.value.id}`, vote.value);
    if (instance === 1 && !this.#first.has(key)) this.#first.set(key, state as KeyState);
  }

  chose(key: string, instance: number, valueId: string, atMs: number): void {
    const ofKey = this.#chosen.get(key) ?? new Map<number, Chosen>();
    this.#chosen.set(key, ofKey);
    if (ofKey.has(instance)) return;
    ofKey.set(instance, { valueId, atMs });
    this.#newest.set(key, Math.max(instance, this.newest(key)));
  }

  /** The last instance of which a value is known to be chosen; 0 if there is none. */
  newest(key: string): number {
    return this.#newest.get(key) ?? 0;
  }

  /** The state that comes of a record's vote; null: it is for nothing that is known to be chosen. */
  made(key: string, { instance, state, vote }: Pick<AcceptorRecord, "instance" | "state" | "vote">): KeyState | null {
    if (vote === null || this.#chosen.get(key)?.get(instance)?.valueId !== vote.value.id) return null;
    return machine.apply(state, instance, vote.value) as KeyState;
  }

  get keys(): readonly string[] {
    return [...this.#chosen.keys()];
  }

  /** How many different commands were decided for it. */
  commands(key: string): number {
    const ids = new Set<string>();
    for (const { valueId } of this.#chosen.get(key)?.values() ?? []) {
      for (const { subject, id } of this.#values.get(`${key} ${valueId}`)?.commands ?? []) ids.add(`${subject} ${id}`);
    }
    return ids.size;
  }

  /** As far as its values are known one after the other. */
  story(key: string): KeyStory {
    const commands = new Map<string, Occurrence[]>();
    const [holds, places] = [new Map<string, HoldStory>(), [] as PlaceStory[]];
    let [held, waiting] = [new Map<string, PlaceStory>(), new Map<string, PlaceStory>()];
    const chosen = this.#chosen.get(key);
    let state = this.#first.get(key);
    // Those of before version 2 say no subject, and count as one together.
    const counts = new Map<string, number>();
    const reach = () => {
      const all = [...counts.values()];
      const others = all.reduce((sum, one) => sum + one, 0) - Math.max(0, ...all);
      return Math.max(DEDUP_WINDOW - others, Math.floor(DEDUP_WINDOW / Math.max(1, counts.size)));
    };
    const forgets: number[] = [];
    if (chosen === undefined || state === undefined) return { commands, holds, places, reach: reach(), forgets };
    const repeated = this.#repeated(key);
    let count = 0;
    for (let instance = 1;; instance++) {
      const one = chosen.get(instance);
      const value = one === undefined ? undefined : this.#values.get(`${key} ${one.valueId}`);
      if (one === undefined || value === undefined) break;
      const before: KeyState = state;
      const applied = machine.applyWithResults(before, instance, value);
      value.commands.forEach((command, i) => {
        const name = `${command.subject} ${command.id}`;
        const subject = before.version < 2 ? "" : command.subject;
        if (!machine.isRepeatable(command.op)) counts.set(subject, (counts.get(subject) ?? 0) + 1);
        const result = applied.results[i]!;
        const known = commands.get(name) ?? [];
        const isEffect = repeated.has(name)
          ? changes(before, instance, value, i)
          : EFFECTS.has(result.outcome) && TYPES.has(command.op.type);
        const occurrence = { instance, chosenMs: one.atMs, type: command.op.type, result, isEffect };
        commands.set(name, [...known, { ...occurrence, before: count }]);
        // What the window does not have any more is new once more, also where it changes nothing.
        const isForgotten = () => machine.lookup(before, command.subject, command.id) === null;
        if (known.length === 0 || (known.at(-1)!.instance < instance && isForgotten())) count++;
      });
      state = applied.state;
      if (forgot(value, instance, before, state)) forgets.push(instance);
      const fromMs = one.atMs;
      const holding = new Map<string, PlaceStory>();
      for (const { fence, command, unconfirmed } of state.holders) {
        const hold = holds.get(fence) ??
          { command, fromMs, endMs: null, from: instance, until: instance, confirmedMs: null };
        hold.until = instance;
        if (!unconfirmed) hold.confirmedMs ??= fromMs;
        holds.set(fence, hold);
        holding.set(fence, hold);
      }
      const queued = new Map(state.queue.map(([command]) => {
        return [command, waiting.get(command) ?? { command, fromMs, endMs: null }];
      }));
      places.push(...[...queued.values()].filter(({ command }) => !waiting.has(command)));
      end(held, holding, fromMs);
      end(waiting, queued, fromMs);
      [held, waiting] = [holding, queued];
    }
    return { commands, holds, places, reach: reach(), forgets };
  }

  /** Commands that stand in more than one of its values. */
  #repeated(key: string): ReadonlySet<string> {
    const [once, repeated] = [new Set<string>(), new Set<string>()];
    for (const { valueId } of this.#chosen.get(key)?.values() ?? []) {
      for (const { subject, id } of this.#values.get(`${key} ${valueId}`)?.commands ?? []) {
        const name = `${subject} ${id}`;
        (once.has(name) ? repeated : once).add(name);
      }
    }
    return repeated;
  }
}

/** Told by what is gone, not by the floor that should be there in its place. */
function forgot({ commands }: Value, instance: number, before: KeyState, after: KeyState): boolean {
  const [oldest] = entriesOf(before);
  if (oldest === undefined || entriesOf(after).includes(oldest)) return false;
  return commands.some(({ op }) => (op as Partial<KeepPlaces>).forget === instance);
}

function end(before: ReadonlyMap<string, PlaceStory>, after: ReadonlyMap<string, PlaceStory>, atMs: number): void {
  for (const [name, one] of before) if (!after.has(name)) one.endMs = atMs;
}

/** What holds and places say of the commands that one request may have come to: its own, and those made from it. */
export function familyOf({ commands }: KeyStory, subject: string, id: string): ReadonlySet<string> {
  const own = `${subject} ${id}`;
  const names = [...commands.keys()].filter((name) => name.startsWith(own) && DERIVED.test(name.slice(own.length)));
  return new Set(names.map((name) => nameOfCommand(subject, name.slice(subject.length + 1))));
}

/** What a node adds to an id, with or without a space before it. */
const DERIVED = /^( ?[~+!&-]\d*)*$/;

/** What a hold or a place says of the command that asked for it. */
export function nameOfCommand(subject: string, id: string): string {
  return commandKey(sha256Hex, subject, id);
}

const TYPES: ReadonlySet<string> = new Set(["put", "delete", "acquire", "take", "campaign"]);
const EFFECTS: ReadonlySet<string> = new Set(["written", "deleted", "granted", "queued"]);

/** Whether the command at this place of the value changed anything: the value is applied as far as it, and without it. */
function changes(before: KeyState, instance: number, value: Value, index: number): boolean {
  const command: Command = value.commands[index]!;
  if (!TYPES.has(command.op.type)) return false;
  const upTo = (end: number) => machine.apply(before, instance, { ...value, commands: value.commands.slice(0, end) });
  return visible(upTo(index)) !== visible(upTo(index + 1));
}

/** All but the windows and the names of leases. */
function visible({ revision, lastFence, queue, register }: KeyState): string {
  return JSON.stringify([revision, lastFence, queue.map(([place]) => place), register?.value?.bytes]);
}
