/** A command as the leader of a process group of its own, so that all it starts can be ended with it. */
import process from "node:process";
import { CommandError, oneLine } from "./report.ts";

/** As shells tell it: it is there and cannot be run; it is not there. */
const EXIT_NOT_EXECUTABLE = 126;
const EXIT_NOT_FOUND = 127;

/** The command could not be started; `code` is what a shell would exit with. */
export class StartError extends CommandError {
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

export class ChildGroup {
  readonly pid: number;
  /** Its exit code once its leader has ended; 128 and the number of the signal that ended it. */
  readonly ended: Promise<number>;

  /** Throws StartError. */
  constructor([file = "", ...args]: readonly string[], env: Readonly<Record<string, string>>) {
    try {
      const stdio = { stdin: "inherit", stdout: "inherit", stderr: "inherit" } as const;
      const child = new Deno.Command(file, { args, env, detached: true, ...stdio }).spawn();
      this.pid = child.pid;
      this.ended = child.status.then(({ code }) => code);
    } catch (error) {
      const code = error instanceof Deno.errors.NotFound ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
      throw new StartError(code, `cannot start ${file}: ${oneLine(error)}`);
    }
  }

  /** To all of the group; nothing if it is gone. */
  signal(signal: Deno.Signal): void {
    try {
      Deno.kill(-this.pid, signal);
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
