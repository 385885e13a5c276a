/** The section of docs/operating.md on three hosts, block by block, with folders and addresses of this machine as the hosts. */
import { assert, assertEquals } from "@std/assert";
import { eachLine } from "../../src/cli/lines.ts";
import { freePorts } from "../free_ports.ts";
import { putNpx } from "../page_session.ts";
import { blocks, ROOT, section } from "../pages.ts";
import { pause } from "./real_cluster.ts";

const TITLE = "Three hosts";
/** What stands in a checkout that is run there. */
const CHECKOUT = ["deno.json", "deno.lock", "deploy.ts", "src", "routes", "test"];
/** Its last word is HOST:FOLDER/, and what is before it are files. */
const SCP =
  `#!/bin/sh\nset -e\nfor last; do :; done\nwhile [ $# -gt 1 ]; do cp "$1" "$HOSTS/\${last%%:*}/\${last#*:}"; shift; done\n`;
const SHOWN_PORT = "8701";
/** 10.0.0.1 is 127.0.0.2: on loopback, and yet none of the names that nodes take for it. */
const FIRST = 2;
const TRIES = 1_200;
const EVERY_MS = 50;

export const IDS = ["a", "b", "c"] as const;
export type Id = typeof IDS[number];

/** The blocks as they stand in the page, by what they do. */
export function blocksOf(): Readonly<Record<"make" | "settings" | Id | "ask", string>> {
  const texts = blocks("docs/operating.md").filter(({ language }) => language === "sh");
  const inSection = section("docs/operating.md", TITLE);
  // What stands elsewhere would be run by nobody.
  assertEquals(texts.map(({ text }) => inSection.includes(text)), Array(6).fill(true));
  const [make, settings, a, b, c, ask] = texts.map(({ text }) => text) as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  return { make, settings, a, b, c, ask };
}

export class Host {
  readonly lines: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #heard: Promise<unknown>;
  #isOver = false;

  /** @param script what is typed in the checkout there */
  constructor(
    readonly id: Id,
    readonly url: string,
    readonly folder: string,
    script: string,
    env: Record<string, string>,
  ) {
    // A process group of its own, which can be ended as one.
    this.#child = spawn(script, folder, env, true);
    this.#heard = Promise.all(
      [this.#child.stdout, this.#child.stderr].map((stream) => eachLine(stream, (line) => this.lines.push(line))),
    );
    this.#child.status.then(() => this.#isOver = true);
  }

