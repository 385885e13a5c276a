/** One real process of a node. */
import { NODE_MEMORY } from "../../src/cli/node_process.ts";

const ROOT = new URL("../../", import.meta.url);

/** As `deno task node` has it. */
export const SHIPPED_MAIN: readonly string[] = ["src/cli/main.ts", "node"];

export class NodeProcess {
  readonly #child: Deno.ChildProcess;
  /** What it said so far, on both of its streams. */
  readonly output: string[] = [];
  #hasEnded = false;

  /**
   * @param args of `deno task node`
   * @param through a command that the command line of the node is given to
   * @param main the program, from the project's root, and what it is told first
   */
  constructor(
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    through: readonly string[],
    main: readonly string[] = SHIPPED_MAIN,
  ) {
    const [command, ...before] = [...through, Deno.execPath()];
    this.#child = new Deno.Command(command!, {
      args: [...before, "run", "--quiet", NODE_MEMORY, "-A", ...main, ...args],
      cwd: ROOT,
      env: { QUORATE_PEER_SECRET: "a secret of this test only", ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#collect(this.#child.stdout);
    this.#collect(this.#child.stderr);
    this.#child.status.then(() => this.#hasEnded = true);
  }

  /** Killed, or by itself. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  get pid(): number {
    return this.#child.pid;
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(signal);
  }

  /** As an operator asks it to end; resolves with its exit code. */
  async end(): Promise<number> {
    this.#child.kill("SIGTERM");
    return (await this.#child.status).code;
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.#child.status;
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) this.output.push(text);
  }
}
