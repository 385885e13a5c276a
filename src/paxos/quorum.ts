/**
 * The only code that compares counts of acceptors (PROTOCOL.md §2).
 *
 * Open fast quorums follow Lamport, *Fast Paxos* (2006), §3.1 (n > 2e + f); proposer-inclusive ones
 * Ryabinin, Gotsman, Sutra, *Revisiting Lower Bounds for Two-Step Consensus* (PODC 2025), n ≥ max(2e + f − 1, 2f + 1).
 */
import { assert } from "../assert.ts";
import { MEMBERS_MAX } from "../limits.ts";
import type { NodeId } from "./ballot.ts";

export type QuorumSizes = {
  /** Acceptors that may fail. */
  readonly f: number;
  /** Phase 1, classic and read quorums. */
  readonly classic: number;
  readonly openFast: number;
  readonly inclusiveFast: number;
  /** Others that must have a store of a member on record before it votes with it (PROTOCOL.md §9). */
  readonly witnesses: number;
};

export function quorumSizes(n: number): QuorumSizes {
  // Two acceptors survive no failure and would only add latency to one.
  assert(
    Number.isInteger(n) && n >= 1 && n !== 2 && n <= MEMBERS_MAX,
    `a cluster has 1 or 3 to ${MEMBERS_MAX} acceptors, not ${n}`,
  );
  const f = Math.floor((n - 1) / 2);
  const openE = Math.min(f, Math.floor((n - f - 1) / 2));
  const inclusiveE = Math.min(f, Math.floor((n + 1 - f) / 2));
  // One of the f stores that were lost is the member's own. Among the n - f of others that were not, the witnesses that are
  // left of its first life and those of a second must share one: 2 (w - (f - 1)) > n - f.
  const witnesses = f + Math.floor((n - f) / 2);
  return { f, classic: n - f, openFast: n - openE, inclusiveFast: n - inclusiveE, witnesses };
}

/** Answers questions about a set of acceptors; strangers in the set count for nothing. */
export class QuorumSystem {
  readonly members: readonly NodeId[];
  readonly sizes: QuorumSizes;

  constructor(members: readonly NodeId[]) {
    assert(new Set(members).size === members.length, "members are distinct");
    this.members = [...members].sort();
    this.sizes = quorumSizes(members.length);
  }

  isPhase1(acceptors: ReadonlySet<NodeId>): boolean {
    return this.#count(acceptors) >= this.sizes.classic;
  }

  isClassic(acceptors: ReadonlySet<NodeId>): boolean {
    return this.#count(acceptors) >= this.sizes.classic;
  }

  isOpenFast(acceptors: ReadonlySet<NodeId>): boolean {
    return this.#count(acceptors) >= this.sizes.openFast;
  }

  /** Only `proposer`, by R2, may conclude from such a quorum. */
  isInclusiveFast(acceptors: ReadonlySet<NodeId>, proposer: NodeId): boolean {
    return acceptors.has(proposer) && this.members.includes(proposer) &&
      this.#count(acceptors) >= this.sizes.inclusiveFast;
  }

  /** Whether these others are enough to remember that `member` has this store and no other. */
  areWitnesses(others: ReadonlySet<NodeId>, member: NodeId): boolean {
    return this.#count(others) - (others.has(member) ? 1 : 0) >= this.sizes.witnesses;
  }

  isMember(node: NodeId): boolean {
    return this.members.includes(node);
  }

  #count(acceptors: ReadonlySet<NodeId>): number {
    let count = 0;
    for (const member of this.members) if (acceptors.has(member)) count++;
    return count;
  }
}
