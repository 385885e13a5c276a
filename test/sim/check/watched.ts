/**
 * Checks what one watcher of one name was told, against what disks have committed of it by the end: revisions grow, no
 * state is invented, and each is of its own revision. What a reader concludes from votes alone, before any disk has moved
 * on, is decided and may be told. Independent of the code it checks: it knows only numbers and what is shown.
 */
export class Watched {
  readonly #name: string;
  /** What a reader can see of the name, by revision. */
  readonly #committed = new Map<bigint, string>();
  readonly #faults: string[] = [];
  readonly #told: { readonly revision: bigint; readonly shown: string }[] = [];
  #newest = 0n;

  /** @param unused what is shown of a name nobody has used */
  constructor(name: string, unused: string) {
    this.#name = name;
    this.#committed.set(0n, unused);
  }

  faults(): readonly string[] {
    const invented = this.#told.flatMap(({ revision, shown }) => {
      const committed = this.#committed.get(revision);
      if (committed === shown) return [];
      return [`${this.#name}: was told ${shown} at revision ${revision}, where disks have ${committed ?? "nothing"}`];
    });
    return [...this.#faults, ...invented];
  }

  /** Told last, or null. */
  get revision(): bigint | null {
    return this.#told.at(-1)?.revision ?? null;
  }

  /** Whether there is nothing left to tell. */
  get isUpToDate(): boolean {
    return this.revision === this.#newest;
  }

  get events(): number {
    return this.#told.length;
  }

  /** A disk has committed this. */
  committed(revision: bigint, shown: string): void {
    const known = this.#committed.get(revision);
    if (known !== undefined && known !== shown) {
      this.#fault(`revision ${revision} shows ${known} on one disk and ${shown} on another`);
    }
    this.#committed.set(revision, known ?? shown);
    if (revision > this.#newest) this.#newest = revision;
  }

  told(revision: bigint, shown: string): void {
    const before = this.revision;
    if (before !== null && revision <= before) this.#fault(`revision ${revision} was told after ${before}`);
    this.#told.push({ revision, shown });
  }

  #fault(what: string): void {
    this.#faults.push(`${this.#name}: ${what}`);
  }
}
