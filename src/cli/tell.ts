/** What a command says besides its result: one line each on stderr, as text or as JSON. */
import { QuorateError } from "../client/error.ts";
import { CommandError, EXIT_FAILED, EXIT_USAGE, oneLine, reportFailure, UsageError } from "./report.ts";

/** A hold that was lost: EX_IOERR of sysexits.h, which no shell and hardly a command uses. */
export const EXIT_LOST = 74;

export type Tell = (event: string, text: string, facts?: Readonly<Record<string, unknown>>) => void;

/** @param isJson each line is a document with `event` */
export function teller(verb: string, isJson: boolean): Tell {
  return (event, text, facts = {}) => {
    console.error(isJson ? jsonLine({ event, ...facts }) : `quorate ${verb}: ${text}`);
  };
}

/** A document in one line; integers that JSON has no room for as decimal strings. */
export function jsonLine(value: unknown): string {
  return jsonText(value);
}

/** A document as people read it, in several lines. */
export function jsonLines(value: unknown): string {
  return jsonText(value, 2);
}

function jsonText(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, (_, part) => typeof part === "bigint" ? `${part}` : part, indent);
  // JSON leaves these as they are, and there are terminals that obey them.
  return text.replace(/[\x7f-\x9f]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`);
}

/** Whether it has the name of a system's error, as ENOENT. */
function isOfSystem(error: unknown): boolean {
  return error instanceof Error && /^E[A-Z0-9]+$/.test(`${(error as { code?: unknown }).code}`);
}

/** Tells why a command ends, and returns its exit code. */
export function failed(verb: string, error: unknown, tell: Tell): number {
  if (error instanceof UsageError) {
    console.error(`quorate ${verb}: ${oneLine(error)}`);
    return EXIT_USAGE;
  }
  // A file that is not there, or a disk that is full, is no fault of this program.
  if (isOfSystem(error)) return reportFailure(verb, new CommandError(oneLine(error)));
  if (!(error instanceof QuorateError)) return reportFailure(verb, error);
  const { code, outcome, idempotencyKey } = error;
  tell("error", `${oneLine(error)} (${code})`, { code, detail: oneLine(error), outcome, idempotencyKey });
  return code === "invalid-request" ? EXIT_USAGE : EXIT_FAILED;
}
