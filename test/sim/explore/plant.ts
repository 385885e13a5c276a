/** Bugs planted in copies of the project: the roles alone, for a search, or all of it, for a test that must fail. */
import type { MembersCore } from "./members/model.ts";
import type { Core } from "./model.ts";
import type { Mutant } from "./mutants.ts";

const ROOT = new URL("../../../", import.meta.url);
const LOADED_WITHIN_MS = 60_000;
const TEST_WITHIN_MS = 10_000;

/** The roles with the bug, and whatever of the copy is not needed any more once they are loaded gone. */
export async function plantedCore(mutant: Mutant): Promise<Core> {
  return await inCopy(["src/assert.ts", "src/limits.ts", "src/paxos"], async (folder) => {
    await plant(mutant, folder);
    return await import(new URL(`file://${folder}/src/paxos/mod.ts`).href);
  });
}

/** The same of the functions of membership, and of the roles that they rest on. */
export async function plantedMembers(mutant: Mutant): Promise<MembersCore> {
  const paths = ["src/assert.ts", "src/limits.ts", "src/paxos", "src/members"];
  return await inCopy(paths, async (folder) => {
    await plant(mutant, folder);
    return {
      paxos: await import(new URL(`file://${folder}/src/paxos/mod.ts`).href),
      members: await import(new URL(`file://${folder}/src/members/mod.ts`).href),
    };
  });
}

export type TestOf = { readonly file: string; readonly test: string };
/** Both are false of a test that was not found, did not load or did not end. */
export type TestRun = {
  failed(test: string): boolean;
  passed(test: string): boolean;
  readonly output: string;
};
/** Runs these tests in a copy of the project with the bug; null: as it is. */
export type RunPlanted = (mutant: Mutant | null, tests: readonly TestOf[]) => Promise<TestRun>;

/** One copy for many bugs: what stays as it was at its path needs no new translation, which takes longer than most tests. */
export async function withCopy<T>(use: (run: RunPlanted) => Promise<T>): Promise<T> {
  const all = ["src", "routes", "test", "deno.json", "deno.lock", "deploy.ts"];
  return await inCopy(all, async (folder) => {
    return await use(async (mutant, tests) => {
      const unplant = mutant === null ? null : await plant(mutant, folder);
      try {
        return await runTests(folder, tests);
      } finally {
        await unplant?.();
      }
    });
  });
}

async function runTests(folder: string, tests: readonly TestOf[]): Promise<TestRun> {
  const names = tests.map(({ test }) => test.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const files = new Set(tests.map(({ file }) => file));
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", `--filter=/^(${names.join("|")})$/`, ...files],
    cwd: folder,
    env: { NO_COLOR: "1", QUORATE_PLANTED: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), LOADED_WITHIN_MS + tests.length * TEST_WITHIN_MS);
  const { stdout, stderr } = await child.output();
  clearTimeout(timer);
  const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return {
    failed: (test) => output.includes(`${test} ... FAILED`),
    passed: (test) => output.includes(`${test} ... ok`),
    output,
  };
}

async function inCopy<T>(paths: readonly string[], use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-mutant-" });
  try {
    for (const path of paths) await copy(path, folder);
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

/** Returns what makes the file again what it was. */
async function plant({ name, file, edits }: Mutant, folder: string): Promise<() => Promise<void>> {
  const path = `${folder}/src/${file}`;
  const before = await Deno.readTextFile(path);
  let text = before;
  for (const edit of edits) {
    const found = text.split(edit.before).length - 1;
    if (found !== 1) throw new Error(`"${name}": "${edit.before}" stands ${found} times in ${file}, not once`);
    text = text.replace(edit.before, () => edit.after);
  }
  await Deno.writeTextFile(path, text);
  return () => Deno.writeTextFile(path, before);
}
