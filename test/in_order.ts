/** What runs side by side prints as if it ran one after another: the first that is not over as it comes, the others when it is their turn. */
export class InOrder {
  readonly #parts: { readonly lines: string[]; isOver: boolean }[];
  readonly #print: (line: string) => void;
  /** Whose turn it is. */
  #at = 0;

  constructor(parts: number, print: (line: string) => void) {
    this.#parts = Array.from({ length: parts }, () => ({ lines: [], isOver: false }));
    this.#print = print;
  }

  print(part: number, line: string): void {
    if (part === this.#at) this.#print(line);
    else this.#parts[part]!.lines.push(line);
  }

  end(part: number): void {
    this.#parts[part]!.isOver = true;
    while (this.#parts[this.#at]?.isOver) {
      this.#at++;
      for (const line of this.#parts[this.#at]?.lines.splice(0) ?? []) this.#print(line);
    }
  }
}
