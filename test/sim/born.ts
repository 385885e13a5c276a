/** What an error says of the instance its command was born in, and of its outcome. */
import type { QuorateError } from "../../src/errors.ts";
import { PROBLEMS } from "../../src/http/problem.ts";

/** The instance to send with the next try, where an outcome that nobody knows came with one. */
export function bornIn({ facts }: QuorateError): number | undefined {
  const born = facts.more?.["born"];
  return typeof born === "number" ? born : undefined;
}

/** What the problem document of this error says of the write. */
export function outcomeIn({ code, facts }: QuorateError): "none" | "unknown" | undefined {
  return facts.outcome ?? PROBLEMS[code].outcome;
}

/** Who gave no born can never be too old; who gave one is told that nobody knows. Null: it was told so. */
export function forgottenFault(error: QuorateError, nth: number, hasBorn: boolean): string | null {
  const which = nth === 1 ? "on its first try" : `on try ${nth}`;
  if (!hasBorn) return `was called expired ${which}, without any born`;
  return outcomeIn(error) === "unknown" ? null : `was called expired ${which}, and not that its outcome is unknown`;
}
