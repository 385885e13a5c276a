/** A map of bounded size: of more than that, what was set longest ago is forgotten. */
export class Remembered<V> {
  /** Oldest first. */
  readonly #of = new Map<string, V>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get(key: string): V | undefined {
    return this.#of.get(key);
  }

  delete(key: string): void {
    this.#of.delete(key);
  }

  values(): Iterable<V> {
    return this.#of.values();
  }

  set(key: string, value: V): void {
    this.#of.delete(key);
    this.#of.set(key, value);
    if (this.#of.size <= this.#max) return;
    for (const oldest of this.#of.keys()) return void this.#of.delete(oldest);
  }
}
