/** `deploy.ts` as a hosting platform runs it: a process of its own, all settings in its environment. */
import { sha256Hex } from "../../src/auth/digest.ts";
import { eachLine } from "../../src/cli/lines.ts";
import { call, type Reply } from "./real_cluster.ts";

const ROOT = new URL("../../", import.meta.url);
const TRIES = 2_400;

/** Bears everything, and can make a database a member's. */
export const OPERATOR = { Authorization: "Bearer operator" };
/** Bears locks only. */
export const USER = { Authorization: "Bearer user" };
const TOKENS = JSON.stringify([
  { subject: "operator", sha256: sha256Hex("operator"), scopes: ["*:read,write:*", "admin:*"] },
  { subject: "user", sha256: sha256Hex("user"), scopes: ["lock:read,write:*"] },
]);

export type AppOptions = {
  /** `run`: the file serves itself. `serve`: the runtime serves its default export. */
  readonly by: "run" | "serve";
  readonly port: number;
  readonly env: Readonly<Record<string, string>>;
  /** Code that runs in the process before the app is imported, as a platform's own would. Default: the app is what runs. */
  readonly before?: string;
};

export class HostedApp {
  readonly url: string;
  readonly lines: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #folder: string;
  readonly #read: Promise<unknown>;

  private constructor(url: string, child: Deno.ChildProcess, folder: string) {
    this.url = url;
    this.#child = child;
    this.#folder = folder;
    const keep = (line: string) => void this.lines.push(line);
    this.#read = Promise.all([eachLine(child.stdout, keep), eachLine(child.stderr, keep)]);
  }

  /** Resolves once it answers anything. */
  static async start({ by, port, env, before }: AppOptions): Promise<HostedApp> {
    const folder = await Deno.makeTempDir({ prefix: "quorate-hosted-" });
    const deploy = new URL("deploy.ts", ROOT).href;
    const entry = `${folder}/entry.ts`;
    await Deno.writeTextFile(entry, `${before}\nexport default (await import(${JSON.stringify(deploy)})).default;\n`);
    const config = ["--config", new URL("deno.json", ROOT).pathname];
    const args = by === "serve" ? ["serve", "--host", "127.0.0.1", "--port", `${port}`] : ["run"];
    const child = new Deno.Command(Deno.execPath(), {
      args: [...args, "--quiet", "-A", ...config, before === undefined ? deploy : entry],
      cwd: ROOT,
      env: {
        QUORATE_PORT: `${port}`,
        QUORATE_PEER_SECRET: "a secret of this test only",
        QUORATE_TOKENS: TOKENS,
        ...env,
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const app = new HostedApp(`http://127.0.0.1:${port}`, child, folder);
    if (await app.comes((reply) => reply !== null)) return app;
    await app.kill();
    throw new Error(`nothing answers: ${app.lines.join("\n")}`);
  }

  ask(method: string, path: string, body?: unknown, headers: Record<string, string> = OPERATOR): Promise<Reply | null> {
    return call(this.url, method, path, body, headers);
  }

  readyz(): Promise<Reply | null> {
    return this.ask("GET", "/readyz");
  }

  /** Whether `/readyz` comes to answer so. */
  async comes(test: (reply: Reply | null) => boolean): Promise<boolean> {
    for (let i = 0; i < TRIES; i++) {
      if (test(await this.readyz())) return true;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return false;
  }

  /** As the platform asks for an end; the exit code. */
  async interrupt(): Promise<number> {
    this.#child.kill("SIGINT");
    return await this.#ended();
  }

  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.#ended();
  }

  async #ended(): Promise<number> {
    const { code } = await this.#child.status;
    await this.#read;
    await Deno.remove(this.#folder, { recursive: true }).catch(() => {});
    return code;
  }
}
