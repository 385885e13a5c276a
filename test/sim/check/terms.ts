/**
 * Checks that a term has one leader for ever: whoever is told who led it, in an answer, a read or an event, is told the
 * same. Independent of the code it checks: it knows only names.
 */
export class Terms {
  readonly #leaders = new Map<string, string>();
  readonly #faults: string[] = [];

  faults(): readonly string[] {
    return this.#faults;
  }

  told(election: string, term: string, candidate: string): void {
    const name = `${election} ${term}`;
    const first = this.#leaders.get(name) ?? candidate;
    this.#leaders.set(name, first);
    if (first !== candidate) {
      this.#faults.push(`${election}: term ${term} was ${first}'s, then ${candidate}'s`);
    }
  }
}
