/** A program of test/client in a process of its own, in Deno or in Node from the packed tarball. */
import { install, versionOf } from "../package/installed.ts";

const FILES = ["test/client/stalled_holder.ts", "test/client/cut_off_holder.ts"] as const;

export type Runtime = {
  readonly name: string;
  /** The program that evaluates `code`, which may import the files above by their names. */
  command(code: string): Promise<readonly string[]>;
};

export const DENO: Runtime = {
  name: "Deno",
  command: (code) => {
    const here = new URL("../client/", import.meta.url).href;
    return Promise.resolve([Deno.execPath(), "eval", "--no-lock", code.replaceAll('"./', `"${here}`)]);
  },
};

/** @param folder empty, and there as long as it is used; null: there is no Node on PATH */
export async function nodeIn(folder: string): Promise<Runtime | null> {
  if (await versionOf("node") === null) return null;
  await install(folder, ...FILES);
  let programs = 0;
  return {
    name: "Node",
    async command(code) {
      const file = `${folder}/run${programs++}.js`;
      await Deno.writeTextFile(file, code.replaceAll('.ts"', '.js"'));
      return ["node", file];
    },
  };
}

/** The program: what this expression comes to, as a line of JSON; then it ends. */
function programOf(file: string, call: string): string {
  return `import { ${call.slice(0, call.indexOf("("))} } from "./${file}";
console.log(JSON.stringify(await ${call}));
globalThis.Deno?.exit(0) ?? process.exit(0);`;
}

export class HolderProcess {
  readonly #child: Deno.ChildProcess;
  readonly #lines: string[] = [];
  #wake = () => {};
  #isOver = false;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    void this.#read();
  }

  /** @param call of a function that `file` of test/client exports, with its arguments as JSON */
  static async start(runtime: Runtime, file: string, call: string): Promise<HolderProcess> {
    const [program = "", ...args] = await runtime.command(programOf(file, call));
    return new HolderProcess(
      new Deno.Command(program, { args, stdin: "null", stdout: "piped", stderr: "inherit" }).spawn(),
    );
  }

  /** The prefix of the names that it holds by now. */
  async ready(): Promise<string> {
    return (await this.#line("ready ")).slice("ready ".length);
  }

  async result<T>(): Promise<T> {
    return JSON.parse(await this.#line("{"));
  }

  /** Nothing where it has ended by itself. */
  signal(signal: "SIGSTOP" | "SIGCONT" | "SIGKILL"): void {
    try {
      this.#child.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }

  async end(): Promise<void> {
    this.signal("SIGKILL");
    await this.#child.status;
  }

  async #line(start: string): Promise<string> {
    for (;;) {
      const found = this.#lines.find((line) => line.startsWith(start));
      if (found !== undefined) return found;
      if (this.#isOver) throw new Error(`it ended without "${start}…" and said ${JSON.stringify(this.#lines)}`);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async #read(): Promise<void> {
    let text = "";
    for await (const bytes of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      text += bytes;
      const lines = text.split("\n");
      text = lines.pop()!;
      this.#lines.push(...lines);
      this.#wake();
    }
    this.#isOver = true;
    this.#wake();
  }
}
