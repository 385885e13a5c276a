/** The command line as a child process of a test: what it says, how it ends, and that it does end. */
import { NODE_RUN } from "../../src/cli/node_process.ts";
import { shellWord } from "../../src/cli/shell_word.ts";

const MAIN = `${import.meta.dirname}/../../src/cli/main.ts`;
/** Far above what anything here takes; a hang fails the test by it. */
const HANG_MS = 120_000;

export type Ended = { readonly code: number; readonly out: readonly string[]; readonly err: readonly string[] };

export class Command implements AsyncDisposable {
  readonly out: string[] = [];
  readonly err: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #ended: Promise<Ended>;
  readonly #terminal: boolean;
  #over = false;
  #woken: () => void = () => {};

  /**
   * @param terminal it has a pseudo-terminal, where what is typed goes and what it says on either stream comes from
   * @param hangMs after which it is killed
   */
  constructor(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    terminal = false,
    hangMs = HANG_MS,
  ) {
    const kept: Record<string, string> = {};
    for (const [name, value] of Object.entries(Deno.env.toObject())) {
      if (!name.startsWith("QUORATE_")) kept[name] = value;
    }
    this.#terminal = terminal;
    const words = [...NODE_RUN, "--allow-run", MAIN, ...args];
    const line = ["exec", Deno.execPath(), ...words].map(shellWord).join(" ");
    this.#child = new Deno.Command(terminal ? "script" : Deno.execPath(), {
      args: terminal ? ["--quiet", "--return", "--command", line, "/dev/null"] : words,
      env: { ...kept, NO_COLOR: "1", ...env },
      clearEnv: true,
      stdin: terminal ? "piped" : "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#ended = this.#watch(hangMs);
  }

  get pid(): number {
    return this.#child.pid;
  }

  async #watch(hangMs: number): Promise<Ended> {
    const killer = setTimeout(() => this.kill("SIGKILL"), hangMs);
    await Promise.all([this.#collect(this.#child.stdout, this.out), this.#collect(this.#child.stderr, this.err)]);
    const { code } = await this.#child.status;
    clearTimeout(killer);
    this.#over = true;
    this.#woken();
    return { code, out: this.out, err: this.err };
  }

  async #collect(stream: ReadableStream<Uint8Array>, lines: string[]): Promise<void> {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n");
      rest = parts.pop() ?? "";
      lines.push(...parts);
      this.#woken();
    }
    if (rest !== "") lines.push(rest);
  }

  /** The first line of either stream that matches. Rejects if the process ends without one. */
  async line(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      for (const line of [...this.out, ...this.err]) {
        const match = pattern.exec(line);
        if (match !== null) return match;
      }
      if (this.#over) throw new Error(`no line like ${pattern}:\n${[...this.out, ...this.err].join("\n")}`);
      await new Promise<void>((resolve) => this.#woken = resolve);
    }
  }

  /** On its terminal. */
  async type(text: string): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    writer.releaseLock();
  }

  kill(signal: Deno.Signal): void {
    if (!this.#over) this.#child.kill(signal);
  }

  ended(): Promise<Ended> {
    return this.#ended;
  }

  /** As Ctrl-C does: `start` then stops its nodes too, which a SIGKILL would leave behind. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#over) this.kill("SIGTERM");
    await this.#ended;
    if (this.#terminal) await this.#child.stdin.close().catch(() => {});
  }
}

/** Runs a command that ends by itself. */
export async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  await using command = new Command(args, env);
  return await command.ended();
}

/** Whether this machine has the program. */
export async function isInstalled(program: string): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args: ["--version"] }).output()).success;
  } catch {
    return false;
  }
}

/** A cluster of three whose other members are not there. A node need not listen where its URL says. */
export const ABSENT: Readonly<Record<string, string>> = {
  QUORATE_CLUSTER: "a=http://127.0.0.1:2,b=http://127.0.0.1:3,c=http://127.0.0.1:4",
  QUORATE_PEER_SECRET: "a-peer-secret-for-tests",
};

/** Resolves when a node answers that it is ready, false if it has not within some thousand questions. */
export async function becomesReady(url: string): Promise<boolean> {
  for (let attempt = 0; attempt < 4_800; attempt++) {
    const ready = await fetch(`${url}/readyz`).then(async (response) => {
      await response.body?.cancel();
      return response.ok;
    }, () => false);
    if (ready) return true;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return false;
}

/** A folder of its own for one test. */
export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
