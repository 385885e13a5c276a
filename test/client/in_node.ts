/** Sources as Node runs them: types gone, imports by the names of what is left. */

const ROOT = new URL("../../", import.meta.url);

/** Null: there is no Node on PATH. */
export async function nodeVersion(): Promise<string | null> {
  try {
    const { stdout } = await new Deno.Command("node", { args: ["--version"] }).output();
    return new TextDecoder().decode(stdout).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Everything that `entries` (paths from the project's root) import, as JavaScript in `folder`, at the same paths. */
export async function transpiled(entries: readonly string[], folder: string): Promise<void> {
  const paths = new Set<string>();
  for (const entry of entries) {
    const { modules } = JSON.parse(await run("info", "--json", entry)) as {
      modules: readonly { specifier: string; dependencies?: readonly unknown[] }[];
    };
    for (const { specifier } of modules) {
      if (specifier.startsWith(ROOT.href)) paths.add(specifier.slice(ROOT.href.length));
    }
  }
  await run("transpile", "--no-check", "--source-map", "none", "--outdir", folder, ...paths);
  for (const path of paths) {
    const file = `${folder}/${path.replace(/\.ts$/, ".js")}`;
    const text = await Deno.readTextFile(file);
    await Deno.writeTextFile(file, text.replace(/(\bfrom "\.[^"\n]*)\.ts"/g, '$1.js"'));
  }
  await Deno.writeTextFile(`${folder}/package.json`, '{ "type": "module" }');
}

async function run(...args: string[]): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), { args, cwd: ROOT, stdout: "piped", stderr: "piped" });
  const { success, stdout, stderr } = await command.output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}
