type Seen = { readonly shown: string; readonly waiting: number };

/**
 * Checks what one watcher of one name was told, against what is decided by the end: what disks have committed of it, and
 * what the votes on them decide before any record moves on, which a reader may conclude and tell. Revisions grow, no state
 * is invented, and each is of its own revision. How many wait is what a node's clock makes of the state: places that have
 * lapsed are counted no more, so it may be fewer, and never more. Independent of the code it checks: it knows only numbers and what is shown.
 */
export class Watched {
  readonly #name: string;
  /** What a reader can see of the name, by revision. */
  readonly #committed = new Map<bigint, Seen>();
  readonly #faults: string[] = [];
  readonly #told: (Seen & { readonly revision: bigint })[] = [];
  #newest = 0n;
  #known = 0n;
  /** Told last since it began anew. */
  #last: bigint | null = null;

  /** @param unused what is shown of a name nobody has used */
  constructor(name: string, unused: string) {
    this.#name = name;
    this.#committed.set(0n, { shown: unused, waiting: 0 });
  }

  faults(): readonly string[] {
    const invented = this.#told.flatMap(({ revision, ...told }) => {
      const committed = this.#committed.get(revision);
      if (committed?.shown === told.shown && told.waiting <= committed.waiting) return [];
      const there = committed === undefined ? "nothing" : textOf(committed);
      return [`${this.#name}: was told ${textOf(told)} at revision ${revision}, where disks have ${there}`];
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
  committed(revision: bigint, shown: string, waiting = 0): void {
    const seen = { shown, waiting };
    const known = this.#committed.get(revision);
    if (known !== undefined && textOf(known) !== textOf(seen)) {
      this.#fault(`revision ${revision} shows ${textOf(known)} on one disk and ${textOf(seen)} on another`);
    }
    this.#committed.set(revision, known ?? seen);
    if (revision > this.#newest) this.#newest = revision;
  }

  told(revision: bigint, shown: string, waiting = 0): void {
    const before = this.revision;
    if (before !== null && revision <= before) this.#fault(`revision ${revision} was told after ${before}`);
    this.#last = revision;
    this.read(revision, shown, 0n, waiting);
  }

  /**
   * What a read answered, which events may come to later.
   * @param knownBefore the highest revision that anybody had been told when it was asked for
   */
  read(revision: bigint, shown: string, knownBefore = 0n, waiting = 0): void {
    if (revision < knownBefore) {
      this.#fault(`a read came to revision ${revision}, though ${knownBefore} was told before`);
    }
    if (revision > this.#known) this.#known = revision;
    this.#told.push({ revision, shown, waiting });
  }

  /** The answer to who asked for what is above a revision. */
  nothingAbove(revision: bigint, knownBefore: bigint): void {
    if (revision < knownBefore) this.#fault(`nothing above ${revision}, though ${knownBefore} was told before`);
  }

  #fault(what: string): void {
    this.#faults.push(`${this.#name}: ${what}`);
  }
}

function textOf({ shown, waiting }: Seen): string {
  return waiting === 0 ? shown : `${shown}, ${waiting} waiting`;
}
