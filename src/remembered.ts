/** So many of the oldest go at once, in parts of the size: to find the oldest is to pass all that went before. */
const FORGOTTEN_AT_ONCE = 64;

/** A map of bounded size: where there is more, some of what was set longest ago is forgotten. */
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
    let left = Math.ceil(this.#max / FORGOTTEN_AT_ONCE);
    for (const oldest of this.#of.keys()) {
      if (left-- === 0) return;
      this.#of.delete(oldest);
    }
  }
}
