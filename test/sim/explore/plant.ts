/** Bugs planted in copies of the project: the roles alone, for a search, or all of it, for a test that must fail. */
import type { MembersCore } from "./members/model.ts";
import type { Core } from "./model.ts";
import type { Mutant } from "./mutants.ts";

const ROOT = new URL("../../../", import.meta.url);
const TEST_WITHIN_MS = 60_000;

/** The roles with the bug, and whatever of the copy is not needed any more once they are loaded gone. */
export async function plantedCore(mutant: Mutant): Promise<Core> {
  return await inCopy(["src/assert.ts", "src/limits.ts", "src/paxos"], mutant, async (folder) => {
    return await import(new URL(`file://${folder}/src/paxos/mod.ts`).href);
  });
}

/** The same of the functions of membership, and of the roles that they rest on. */
export async function plantedMembers(mutant: Mutant): Promise<MembersCore> {
  const paths = ["src/assert.ts", "src/limits.ts", "src/paxos", "src/members"];
  return await inCopy(paths, mutant, async (folder) => ({
    paxos: await import(new URL(`file://${folder}/src/paxos/mod.ts`).href),
    members: await import(new URL(`file://${folder}/src/members/mod.ts`).href),
  }));
}

/**
 * Runs that one test in a copy with the bug, or in a copy as it is: `failed` and `passed` are both false where the test
 * was not found, did not load or did not end.
 */
export async function runPlanted(
  mutant: Mutant,
  file: string,
  test: string,
): Promise<{ readonly failed: boolean; readonly passed: boolean; readonly output: string }> {
  const all = ["src", "routes", "test", "deno.json", "deno.lock", "deploy.ts"];
  return await inCopy(all, mutant, async (folder) => {
    const args = ["test", "-A", "--no-check", `--filter=${test}`, file];
    const child = new Deno.Command(Deno.execPath(), {
      args,
      cwd: folder,
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const timer = setTimeout(() => child.kill("SIGKILL"), TEST_WITHIN_MS);
    const { stdout, stderr } = await child.output();
    clearTimeout(timer);
    const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    return { failed: output.includes(`${test} ... FAILED`), passed: output.includes(`${test} ... ok`), output };
  });
}

async function inCopy<T>(paths: readonly string[], mutant: Mutant, use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-mutant-" });
  try {
    for (const path of paths) await copy(path, folder);
    await plant(mutant, folder);
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function copy(path: string, folder: string): Promise<void> {
  const source = new URL(path, ROOT);
  if (!(await Deno.stat(source)).isDirectory) {
    await Deno.mkdir(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    return await Deno.copyFile(source, `${folder}/${path}`);
  }
  await Deno.mkdir(`${folder}/${path}`, { recursive: true });
  for await (const { name } of Deno.readDir(source)) await copy(`${path}/${name}`, folder);
}

async function plant({ name, file, edits }: Mutant, folder: string): Promise<void> {
  const path = `${folder}/src/${file}`;
  let text = await Deno.readTextFile(path);
  for (const { before, after } of edits) {
    const found = text.split(before).length - 1;
    if (found !== 1) throw new Error(`"${name}": "${before}" stands ${found} times in ${file}, not once`);
    text = text.replace(before, () => after);
  }
  await Deno.writeTextFile(path, text);
}
