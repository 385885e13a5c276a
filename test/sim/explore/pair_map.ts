/** A map by two numbers and something else, for what is looked up far more often than it is set. */

/** Above every number of a thing. */
const RANGE = 2 ** 26;

export class PairMap<K, V> {
  readonly #of = new Map<K, Map<number, V>>();

  get(key: K, a: number, b: number): V | undefined {
    return this.#of.get(key)?.get(a * RANGE + b);
  }

  set(key: K, a: number, b: number, value: V): void {
    let of = this.#of.get(key);
    if (of === undefined) this.#of.set(key, of = new Map());
    if (b >= RANGE - 1 || a >= RANGE) throw new RangeError("more things than have numbers");
    of.set(a * RANGE + b, value);
  }
}
