/**
 * Explicit-state search over the shipped roles: every interleaving, loss, duplication and reordering of messages.
 * Sent messages stay in a set, to be delivered at any time, any number of times or never.
 *
 * Only 128 bits of a state are kept, the sum of the hashes of its things; the state itself only until it is expanded.
 */
import type { NodeId, Vote } from "../../../src/paxos/mod.ts";
import { Ancestry, Frontier, type Row } from "./frontier.ts";
import { type Conclusion, type Core, type Effect, Model, type Visit } from "./model.ts";
import { PairMap } from "./pair_map.ts";
import type { Plan, Sometimes } from "./plans.ts";
import { StateSet } from "./state_set.ts";
import type { VoteThing } from "./things.ts";

export type Verdict = {
  readonly states: number;
  /** False if the bound on states ended the search. */
  readonly complete: boolean;
  /** What went wrong and the actions that lead there, or null. */
  readonly violation: { readonly what: string; readonly script: readonly string[] } | null;
  /** How many states each was first seen to lead to: a search that never gets there proves nothing. */
  readonly sometimes: Readonly<Partial<Record<string, number>>>;
};

/** What is searched: a transition system whose states are rows of numbers. */
export interface Searched {
  /** Whose votes are counted. */
  readonly nodes: readonly NodeId[];
  readonly names: number;
  readonly things: { readonly hashes: Int32Array };
  initial(): Row;
  actions(row: Row, visit: Visit): void;
  isDead(id: number, parts: readonly number[]): boolean;
  concerns(id: number, part: number): boolean;
  vote(id: number): VoteThing | null;
  /** What is decided once this vote is one of a quorum. */
  conclusionsOf(vote: VoteThing): readonly Conclusion[];
  conclude(decided: number, conclusion: Conclusion): number | null;
  decidedAt(decided: number, instance: number): string | null;
  isChosen(votes: readonly VoteThing[]): boolean;
}

export function explore(core: Core, plan: Plan, bound: number): Verdict {
  return new Search(new Model(core, plan)).run(bound);
}

const NONE: readonly never[] = [];
const LATER: readonly Sometimes[] = ["later instance decided"];

/** Votes of one ballot, of one kind, for one value, and which acceptors make up a quorum of them. */
type Tally = {
  readonly votes: { readonly bit: number; readonly thing: VoteThing }[];
  readonly chosen: Map<number, boolean>;
};

type OnStep = ((from: Row, to: Row) => void) | null;

export class Search {
  readonly #model: Searched;
  readonly #onStep: OnStep;
  readonly #seen = new StateSet();
  readonly #frontier = new Frontier();
  readonly #ancestry = new Ancestry();
  readonly #sometimes: Partial<Record<string, number>> = {};
  readonly #tallies = new Map<string, Tally>();
  readonly #tallyOf = new Map<number, { readonly tally: Tally; readonly bit: number }>();
  readonly #concluded = new PairMap<string, number | null>();
  readonly #concernedBy: number[] = [];
  /** For each thing the last expansion whose state had it. */
  #present = new Int32Array(1 << 16);
  #bound = 0;
  /** The state that is expanded. */
  #at = 0;
  #row: Row = { parts: [], sent: [] };
  #hash = new Int32Array();
  #next = new Int32Array();
  /** What the step that is looked at leads to, and what can matter no more then. */
  readonly #nextParts: number[] = [];
  readonly #gone: number[] = [];
  #action = 0;
  /** When the way to a state is walked again: the action to take, and where it led. */
  #replayed: { readonly action: number; row: Row; label: string } | null = null;
  #violation: { what: string; state: number; action: number } | null = null;

  /** @param onStep hears of every step, also to states known already */
  constructor(model: Searched, onStep: OnStep = null) {
    this.#model = model;
    this.#onStep = onStep;
  }

