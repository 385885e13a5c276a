/** The package as somebody has it who installed its tarball, for programs of other runtimes. */
import { createRequire } from "node:module";
import { pack } from "./pack.ts";

const ROOT = new URL("../../", import.meta.url);
const NAME = "@quorate/quorate";

/** What the program says its version is; null: it is not on PATH. */
export async function versionOf(program: string): Promise<string | null> {
  try {
    const { stdout } = await new Deno.Command(program, { args: ["--version"], stderr: "null" }).output();
    return new TextDecoder().decode(stdout).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/**
 * Makes `folder` a project with the package, and with these files of this one (paths from its root) as JavaScript. They may
 * import nothing of it but the client.
 */
export async function install(folder: string, ...files: readonly string[]): Promise<void> {
  const modules = `${folder}/node_modules`;
  await Deno.mkdir(`${modules}/@quorate`, { recursive: true });
  await pack(`${folder}/package.tgz`, { types: false });
  await run("tar", "-xzf", `${folder}/package.tgz`, "-C", folder);
  await Deno.rename(`${folder}/package`, `${modules}/${NAME}`);
  const main = createRequire(import.meta.url).resolve("commander");
  await Deno.symlink(main.slice(0, main.lastIndexOf("/")), `${modules}/commander`);
  await Deno.writeTextFile(`${folder}/package.json`, '{ "type": "module" }');
  if (files.length === 0) return;
  await run(Deno.execPath(), "transpile", "--no-check", "--source-map", "none", "--outdir", folder, ...files);
  for (const path of files) {
    const file = `${folder}/${path.replace(/\.ts$/, ".js")}`;
    const text = (await Deno.readTextFile(file)).replaceAll('"../../src/mod.ts"', `"${NAME}"`);
    await Deno.writeTextFile(`${folder}/${file.slice(file.lastIndexOf("/") + 1)}`, text);
  }
}

async function run(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, cwd: ROOT, stdout: "null", stderr: "piped" })
    .output();
  if (!success) throw new Error(`${program} ${args[0]}: ${new TextDecoder().decode(stderr)}`);
}
