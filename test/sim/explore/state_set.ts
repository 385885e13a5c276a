/** A set of 128-bit hashes: four 32-bit numbers a state, open addressing, nothing else kept. */

/** Two of 20 million random hashes of 128 bits are equal with a chance of 1 in 10²⁴. */
const LANES = 4;
const LOAD_MAX = 0.7;

export class StateSet {
  #table: Int32Array<ArrayBuffer>;
  #slots: number;
  #size = 0;

  /** @param slots to begin with, a power of two; doubles as it fills */
  constructor(slots = 1 << 16) {
    this.#slots = slots;
    this.#table = new Int32Array(slots * LANES);
  }

  get size(): number {
    return this.#size;
  }

  /** True if it was not there. All zeros stand for an empty slot, so that one hash is taken for another. */
  add(a: number, b: number, c: number, d: number): boolean {
    if ((a | b | c | d) === 0) d = 1;
    if (!this.#place(a, b, c, d)) return false;
    if (++this.#size > this.#slots * LOAD_MAX) this.#grow();
    return true;
  }

  #place(a: number, b: number, c: number, d: number): boolean {
    const table = this.#table;
    const mask = this.#slots - 1;
    for (let slot = a & mask;; slot = (slot + 1) & mask) {
      const at = slot * LANES;
      const [w, x, y, z] = [table[at]!, table[at + 1]!, table[at + 2]!, table[at + 3]!];
      if (w === a && x === b && y === c && z === d) return false;
      if ((w | x | y | z) !== 0) continue;
      table[at] = a;
      table[at + 1] = b;
      table[at + 2] = c;
      table[at + 3] = d;
      return true;
    }
  }

  #grow(): void {
    const old = this.#table;
    this.#slots *= 2;
    this.#table = new Int32Array(this.#slots * LANES);
    for (let at = 0; at < old.length; at += LANES) {
      const [a, b, c, d] = [old[at]!, old[at + 1]!, old[at + 2]!, old[at + 3]!];
      if ((a | b | c | d) !== 0) this.#place(a, b, c, d);
    }
  }
}
