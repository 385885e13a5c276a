/**
 * `deno task pack [FILE]`: the npm package of this checkout, as a tarball. `deno pack` makes the JavaScript and the types;
 * this adds the command line and what a registry shows.
 */
import { argumentsOf, refuse } from "../options.ts";

const ROOT = new URL("../../", import.meta.url);
/** What no entry point reaches stays out: types and JavaScript alone, and what people read. */
const KEPT = /^(?:(?:src|routes)\/.*|deploy)\.(?:js|d\.ts)$|^(?:package\.json|README\.md|CHANGELOG\.md|LICENSE)$/;
const BIN = "bin/quorate.js";
const BIN_TEXT = `#!/usr/bin/env node
import process from "node:process";
import { main } from "../src/cli/main.js";

await main(process.argv.slice(2));
`;
const NODE_OLDEST = ">=20";

type Config = {
  readonly name: string;
  readonly version: string;
  readonly exports: Readonly<Record<string, string>>;
  readonly imports: Readonly<Record<string, string>>;
};

export type PackOptions = {
  /** False: no `.d.ts`, which takes a twentieth of the time. */
  readonly types: boolean;
};

/** Writes the tarball to `file`. Rejects if a tool fails, or with `types` if an entry point would have none. */
export async function pack(file: string, { types }: PackOptions): Promise<void> {
  const config = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT))) as Config;
  const folder = await Deno.makeTempDir({ prefix: "quorate-pack-" });
  try {
    const made = `${folder}/made.tgz`;
    const how = types ? [] : ["--allow-slow-types"];
    await run(Deno.execPath(), "pack", "--quiet", "--no-source-maps", "--allow-dirty", ...how, "-o", made);
    await run("tar", "-xzf", made, "-C", folder);
    const root = `${folder}/package`;
    await prune(root, "");
    await Deno.mkdir(`${root}/bin`);
    await Deno.writeTextFile(`${root}/${BIN}`, BIN_TEXT, { mode: 0o755 });
    await Deno.writeTextFile(`${root}/package.json`, JSON.stringify(manifest(config, types), null, 2) + "\n");
    if (types) {
      for (const entry of Object.values(config.exports)) await Deno.stat(`${root}/${built(entry, ".d.ts")}`);
    }
    await run("tar", "-czf", await absolute(file), "-C", folder, "package");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function manifest({ name, version, exports, imports }: Config, types: boolean) {
  const versionOf = (bare: string) => imports[bare]!.slice(imports[bare]!.lastIndexOf("@") + 1);
  const ranges = (...names: readonly string[]) => Object.fromEntries(names.map((one) => [one, `^${versionOf(one)}`]));
  // Only ./hono and ./testing need them: whoever wants a client is given nothing else.
  const peers = ranges("hono", "@hono/zod-openapi", "zod");
  return {
    name,
    version,
    description: "Locks, elections, semaphores, registers and sessions of a Quorate cluster",
    license: "MIT",
    type: "module",
    engines: { node: NODE_OLDEST },
    bin: { quorate: BIN },
    exports: Object.fromEntries(
      Object.entries(exports).map(([path, entry]) => [path, {
        ...(types && { types: `./${built(entry, ".d.ts")}` }),
        default: `./${built(entry, ".js")}`,
      }]),
    ),
    dependencies: ranges("commander"),
    peerDependencies: peers,
    peerDependenciesMeta: Object.fromEntries(Object.keys(peers).map((one) => [one, { optional: true }])),
  };
}

/** `./src/mod.ts` as what is built of it. */
function built(entry: string, ending: string): string {
  return entry.slice("./".length).replace(/\.ts$/, ending);
}

async function prune(root: string, below: string): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(`${root}/${below}`)) {
    const path = below + name;
    if (isDirectory) await prune(root, `${path}/`);
    else if (!KEPT.test(path)) await Deno.remove(`${root}/${path}`);
  }
}

async function absolute(file: string): Promise<string> {
  const [, folder = ".", name] = /^(?:(.*)\/)?([^/]+)$/.exec(file)!;
  return `${await Deno.realPath(folder === "" ? "/" : folder)}/${name}`;
}

async function run(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, cwd: ROOT, stdout: "null", stderr: "piped" })
    .output();
  if (!success) throw new Error(`${program} ${args[0]}: ${new TextDecoder().decode(stderr)}`);
}

const HELP = `deno task pack [FILE]

The npm package of this checkout as a tarball, with types and with quorate for Node. Prints the name of the file.

Exit code: 0 packed, 1 it could not be, 2 an argument is wrong.`;

if (import.meta.main) {
  const { positionals } = argumentsOf(HELP, {});
  if (positionals.length > 1) refuse("it takes one FILE");
  const { name, version } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT))) as Config;
  const [file = `${name.replace(/^@/, "").replace("/", "-")}-${version}.tgz`] = positionals;
  await pack(file, { types: true });
  console.log(file);
}