  async until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      if (await done()) return;
      assert(!this.#isOver, `${this.id} has ended:\n${this.lines.join("\n")}`);
      await pause(EVERY_MS);
    }
    throw new Error(`${this.id}: ${what} did not come:\n${this.lines.join("\n")}`);
  }

  /** What it says to SIGHUP. */
  async hangUp(): Promise<string> {
    const said = () => this.lines.filter((line) => line.includes("SIGHUP: "));
    const before = said().length;
    Deno.kill(this.#child.pid, "SIGHUP");
    await this.until("a word on SIGHUP", () => said().length > before);
    return said()[before]!;
  }

  async stop(): Promise<void> {
    try {
      Deno.kill(-this.#child.pid, "SIGTERM");
    } catch {
      // They have all ended by themselves.
    }
    await this.#child.status;
    await this.#heard;
  }
}

/** What the page's first block makes, by path below the folder of the hosts: keys take seconds, and no test needs its own. */
type Made = readonly { readonly path: string; readonly text: string; readonly mode: number }[];
let made: Made | null = null;

/** Checkouts of three hosts, and one of the machine on which all is made. */
export class ThreeHosts {
  readonly #folder: string;
  readonly #port: number;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.#port = port;
  }

  static async make(): Promise<ThreeHosts> {
    const folder = await Deno.makeTempDir({ prefix: "quorate-hosts-" });
    // The next is where one of them listens by mistake.
    const [port] = freePorts(2, IDS.map((_, i) => `127.0.0.${FIRST + i}`));
    const all = new ThreeHosts(folder, port!);
    await Deno.mkdir(`${folder}/bin`);
    await putNpx(`${folder}/bin/npx`);
    await Deno.writeTextFile(`${folder}/bin/scp`, SCP, { mode: 0o755 });
    for (const checkout of [all.here, ...IDS.map((id) => all.checkout(id))]) {
      await Deno.mkdir(checkout, { recursive: true });
      for (const name of CHECKOUT) await Deno.symlink(new URL(name, ROOT).pathname, `${checkout}/${name}`);
    }
    return all;
  }

  /** With what the page's first block makes: as it stands there for the first who asks, a copy of that for the others. */
  static async made(): Promise<ThreeHosts> {
    const all = await ThreeHosts.make();
    try {
      if (made === null) {
        await all.run(blocksOf().make);
        made = await filesIn(all.#folder);
      } else {
        for (const { path, text, mode } of made) {
          const file = `${all.#folder}/${path}`;
          await Deno.mkdir(file.slice(0, file.lastIndexOf("/")), { recursive: true });
          await Deno.writeTextFile(file, text, { mode });
        }
      }
      return all;
    } catch (error) {
      await all.remove();
      throw error;
    }
  }

  /** The checkout of the machine on which all is made. */
  get here(): string {
    return `${this.#folder}/here`;
  }

  get port(): number {
    return this.#port;
  }

  address(id: Id): string {
    return `127.0.0.${FIRST + IDS.indexOf(id)}`;
  }

  checkout(id: Id): string {
    return `${this.#folder}/hosts/${this.address(id)}/quorate`;
  }

  /** Runs what stands in the page, on the first machine; what it printed. Rejects unless it ends well. */
  async run(text: string): Promise<string> {
    const { success, stdout, stderr } = await spawn(this.#here(text), this.here, this.#env()).output();
    const decoder = new TextDecoder();
    assert(success, `${text}${decoder.decode(stderr)}`);
    return decoder.decode(stdout);
  }

  /** Types settings and command at the host. */
  start(id: Id, settings: string, command: string, port = this.#port): Host {
    const url = `https://${this.address(id)}:${this.#port}`;
    // The page says no port: its is the usual one.
    const env = { ...this.#env(), QUORATE_PORT: String(port) };
    // In the place of the shell, as in a unit of a service manager: what is signalled is the command.
    return new Host(id, url, this.checkout(id), this.#here(`${settings}exec ${command}`), env);
  }

  /** The stores of all nodes, which have ended. */
  async removeStores(): Promise<void> {
    for (const id of IDS) {
      for await (const { name } of Deno.readDir(this.checkout(id))) {
        if (name.startsWith(`${id}.sqlite`)) await Deno.remove(`${this.checkout(id)}/${name}`);
      }
    }
  }

  async remove(): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }

  #here(text: string): string {
    return text.replace(/\b10\.0\.0\.([1-3])\b/g, (_, host) => `127.0.0.${FIRST - 1 + Number(host)}`)
      .replaceAll(`:${SHOWN_PORT}`, `:${this.#port}`);
  }

  #env(): Record<string, string> {
    return { PATH: `${this.#folder}/bin:${Deno.env.get("PATH")}`, HOSTS: `${this.#folder}/hosts`, NO_COLOR: "1" };
  }
}

/** Files below a folder, links and what is behind them apart. */
async function filesIn(folder: string, below = ""): Promise<Made> {
  const files = [];
  for await (const { name, isDirectory, isFile } of Deno.readDir(`${folder}/${below}`)) {
    const path = `${below}${name}`;
    if (isDirectory) files.push(...await filesIn(folder, `${path}/`));
    if (!isFile) continue;
    const [text, { mode }] = [await Deno.readTextFile(`${folder}/${path}`), await Deno.stat(`${folder}/${path}`)];
    files.push({ path, text, mode: mode! & 0o777 });
  }
  return files;
}

function spawn(script: string, cwd: string, env: Record<string, string>, detached = false): Deno.ChildProcess {
  return new Deno.Command("sh", {
    args: ["-e", "-c", script],
    cwd,
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    detached,
  }).spawn();
}
