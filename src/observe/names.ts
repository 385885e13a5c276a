/** Short names for a chart, by first appearance, so that two runs that do the same read the same. */

/** Values are V, W, X, Y, Z, V2, …; commands c1, c2, …; the owner of a ballot loses its nonce. */
export class Names {
  readonly #values = new Map<string, string>();
  readonly #commands = new Map<string, string>();
  /** Owners by instance, number and node: of two attempts the later gets a prime. */
  readonly #attempts = new Map<string, string[]>();

  value(id: string): string {
    const count = this.#values.size;
    const round = Math.floor(count / 5);
    return named(this.#values, id, () => `${"VWXYZ"[count % 5]}${round === 0 ? "" : round + 1}`);
  }

  command(id: string): string {
    return named(this.#commands, id, () => `c${this.#commands.size + 1}`);
  }

  ballot(text: string, instance: number): string {
    const [n = "", owner = "", step = ""] = text.split(".");
    const node = owner.split("/")[0]!;
    const place = `${instance} ${n}.${node}`;
    const attempts = this.#attempts.get(place) ?? [];
    if (!attempts.includes(owner)) this.#attempts.set(place, [...attempts, owner]);
    return `${n}.${node}${"'".repeat(this.#attempts.get(place)!.indexOf(owner))}.${step}`;
  }
}

function named(known: Map<string, string>, id: string, make: () => string): string {
  const old = known.get(id);
  if (old !== undefined) return old;
  const made = make();
  known.set(id, made);
  return made;
}
