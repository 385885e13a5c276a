/** Standard output of commands: what people read of it cannot steer their terminal, and whoever reads it may go away. */
import process from "node:process";
import { CommandError, EXIT_FAILED, oneLine } from "./report.ts";

/** As a shell tells of a process that SIGPIPE ended. The runtimes ignore that signal, and their consoles the error in its place. */
const EXIT_PIPE = 141;
/** What moves a cursor, breaks a line, or turns the direction of what follows. */
const STEERING = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

let isWatched = false;

/** One line. Ends the process where nobody reads it any more; throws CommandError where it cannot be written. */
export function print(line: string): void {
  printText(`${line}\n`);
}

/** As it is; else as `print`. */
export function printText(text: string): void {
  write(text, () => {});
}

/** Resolves once the bytes are handed over: a process that exits earlier would cut them short. Else as `print`. */
export function printBytes(bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => write(bytes, resolve));
}

/** A text of somebody's as people may be shown it; `--json` has it as it is. */
export function shown(text: string): string {
  return text.replace(STEERING, "\uFFFD");
}

function write(what: string | Uint8Array, done: () => void): void {
  if (!isWatched) process.stdout.on("error", end);
  isWatched = true;
  try {
    process.stdout.write(what, (error) => error ? end(error) : done());
  } catch (error) {
    throw new CommandError(cannotWrite(error));
  }
}

function end(error: Error): never {
  if ((error as { code?: unknown }).code === "EPIPE") process.exit(EXIT_PIPE);
  console.error(`quorate: ${cannotWrite(error)}`);
  process.exit(EXIT_FAILED);
}

function cannotWrite(error: unknown): string {
  return `cannot write standard output: ${oneLine(error)}`;
}
