/**
 * Who is told `no-quorum` with the outcome `none` is promised that no vote was cast for the command: nothing of it may be
 * voted for before or after, until it is asked for again.
 */
export class NoneTold {
  readonly #voted = new Set<string>();
  readonly #told = new Set<string>();
  readonly #faults = new Set<string>();

  /** Somebody's vote for a value with this command is durable. */
  voted(command: string): void {
    this.#voted.add(command);
    if (this.#told.has(command)) this.#faults.add(`${command} was told that there is no vote for it, and got one`);
  }

  /** It is asked for, once more or for the first time. */
  asked(command: string): void {
    this.#told.delete(command);
  }

  /** Everybody who was asked for it has said so. */
  told(command: string): void {
    this.#told.add(command);
    if (this.#voted.has(command)) this.#faults.add(`${command} was told that there is no vote for it, and had one`);
  }

  faults(): readonly string[] {
    return [...this.#faults];
  }
}
