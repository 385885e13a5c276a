/** nginx or Caddy with the settings of docs/proxy.md, where the program is there, and one that only listens where it is told. */
import { freePort } from "../free_ports.ts";
import { pause } from "./real_cluster.ts";

export type Program = "nginx" | "caddy";

/** Seconds of the page, so that a test need not wait as long. */
const TIMEOUT = "1s";
const READY_TRIES = 2_400;
const VARIABLE: Readonly<Record<Program, string>> = { nginx: "QUORATE_NGINX", caddy: "QUORATE_CADDY" };
const LANGUAGE: Readonly<Record<Program, string>> = { nginx: "nginx", caddy: "caddyfile" };

/** Path of the program on PATH or as its variable names it; null: it is not here. */
export function findProxy(program: Program): { readonly path: string | null; readonly looked: string } {
  const path = Deno.env.get(VARIABLE[program]) ?? program;
  const looked = `${program} on PATH or by ${VARIABLE[program]}`;
  try {
    const args = [program === "nginx" ? "-v" : "version"];
    const { success } = new Deno.Command(path, { args, stdout: "null", stderr: "null" }).outputSync();
    return { path: success ? path : null, looked };
  } catch {
    return { path: null, looked };
  }
}

/** Runs the program before the node at `backend`. */
export async function withProxy(
  program: Program,
  path: string,
  backend: string,
  run: (port: number) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-proxy-" });
  const port = freePort();
  const page = await Deno.readTextFile(new URL("../../docs/proxy.md", import.meta.url));
  const snippet = new RegExp(`^\`\`\`${LANGUAGE[program]}\\n(.*?)^\`\`\`$`, "ms").exec(page)?.[1];
  if (snippet === undefined) throw new Error(`docs/proxy.md has no settings of ${program}`);
  const settings = adapted[program](snippet, port, new URL(backend).host, folder);
  const file = `${folder}/settings`;
  await Deno.writeTextFile(file, settings);
  const args = program === "nginx" ? ["-p", folder, "-c", file] : ["run", "--config", file, "--adapter", "caddyfile"];
  const child = new Deno.Command(path, {
    args,
    env: { HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const said = new Response(child.stderr).text();
  try {
    await listening(port, child, said);
    await run(port);
  } finally {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await Promise.all([child.status, said]);
    await Deno.remove(folder, { recursive: true });
  }
}

/** The page's settings, but for where it listens, its certificate, and how long a test would have to wait. */
const adapted: Readonly<
  Record<Program, (snippet: string, port: number, backend: string, folder: string) => string>
> = {
  nginx: (snippet, port, backend, folder) => {
    const server = put(snippet, [
      ["listen 443 ssl;", `listen 127.0.0.1:${port};`],
      ["server 127.0.0.1:8701;", `server ${backend};`],
      ["client_header_timeout 10s;", `client_header_timeout ${TIMEOUT};`],
      ["client_body_timeout 10s;", `client_body_timeout ${TIMEOUT};`],
      ["keepalive_timeout 60s;", `keepalive_timeout ${TIMEOUT};`],
    ]).replace(/^ *ssl_.*\n/gm, "");
    const kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    const paths = kinds.map((kind) => `${kind}_temp_path ${folder}/${kind};`).join("\n");
    return `daemon off;\nmaster_process off;\npid ${folder}/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${paths}\n${server}}\n`;
  },
  caddy: (snippet, port, backend) =>
    put(snippet, [
      ["{\n", "{\n  admin off\n"],
      ["quorate.example {", `http://127.0.0.1:${port} {`],
      ["reverse_proxy 127.0.0.1:8701 {", `reverse_proxy ${backend} {`],
      ["read_header 10s", `read_header ${TIMEOUT}`],
      ["read_body 10s", `read_body ${TIMEOUT}`],
      ["idle 60s", `idle ${TIMEOUT}`],
    ]),
};

function put(text: string, changes: readonly (readonly [string, string])[]): string {
  return changes.reduce((changed, [from, to]) => {
    if (!changed.includes(from)) throw new Error(`docs/proxy.md does not say ${from}`);
    return changed.replace(from, to);
  }, text);
}

async function listening(port: number, child: Deno.ChildProcess, said: Promise<string>): Promise<void> {
  let hasEnded = false;
  child.status.then(() => hasEnded = true);
  for (let i = 0; i < READY_TRIES && !hasEnded; i++) {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => null);
    connection?.close();
    if (connection !== null) return;
    await pause(25);
  }
  throw new Error(hasEnded ? `the proxy ended: ${await said}` : "the proxy does not listen");
}
