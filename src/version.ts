/** The release; between two of them the next one, and `-dev`. CHANGELOG.md tells what is in it. */
export const VERSION = "0.3.0-dev";

/** The format of rows that a store writes from now on; a row without a number is one of 0.1.0, whose format was 1. */
export const ROW_FORMAT = 5;
/** The format of the meta row of a store that has left the first epoch: to versions before it such a store is too new. */
export const SEALED_FORMAT = 6;

/** The language that nodes speak to each other; who names none speaks wire 1, as 0.1.0 does. */
export const WIRE_VERSION = 5;
/** Where requests and answers between nodes name it. */
export const WIRE_HEADER = "quorate-wire";

/** Null: who sent this header speaks the wire of this node; else what it speaks, in words. */
export function otherWire(header: string | null): string | null {
  if (header === `${WIRE_VERSION}`) return null;
  if (header === null) return "wire 1";
  return /^[1-9][0-9]{0,8}$/.test(header) ? `wire ${header}` : "a wire without a proper number";
}

/** What an operator has to do where two nodes speak different wires. */
export const WIRE_ADVICE = "stop all nodes, then start all of them with the same version";
