/** An invariant of the program does not hold: a bug or corrupt data, never bad input. */
export class InvariantError extends Error {
  override name = "InvariantError";
}

/** Invariants are checked in production too: a node that has lost one must not vote. */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new InvariantError(what);
}

/** The end of an exhaustive `switch`: the compiler proves it is not reached. */
export function unreachable(value: never): never {
  throw new InvariantError(`not a case: ${JSON.stringify(value)}`);
}
