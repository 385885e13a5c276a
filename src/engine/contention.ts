/**
 * How contended each key is, as far as this node saw (PROTOCOL.md §8). It decides which path is taken, never what is safe, so
 * it lives in memory, and nodes may differ in it.
 */
import { CALM_INSTANCES, CONTENTION_MAX_KEYS, HOT_COLLISIONS, HOT_INSTANCES } from "../limits.ts";
import { Remembered } from "../remembered.ts";

export type Heat =
  /** Collisions cost more than a coordinator in the way would. */
  | "hot"
  /** Nobody met anybody for long: a coordinator is only in the way. */
  | "calm"
  | "mixed";

type Seen = {
  /** The last instances at which two values met, oldest first. */
  collisions: readonly number[];
  /** Instances in a row, decided by this node, in which it had the commands of one node only. */
  alone: number;
};

export class Contention {
  readonly #keys = new Remembered<Seen>(CONTENTION_MAX_KEYS);

  /** Two values met at this instance. */
  collided(key: string, instance: number): void {
    const seen = this.#seen(key);
    if (seen.collisions.includes(instance)) return;
    seen.collisions = [...seen.collisions, instance].slice(-HOT_COLLISIONS);
    seen.alone = 0;
  }

  /** This node decided an instance with the commands of so many nodes. */
  decided(key: string, nodes: number): void {
    const seen = this.#seen(key);
    seen.alone = nodes > 1 ? 0 : seen.alone + 1;
  }

  /** Before `instance` is proposed. */
  heat(key: string, instance: number): Heat {
    const { collisions, alone } = this.#keys.get(key) ?? { collisions: [], alone: 0 };
    const recent = collisions.filter((collision) => collision >= instance - HOT_INSTANCES);
    if (recent.length >= HOT_COLLISIONS) return "hot";
    return alone >= CALM_INSTANCES ? "calm" : "mixed";
  }

  #seen(key: string): Seen {
    const seen = this.#keys.get(key) ?? { collisions: [], alone: 0 };
    this.#keys.set(key, seen);
    return seen;
  }
}
