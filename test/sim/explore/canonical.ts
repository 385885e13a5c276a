/**
 * When two things of a search are one: by their canonical text, which leaves out what no later step can tell apart.
 * Every reduction here is argued for, and `explorer_test.ts` checks on whole plans that states it makes one have the
 * same successors.
 */
import type { NodeId, ProposerState } from "../../../src/paxos/mod.ts";
import type { Plan } from "./plans.ts";
import type { Thing } from "./things.ts";

/** Nodes renamed, by their name. */
export type Renaming = ReadonlyMap<NodeId, NodeId>;

/**
 * Acceptors at which nobody proposes, coordinates or reads differ by name only: no rule compares names of acceptors
 * but to find sets. A state and what comes of it by renaming them have the same futures, renamed.
 */
export function renamings(idle: readonly NodeId[]): readonly Renaming[] {
  return permutations(idle).map((names) => new Map(idle.map((name, i) => [name, names[i]!])));
}

function permutations<T>(items: readonly T[]): (readonly T[])[] {
  if (items.length === 0) return [[]];
  return items.flatMap((first, i) => permutations(items.toSpliced(i, 1)).map((rest) => [first, ...rest]));
}

/**
 * @param explicitBallots how many the thing's actor may begin in an instance
 */
export function canonicalText(
  thing: Thing,
  explicitBallots: number,
  { instances, overlaps }: Pick<Plan, "instances" | "overlaps">,
  renaming: Renaming,
): string {
  return textOf(reduced(thing, explicitBallots, overlaps === true), renaming, instances);
}

function textOf(item: unknown, renaming: Renaming, last: number): string {
  if (typeof item === "string") return JSON.stringify(renaming.get(item) ?? item);
  if (item === null || typeof item !== "object") return String(item);
  if (Array.isArray(item)) {
    const texts = item.map((part) => textOf(part, renaming, last));
    // Names of acceptors and their reports are sets: every quorum and every pick is one of a set.
    const isSet = item.every((part) => typeof part === "string" || (part as { from?: unknown } | null)?.from);
    return `[${(isSet ? texts.sort() : texts).join()}]`;
  }
  const fields = item as Readonly<Record<string, unknown>>;
  // Where only one instance is searched no message tells that it was decided, so nobody looks at who decided it.
  const isUnread = "acceptors" in fields && last === 1;
  const names = isUnread ? ["instance", "valueId"] : Object.keys(fields).sort();
  const defined = names.filter((name) => fields[name] !== undefined);
  return `{${defined.map((name) => `${name}:${textOf(fields[name], renaming, last)}`).join()}}`;
}

/** Without what its role does not look at again. */
function reduced(thing: Thing, explicitBallots: number, overlaps: boolean): unknown {
  if (thing.kind === "coordinator") {
    const { kind, actor, instance, ballot, state } = thing;
    if (state.phase === "done") return { kind, actor, instance, ballot };

    // How many reports the last pick had is compared while one is under way.
    // What lost is proposed in later instances, which here have values of their own.
    return { ...thing, state: { ...state, losers: [], asked: state.phase === "gather" ? 0 : state.asked } };
  }
  if (thing.kind !== "proposer") return thing;
  const { kind, actor, instance, state, prepared } = thing;
  // Whether a value left is told by the own vote, but where that comes later: then it bars others from the own record.
  const left = overlaps && state.left;
  if (state.phase === "done") return { kind, actor, instance, left };
  return { ...thing, state: { ...live(state), left, highestN: prepared < explicitBallots ? state.highestN : 0 } };
}

function live(state: ProposerState): ProposerState {
  // What was told to the host only keeps it from being told again, and who withholds its vote decides when it is told:
  // a timeout may come at any time here anyway.
  const silent: ProposerState = { ...state, told: "nothing", withheld: [] };
  switch (state.phase) {
    case "self-vote":
    case "fast":
    case "done":
      return silent;
    case "prepare":
    case "own-any":
    case "own-accept":
    case "accept":
      return {
        ...silent,
        // An explicit ballot alone is followed, but for the answer to a guarded decision asked for before it.
        ...(state.guard === "asked" ? {} : { guard: "none", fastVotes: [] }),
        // They were for the pick.
        ...(state.phase === "prepare" ? {} : { promises: [] }),
      };
  }
}

/** Four numbers of 32 bits, each from lanes of its own. */
export function hash128(text: string): readonly [number, number, number, number] {
  let [a, b, c, d] = [0x9e3779b9, 0x243f6a88, 0xb7e15162, 0x6a09e667];
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x01000193) ^ (d >>> 15);
    b = Math.imul(b ^ unit, 0x85ebca6b) ^ (a >>> 13);
    c = Math.imul(c ^ unit, 0xc2b2ae35) ^ (b >>> 16);
    d = Math.imul(d ^ unit, 0x27d4eb2f) ^ (c >>> 14);
  }
  return [mixed(a ^ c), mixed(b ^ d), mixed(c + b | 0), mixed(d + a | 0)];
}

function mixed(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
