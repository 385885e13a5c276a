/**
 * Checks what one watcher of one name was told, against what is decided by the end: what disks have committed of it, and
 * what the votes on them decide before any record moves on, which a reader may conclude and tell. Revisions grow, no state
 * is invented, and each is of its own revision. Independent of the code it checks: it knows only numbers and what is shown.
 */
export class Watched {
  readonly #name: string;
  /** What a reader can see of the name, by revision. */
  readonly #committed = new Map<bigint, string>();
  readonly #faults: string[] = [];
  readonly #told: { readonly revision: bigint; readonly shown: string }[] = [];
  #newest = 0n;
  #known = 0n;
  /** Told last since it began anew. */
  #last: bigint | null = null;

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
    return this.#last;
  }

  /** The highest that was ever told: it is decided. */
  get known(): bigint {
    return this.#known;
  }

  /** Whether there is nothing left to tell. */
  get isUpToDate(): boolean {
    return this.#told.length > 0 && this.#known === this.#newest;
  }

  /** Whoever tells it begins anew, and may be behind what was told before. */
  begin(): void {
    this.#last = null;
  }

  get events(): number {
    return this.#told.length;
  }

  /** A disk has committed this, or the votes on disks decide it. */
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
    this.#last = revision;
    this.read(revision, shown);
  }

  /**
   * What a read answered, which events may come to later.
   * @param knownBefore the highest revision that anybody had been told when it was asked for
   */
  read(revision: bigint, shown: string, knownBefore = 0n): void {
    if (revision < knownBefore) {
      this.#fault(`a read came to revision ${revision}, though ${knownBefore} was told before`);
    }
    if (revision > this.#known) this.#known = revision;
    this.#told.push({ revision, shown });
  }

  /** The answer to who asked for what is above a revision. */
  nothingAbove(revision: bigint, knownBefore: bigint): void {
    if (revision < knownBefore) this.#fault(`nothing above ${revision}, though ${knownBefore} was told before`);
  }

  #fault(what: string): void {
    this.#faults.push(`${this.#name}: ${what}`);
  }
}
