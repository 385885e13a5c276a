/** A command as the leader of a process group of its own, so that all it starts can be ended with it. */
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import process from "node:process";
import { CommandError, oneLine } from "./report.ts";
import type { SignalName } from "./signals.ts";

/** As shells tell it: it is there and cannot be run; it is not there. */
const EXIT_NOT_EXECUTABLE = 126;
const EXIT_NOT_FOUND = 127;

/** The command could not be started; `code` is what a shell would exit with. */
export class StartError extends CommandError {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export class ChildGroup {
  readonly pid: number;
  /** Its exit code once its leader has ended; 128 and the number of the signal that ended it. */
  readonly ended: Promise<number>;

  private constructor(pid: number, ended: Promise<number>) {
    this.pid = pid;
    this.ended = ended;
  }

  /** Resolves once it runs. Rejects with StartError. */
  static async start(command: readonly string[], env: Readonly<Record<string, string>>): Promise<ChildGroup> {
    const [file = "", ...args] = command;
    try {
      const child = spawn(file, args, { env: { ...process.env, ...env }, detached: true, stdio: "inherit" });
      const ended = endOf(child);
      await new Promise<void>((resolve, reject) => child.once("spawn", () => resolve()).once("error", reject));
      return new ChildGroup(child.pid!, ended);
    } catch (error) {
      const code = (error as { code?: unknown }).code === "ENOENT" ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
      throw new StartError(code, `cannot start ${file}: ${oneLine(error)}`);
    }
  }

  /** To all of the group; nothing if it is gone. */
  signal(signal: SignalName): void {
    try {
      process.kill(-this.pid, signal);
    } catch {
      // It has ended meanwhile.
    }
  }

  /** Some process of the group is left. */
  isThere(): boolean {
    try {
      return process.kill(-this.pid, 0);
    } catch {
      return false;
    }
  }
}

function endOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}
