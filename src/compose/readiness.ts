/** Whether a node can serve, check by check: what it finds in itself at once, and whether a quorum of members answers now. */
import type { NodeId } from "../paxos/ballot.ts";
import type { QuorumSystem } from "../paxos/quorum.ts";
import type { Clock } from "../ports.ts";
import type { Check } from "../service/service.ts";

/** Where readiness is polled, peers are asked no more often than this. */
const READINESS_MS = 200;

export type ReadinessParts = {
  readonly me: NodeId;
  readonly votes: boolean;
  readonly quorums: QuorumSystem;
  readonly clock: Clock;
  /** What is wrong with the store as a whole, or null. */
  readonly storeFault: () => string | null;
  /** Why this node may not vote though it is a member, or may not learn, or null. */
  readonly gateFault: () => string | null;
  /** Members, but this node, that vote: each is asked now. */
  readonly voting: () => Promise<ReadonlySet<NodeId>>;
};

export class Readiness {
  readonly #parts: ReadinessParts;
  #asked: { readonly atMs: number; readonly voting: Promise<ReadonlySet<NodeId>> } | null = null;

  constructor(parts: ReadinessParts) {
    this.#parts = parts;
  }

  /** The first check that fails, or null: ready. Where this node itself is the reason no member is asked. */
  async failing(): Promise<Check | null> {
    const own = this.#own().find(({ fault }) => fault !== null);
    if (own !== undefined) return own;
    const quorum = await this.#quorum();
    return quorum.fault === null ? null : quorum;
  }

  async checks(): Promise<readonly Check[]> {
    const quorum = await this.#quorum();
    return [...this.#own(), quorum];
  }

  #own(): readonly Check[] {
    const { storeFault, gateFault } = this.#parts;
    return [{ name: "store", fault: storeFault() }, { name: "membership", fault: gateFault() }];
  }

  async #quorum(): Promise<Check> {
    const now = this.#parts.clock.now();
    if (this.#asked === null || now - this.#asked.atMs > READINESS_MS) {
      this.#asked = { atMs: now, voting: this.#parts.voting() };
    }
    return { name: "quorum", fault: this.#shortage(await this.#asked.voting) };
  }

  #shortage(voting: ReadonlySet<NodeId>): string | null {
    const { me, votes, quorums } = this.#parts;
    const isVoting = votes && this.#own().every(({ fault }) => fault === null);
    // A node that does not vote is no member: it counts for nothing here either.
    if (quorums.isClassic(new Set(isVoting ? [me, ...voting] : voting))) return null;
    const heard = voting.size + (isVoting ? 1 : 0);
    return `only ${heard} of ${quorums.members.length} members answer, ${quorums.sizes.classic} are needed`;
  }
}
