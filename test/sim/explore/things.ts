/** What a state of a search is made of. Equal things get one number, so that a state is a row of numbers. */
import type {
  AcceptorMessage,
  AcceptorRecord,
  AcceptorReply,
  Ballot,
  CoordinatorState,
  FastBallot,
  NodeId,
  ProposerState,
  Snapshot,
  View,
  Vote,
} from "../../../src/paxos/mod.ts";
import { hash128 } from "./canonical.ts";
import { StateSet } from "./state_set.ts";

export type ProposerThing = {
  readonly kind: "proposer";
  readonly actor: number;
  readonly instance: number;
  /** Explicit ballots begun in this instance. */
  readonly prepared: number;
  readonly opening: Snapshot;
  /** The fast ballot it proposes in. */
  readonly fast: FastBallot | null;
  /** For a read that has to settle an instance: the state it answers with must at least open this one. */
  readonly mustOpen?: number;
  readonly state: ProposerState;
};
/** One recovery at a time, of the newest fast ballot it has heard of. */
export type CoordinatorThing = {
  readonly kind: "coordinator";
  readonly actor: number;
  readonly instance: number;
  readonly ballot: Ballot;
  readonly state: CoordinatorState;
};
/** A read that collects views; what was decided before its first must be in its answer. */
export type ReaderThing = {
  readonly kind: "reader";
  readonly actor: number;
  readonly isOver: boolean;
  readonly mustOpen: number;
  readonly views: readonly View[];
};
export type RequestThing = {
  readonly kind: "request";
  /** Who sent it, −1 for a client, who counts votes and nothing else. */
  readonly actor: number;
  /** With the instance: which of the actor's attempts waits for the answer; a later one does not hear it. */
  readonly attempt: number;
  readonly instance: number;
  readonly to: NodeId;
  readonly message: AcceptorMessage;
};
export type ReplyThing = {
  readonly kind: "reply";
  readonly actor: number;
  readonly attempt: number;
  readonly instance: number;
  readonly from: NodeId;
  readonly reply: AcceptorReply;
};
/**
 * Votes count for ever once sent, not only the last of an acceptor. The coordinator and the acceptors that pick may
 * hear of any of them at any time, whoever tells it: more than the messages of the shipped hosts could do.
 */
export type VoteThing = {
  readonly kind: "vote";
  readonly acceptor: NodeId;
  readonly instance: number;
  readonly vote: Vote;
  /** Where epochs follow each other: the one it was cast in, and what an import's vote builds on. */
  readonly epoch?: number;
  readonly base?: string;
};
export type RecordThing = {
  readonly kind: "record";
  readonly at: NodeId;
  readonly record: AcceptorRecord;
  /**
   * Nothing of it can be read any more: what is still here is for the search alone, which knows that no vote of it is taken back.
   * `voted` is the last instance in which it may have voted, as far as the others have told; once it is repaired, null.
   */
  readonly damage?: { readonly voted: number | null } | "repaired";
  /** What it is again if its node dies now: it has learned since in memory only. */
  readonly onDisk?: AcceptorRecord;
};
export type Thing =
  | RecordThing
  | ProposerThing
  | CoordinatorThing
  | ReaderThing
  /** For each instance the id of its decided value, by whoever concluded it first. */
  | { readonly kind: "decided"; readonly values: readonly (string | null)[] }
  | RequestThing
  | ReplyThing
  | VoteThing;

/** Numbers things by their texts; one text for each renaming of nodes under which states are to be one. */
export class Things<T = Thing> {
  readonly items: T[] = [];
  readonly #textsOf: (thing: T) => readonly string[];
  readonly #ids = new Map<string, number>();
  readonly #distinct = new StateSet();
  /** Four numbers of each thing, for each renaming: a state's hash is the sum over its things. */
  #hashes = new Int32Array(1 << 16);

  /** @param textsOf of equal length for every thing */
  constructor(textsOf: (thing: T) => readonly string[]) {
    this.#textsOf = textsOf;
  }

  get hashes(): Int32Array {
    return this.#hashes;
  }

  id(thing: T): number {
    const texts = this.#textsOf(thing);
    const known = this.#ids.get(texts[0]!);
    if (known !== undefined) return known;
    const id = this.items.length;
    this.items.push(thing);
    this.#ids.set(texts[0]!, id);
    const hashes = texts.map(hash128);
    if (!this.#distinct.add(...hashes[0]!)) throw new Error(`two things with one hash: ${texts[0]}`);
    const width = 4 * texts.length;
    if ((id + 1) * width > this.#hashes.length) {
      const grown = new Int32Array(this.#hashes.length * 2);
      grown.set(this.#hashes);
      this.#hashes = grown;
    }
    hashes.forEach((hash, i) => this.#hashes.set(hash, id * width + 4 * i));
    return id;
  }
}
