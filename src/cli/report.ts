/** What the commands say when they cannot go on: one line, and a number for the shell. */
import { QuorateError } from "../errors.ts";
import { StoreError } from "../ports.ts";

/** Exit codes: a flag or variable is wrong; what they ask for cannot be done here. */
export const EXIT_USAGE = 2;
export const EXIT_FAILED = 1;

/** Something a person can mend. Its message is the line they are shown. */
export class CommandError extends Error {
  override name = "CommandError";
}

/** The command line itself is wrong. */
export class UsageError extends CommandError {
  override name = "UsageError";
}

/** A message in one line, whatever it quotes; no control character of it reaches a terminal. */
export function oneLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/[\s\p{Cc}]+/gu, " ").trim();
}

/** Tells on stderr why a command ends, and returns its exit code. */
export function reportFailure(command: string, error: unknown): number {
  const expected = error instanceof QuorateError || error instanceof StoreError || error instanceof CommandError;
  // Anything else is a fault of this program, and then where it happened is worth more than brevity.
  const fault = expected || !(error instanceof Error) ? null : error.stack;
  console.error(`quorate ${command}: ${fault ?? oneLine(error)}`);
  // A field is a flag or variable. Stores refuse with the same code, but then the command line may well be right.
  return error instanceof QuorateError && error.facts.field !== undefined ? EXIT_USAGE : EXIT_FAILED;
}
