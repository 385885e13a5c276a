/**
 * First come, first served, and nobody left waiting for what is free: over the decided states of each key, in the order
 * of their instances. The order is that of the decided enqueueing; clients and clocks have no say in it.
 */

/** One decided state, S(instance − 1). */
export type QueueState = {
  readonly instance: number;
  /** Ids of those who wait, first come first. */
  readonly waiting: readonly string[];
  /** Ids of those who hold it; one that waited keeps its id. */
  readonly holding: readonly string[];
  /** Nobody is to get it for a while. */
  readonly cooling: boolean;
};

export class QueueOrder {
  readonly #newest = new Map<string, QueueState>();
  readonly #faults = new Set<string>();
  /** Grants out of a queue. */
  handOvers = 0;

  faults(): readonly string[] {
    return [...this.#faults];
  }

  seen(key: string, state: QueueState): void {
    const before = this.#newest.get(key);
    if (before !== undefined && before.instance >= state.instance) return;
    this.#newest.set(key, state);
    const where = `${key}/${state.instance}`;
    if (state.waiting.length > 0 && state.holding.length === 0 && !state.cooling) {
      this.#faults.add(`${where}: it is free, and ${state.waiting} still wait`);
    }
    if (before !== undefined) this.#compare(where, before, state);
  }

  #compare(where: string, before: QueueState, after: QueueState): void {
    const stayed = before.waiting.filter((id) => after.waiting.includes(id));
    if (stayed.some((id, i) => after.waiting[i] !== id)) {
      this.#faults.add(`${where}: ${before.waiting} waited in this order, now ${after.waiting}`);
    }
    for (const [i, id] of before.waiting.entries()) {
      if (!after.holding.includes(id)) continue;
      this.handOvers++;
      const passed = before.waiting.slice(0, i).filter((other) => after.waiting.includes(other));
      if (passed.length > 0) this.#faults.add(`${where}: ${id} was served before ${passed}, who came first`);
    }
  }
}
