/** The highest commit of each peer that this store has heard of (PROTOCOL.md §9). */
import type { NodeId } from "../paxos/ballot.ts";
import type { Mark } from "../ports.ts";

/** Peers remembered. Far more than members, so only peers long silent are forgotten and the row stays small. */
export const MARKS_MAX = 64;

export class Marks {
  readonly #of: Map<NodeId, Mark>;

  constructor(marks: Readonly<Record<NodeId, Mark>> = {}) {
    this.#of = new Map(Object.entries(marks));
  }

  /** True if this changed something. A new incarnation replaces the old one: it is another member. */
  note(peer: NodeId, mark: Mark): boolean {
    const known = this.#of.get(peer);
    if (known !== undefined && known.incarnation === mark.incarnation && !isHigher(mark, known)) return false;
    this.#of.delete(peer);
    this.#of.set(peer, { incarnation: mark.incarnation, boot: mark.boot, run: mark.run, seq: mark.seq });
    for (const oldest of this.#of.keys()) {
      if (this.#of.size <= MARKS_MAX) break;
      this.#of.delete(oldest);
    }
    return true;
  }

  all(): Record<NodeId, Mark> {
    return Object.fromEntries(this.#of);
  }
}

/** seq grows through reopening too; boot decides only where seq is equal. */
export function isHigher(mark: Mark, known: Mark): boolean {
  return mark.seq !== known.seq ? mark.seq > known.seq : mark.boot > known.boot;
}
