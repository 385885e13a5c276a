/** States that wait to be expanded, first in first out, and how each state was reached: typed arrays, in pieces. */

/** Numbers of the records, of the actors and of what is decided; then those of the messages that can still matter. */
export type Row = { readonly parts: readonly number[]; readonly sent: readonly number[] };

const PIECE = 1 << 20;

/** A queue of rows as bytes, seven bits a byte; a piece is freed once it was read. */
export class Frontier {
  #pieces: Uint8Array<ArrayBuffer>[] = [];
  #writeAt = PIECE;
  #readAt = 0;
  #rows = 0;

  get size(): number {
    return this.#rows;
  }

  push({ parts, sent }: Row): void {
    this.#write(parts.length);
    for (const id of parts) this.#write(id);
    this.#write(sent.length);
    for (const id of sent) this.#write(id);
    this.#rows++;
  }

  shift(): Row {
    this.#rows--;
    const parts = this.#list();
    return { parts, sent: this.#list() };
  }

  #list(): number[] {
    const list: number[] = [];
    for (let left = this.#read(); left > 0; left--) list.push(this.#read());
    return list;
  }

  #write(value: number): void {
    for (; value > 0x7f; value >>>= 7) this.#byte(value & 0x7f | 0x80);
    this.#byte(value);
  }

  #byte(byte: number): void {
    if (this.#writeAt === PIECE) {
      this.#pieces.push(new Uint8Array(PIECE));
      this.#writeAt = 0;
    }
    this.#pieces[this.#pieces.length - 1]![this.#writeAt++] = byte;
  }

  #read(): number {
    let value = 0;
    for (let shift = 0;; shift += 7) {
      if (this.#readAt === PIECE) {
        this.#pieces.shift();
        this.#readAt = 0;
      }
      const byte = this.#pieces[0]![this.#readAt++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }
}

/** For each state its parent and which of the parent's actions led to it: enough to find the way again. */
export class Ancestry {
  readonly #parents: Uint32Array<ArrayBuffer>[] = [];
  readonly #actions: Uint16Array<ArrayBuffer>[] = [];
  #size = 0;

  add(parent: number, action: number): void {
    const at = this.#size++ % PIECE;
    if (at === 0) {
      this.#parents.push(new Uint32Array(PIECE));
      this.#actions.push(new Uint16Array(PIECE));
    }
    this.#parents.at(-1)![at] = parent;
    this.#actions.at(-1)![at] = action;
  }

  /** The actions that lead from the first state to this one. */
  pathTo(state: number): readonly number[] {
    const path: number[] = [];
    for (let at = state; at > 0;) {
      const piece = Math.floor(at / PIECE);
      path.push(this.#actions[piece]![at % PIECE]!);
      at = this.#parents[piece]![at % PIECE]!;
    }
    return path.reverse();
  }
}