  run(bound: number): Verdict {
    const initial = this.#model.initial();
    const width = 4 * this.#model.names;
    this.#hash = new Int32Array(width);
    this.#next = new Int32Array(width);
    this.#bound = bound;
    this.#hashRow(initial);
    this.#next.set(this.#hash);
    this.#isNew();
    this.#ancestry.add(0, 0);
    this.#frontier.push(initial);
    for (this.#at = 0; this.#frontier.size > 0; this.#at++) {
      this.#expand(this.#frontier.shift());
      if (this.#violation !== null || this.#seen.size >= this.#bound) break;
    }
    const states = this.#seen.size;
    const violation = this.#violation as { what: string; state: number; action: number } | null;
    if (violation !== null) {
      const { what, state, action } = violation;
      const script = this.#scriptOf([...this.#ancestry.pathTo(state), action]);
      return { states, complete: false, violation: { what, script }, sometimes: this.#sometimes };
    }
    return { states, complete: this.#frontier.size === 0, violation: null, sometimes: this.#sometimes };
  }

  #expand(row: Row): void {
    this.#begin(row);
    this.#model.actions(row, (part, effect, action) => this.#visit(part, effect, action));
  }

  #begin(row: Row): void {
    this.#row = row;
    this.#action = 0;
    this.#hashRow(row);
    for (const id of row.sent) this.#mark(id);
  }

  #mark(id: number): void {
    if (id >= this.#present.length) {
      const grown = new Int32Array(Math.max(this.#present.length * 2, id + 1));
      grown.set(this.#present);
      this.#present = grown;
    }
    this.#present[id] = this.#at + 1;
  }

  #visit(part: number, effect: Effect, action: () => string): void {
    const number = this.#action++;
    if (this.#violation !== null || this.#seen.size >= this.#bound) return;
    if (this.#replayed !== null && this.#replayed.action !== number) return;
    if (effect.fault !== null) return this.#fail(effect.fault, number, action);
    const { parts, sent } = this.#row;
    const fresh = this.#fresh(effect.added);
    if (effect.next === parts[part] && fresh.length === 0 && effect.concluded.length === 0) return;

    const chosen = fresh.length === 0 ? NONE : fresh.flatMap((id) => this.#tallied(id));
    let decided = parts[parts.length - 1]!;
    for (const conclusion of chosen.length === 0 ? effect.concluded : [...effect.concluded, ...chosen]) {
      const next = this.#conclude(decided, conclusion);
      if (next === null) {
        const { instance, value } = conclusion;
        const other = this.#model.decidedAt(decided, instance);
        return this.#fail(`two values decided at instance ${instance}: ${other} and ${value}`, number, action);
      }
      decided = next;
    }

    // Nearly all of these lead to what is known: what they need is made once, and copied of the few that do not.
    const nextParts = this.#nextParts;
    for (let i = 0; i < parts.length; i++) nextParts[i] = parts[i]!;
    nextParts[part] = effect.next;
    nextParts[parts.length - 1] = decided;
    this.#next.set(this.#hash);
    this.#hashThing(parts[part]!, -1);
    this.#hashThing(effect.next, 1);
    if (decided !== parts[parts.length - 1]) {
      this.#hashThing(parts[parts.length - 1]!, -1);
      this.#hashThing(decided, 1);
    }
    const kept = fresh.length === 0 ? NONE : fresh.filter((id) => !this.#model.isDead(id, nextParts));
    for (const id of kept) this.#hashThing(id, 1);
    const gone = this.#gone;
    gone.length = 0;
    if (effect.next !== parts[part]) {
      for (const id of sent) {
        if ((this.#concerned(id) >> part & 1) === 0 || !this.#model.isDead(id, nextParts)) continue;
        gone.push(id);
        this.#hashThing(id, -1);
      }
    }

    const isNew = this.#replayed === null && this.#isNew();
    if (!isNew && this.#replayed === null && this.#onStep === null) return;
    const alive = gone.length === 0 ? sent : sent.filter((id) => !gone.includes(id));
    const next: Row = { parts: nextParts.slice(), sent: [...alive, ...kept] };
    if (this.#replayed !== null) {
      this.#replayed.row = next;
      this.#replayed.label = action();
      return;
    }
    this.#onStep?.(this.#row, next);
    if (!isNew) return;
    this.#ancestry.add(this.#at, number);
    this.#frontier.push(next);
    const isLater = decided !== parts[parts.length - 1] && this.#model.decidedAt(decided, 2) !== null;
    const seen = [...effect.seen, ...fresh.flatMap((id) => this.#seenBy(id)), ...(isLater ? LATER : NONE)];
    for (const name of new Set(seen)) this.#sometimes[name] = (this.#sometimes[name] ?? 0) + 1;
  }

  #conclude(decided: number, conclusion: Conclusion): number | null {
    const { instance, value } = conclusion;
    const known = this.#concluded.get(value, decided, instance);
    if (known !== undefined) return known;
    const next = this.#model.conclude(decided, conclusion);
    this.#concluded.set(value, decided, instance, next);
    return next;
  }

  /** A bit for each part whose change can make the message dead. */
  #concerned(id: number): number {
    const known = this.#concernedBy[id];
    if (known !== undefined) return known;
    let bits = 0;
    for (let part = 0; part < this.#row.parts.length; part++) if (this.#model.concerns(id, part)) bits |= 1 << part;
    return this.#concernedBy[id] = bits;
  }

  /** Those that the state does not have yet. */
  #fresh(added: readonly number[]): readonly number[] {
    let fresh: number[] | null = null;
    for (const id of added) if (this.#present[id] !== this.#at + 1) (fresh ??= []).push(id);
    return fresh ?? NONE;
  }

  #fail(what: string, action: number, label: () => string): void {
    if (this.#replayed === null) this.#violation = { what, state: this.#at, action };
    else this.#replayed.label = label();
  }

  /** Walks the way again; the numbers of things are kept, so that the same actions have the same numbers. */
  #scriptOf(path: readonly number[]): readonly string[] {
    let row = this.#model.initial();
    this.#violation = null;
    this.#bound = Infinity;
    return path.map((action) => {
      this.#at++;
      this.#replayed = { action, row, label: "" };
      this.#expand(row);
      row = this.#replayed.row;
      return this.#replayed.label;
    });
  }

  // Votes

  /** What a new vote makes chosen, as any learner concludes that hears of all votes of its ballot. */
  #tallied(id: number): readonly Conclusion[] {
    const thing = this.#model.vote(id);
    if (thing === null) return NONE;
    const { tally, bit } = this.#tally(id, thing);
    let mask = bit;
    for (const other of this.#row.sent) {
      const known = this.#tallyOf.get(other);
      if (known?.tally === tally) mask |= known.bit;
    }
    return this.#isChosen(tally, mask) ? this.#model.conclusionsOf(thing) : NONE;
  }

  /** What a new vote shows. */
  #seenBy(id: number): readonly Sometimes[] {
    const thing = this.#model.vote(id);
    if (thing === null) return NONE;
    const others = this.#row.sent.flatMap((other) => this.#model.vote(other) ?? NONE);
    return [
      ...(others.some((other) => isCollision(thing, other)) ? ["collision" as const] : NONE),
      ...(this.#tallied(id).length > 0 ? nameOf(thing.vote) : NONE),
    ];
  }

  #tally(id: number, thing: VoteThing): { readonly tally: Tally; readonly bit: number } {
    const known = this.#tallyOf.get(id);
    if (known !== undefined) return known;
    const { instance, epoch = 0, base, vote: { ballot, kind, value } } = thing;
    const name = `${epoch} ${instance} ${ballot.join(".")} ${kind} ${value.id} ${
      base === undefined ? "" : `on ${base}`
    }`;
    const tally: Tally = this.#tallies.get(name) ?? { votes: [], chosen: new Map() };
    const entry = { tally, bit: 1 << this.#model.nodes.indexOf(thing.acceptor) };
    tally.votes.push({ bit: entry.bit, thing });
    this.#tallies.set(name, tally);
    this.#tallyOf.set(id, entry);
    return entry;
  }

  #isChosen({ votes, chosen }: Tally, mask: number): boolean {
    const known = chosen.get(mask);
    if (known !== undefined) return known;
    const isChosen = this.#model.isChosen(votes.filter(({ bit }) => (bit & mask) !== 0).map(({ thing }) => thing));
    chosen.set(mask, isChosen);
    return isChosen;
  }

  // Hashes

  #hashRow({ parts, sent }: Row): void {
    this.#next.fill(0);
    for (const id of parts) this.#hashThing(id, 1);
    for (const id of sent) this.#hashThing(id, 1);
    this.#hash.set(this.#next);
  }

  #hashThing(id: number, sign: 1 | -1): void {
    const { hashes } = this.#model.things;
    const next = this.#next;
    const width = next.length;
    const from = id * width;
    for (let i = 0; i < width; i++) next[i] = next[i]! + sign * hashes[from + i]!;
  }

  /** Under its least name, so that a state and its renamings are one. */
  #isNew(): boolean {
    const next = this.#next;
    let least = 0;
    for (let at = 4; at < next.length; at += 4) {
      for (let i = 0; i < 4; i++) {
        const order = next[at + i]! - next[least + i]!;
        if (order < 0) least = at;
        if (order !== 0) break;
      }
    }
    return this.#seen.add(next[least]!, next[least + 1]!, next[least + 2]!, next[least + 3]!);
  }
}

function isCollision(a: VoteThing, b: VoteThing): boolean {
  return a.instance === b.instance && a.epoch === b.epoch && a.vote.kind === "fast" && b.vote.kind === "fast" &&
    a.vote.ballot.join() === b.vote.ballot.join() && a.vote.value.id !== b.vote.value.id;
}

function nameOf({ ballot, kind, value }: Vote): readonly Sometimes[] {
  if (kind === "fast") return ["open"];
  if (ballot[2] === 1) return ["recovered"];
  return /\/v\/|^[xyz]$/.test(value.id) && ballot[0] > 0 ? ["classic", "carried"] : ["classic"];
}

/** What the search did not see of what it is there for. */
export function unseen<T extends string>(
  plan: { readonly sometimes: readonly T[] },
  { sometimes }: Verdict,
): readonly T[] {
  return plan.sometimes.filter((name) => (sometimes[name] ?? 0) === 0);
}
