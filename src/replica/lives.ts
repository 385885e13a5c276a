/**
 * Which life of each member this node knows, and what it makes of marks (PROTOCOL.md §9): it keeps those of that life as
 * evidence, and takes nothing from a second one, whose store lacks votes that others count on.
 */
import type { NodeId } from "../paxos/ballot.ts";
import type { QuorumSystem } from "../paxos/quorum.ts";
import { type BallotStore, type Mark, NO_MARK, type Origin, SHARED_RUN } from "../ports.ts";

/**
 * No store of one process is ever at this boot: the mark of one that belongs to nobody, or is not confirmed yet. Nobody keeps
 * it. A confirmed shared store is at it for ever; of its marks only the incarnation says anything.
 */
export const UNCONFIRMED_BOOT = 0;

/** The incarnation of a member's store that is on record in this one; null: it has not met that member. Rejects with StoreError. */
export async function lifeOn(
  store: Pick<BallotStore, "identity" | "recall">,
  me: NodeId,
  id: NodeId,
): Promise<string | null> {
  return (id === me ? store.identity() : await store.recall(id))?.incarnation ?? null;
}

/** As `lifeOf` has them, of those members that it knows. */
export async function livesOf(
  ids: readonly NodeId[],
  lifeOf: (id: NodeId) => Promise<string | null>,
): Promise<Origin> {
  const lives = await Promise.all(ids.map(async (id) => ({ id, incarnation: await lifeOf(id) })));
  return lives.flatMap(({ id, incarnation }) => incarnation === null ? [] : [{ id, incarnation }]);
}

export class Lives {
  readonly #store: BallotStore;
  readonly #quorums: Pick<QuorumSystem, "isMember">;
  /** As last recalled: no store takes another life of a member for one that it has on record. */
  readonly #recalled = new Map<NodeId, string>();

  /** @param quorums whose members' words are counted */
  constructor(store: BallotStore, quorums: Pick<QuorumSystem, "isMember">) {
    this.#store = store;
    this.#quorums = quorums;
  }

  /** Keeps the mark of a peer; null, or why nothing that came with it may be taken. Rejects with StoreError. */
  async meet(from: NodeId, mark: Mark): Promise<string | null> {
    // A process without a store votes for nobody, and neither does a learner: whoever that is can do no harm.
    if (mark.incarnation === NO_MARK.incarnation) return null;
    const known = await this.#knownOf(from, mark);
    if (known !== null && known !== mark.incarnation) {
      return this.#quorums.isMember(from) ? `another life of ${from} speaks than the one that is known here` : null;
    }
    const speaks = mark.boot !== UNCONFIRMED_BOOT || mark.run === SHARED_RUN;
    // What a store that is nobody's yet remembers is gone when it is exchanged for another.
    if (speaks && this.#store.identity() !== null) this.#store.note(from, mark);
    return null;
  }

  async #knownOf(from: NodeId, mark: Mark): Promise<string | null> {
    if (this.#recalled.get(from) === mark.incarnation) return mark.incarnation;
    // Before it is refused the rows are asked: this process may have met a second life while another met the first.
    const incarnation = (await this.#store.recall(from))?.incarnation ?? null;
    if (incarnation !== null) this.#recalled.set(from, incarnation);
    return incarnation;
  }
}
