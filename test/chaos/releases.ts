/** Programs of other versions: the release before this one, out of the history, and one that would come after it. */
import { assert } from "@std/assert";

const ROOT = new URL("../../", import.meta.url).pathname;

/** The latest release of CHANGELOG.md, whose nodes today's have to get on with. */
export async function latestRelease(): Promise<{ readonly version: string; readonly hash: string }> {
  const text = await Deno.readTextFile(`${ROOT}CHANGELOG.md`);
  const [, version, hash] = /^## \[(\d+\.\d+\.\d+)\] - .*\n\nThis release is the commit ([0-9a-f]{40})\./m.exec(text) ??
    [];
  assert(version !== undefined && hash !== undefined, "CHANGELOG.md names the commit of its latest release");
  return { version, hash };
}

/** Why that commit is not to be had here, in one line; null: it is. */
export async function whyNoHistory(hash: string): Promise<string | null> {
  try {
    const { success } = await git("cat-file", "-e", `${hash}^{commit}`);
    return success
      ? null
      : `this clone has no history (git fetch --unshallow), the commit ${hash.slice(0, 7)} is missing`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "there is no git on PATH";
    throw error;
  }
}

/** The files of a commit, put into `folder`; the command line of its nodes. */
export async function nodeOfCommit(hash: string, folder: string): Promise<readonly string[]> {
  const tar = `${folder}.tar`;
  await Deno.mkdir(folder);
  await done(await git("archive", "--output", tar, hash));
  await done(await new Deno.Command("tar", { args: ["-xf", tar, "-C", folder] }).output());
  return mainOf(folder);
}

/** A copy of this checkout in which files are changed; the command line of its nodes. */
export async function nodeOfChanged(
  folder: string,
  changes: Readonly<Record<string, (text: string) => string>>,
): Promise<readonly string[]> {
  await Deno.mkdir(folder);
  const parts = ["src", "routes", "deploy.ts", "deno.json", "deno.lock", "test/std"];
  await Deno.mkdir(`${folder}/test`);
  for (const part of parts) {
    await done(await new Deno.Command("cp", { args: ["-R", `${ROOT}${part}`, `${folder}/${part}`] }).output());
  }
  for (const [file, change] of Object.entries(changes)) {
    const before = await Deno.readTextFile(`${folder}/${file}`);
    const after = change(before);
    assert(after !== before, `${file} is changed`);
    await Deno.writeTextFile(`${folder}/${file}`, after);
  }
  return mainOf(folder);
}

function mainOf(folder: string): readonly string[] {
  return ["--no-check", "--config", `${folder}/deno.json`, `${folder}/src/cli/main.ts`, "node"];
}

function git(...args: string[]): Promise<Deno.CommandOutput> {
  return new Deno.Command("git", { args, cwd: ROOT, stdin: "null" }).output();
}

function done({ success, stderr }: Deno.CommandOutput): void {
  assert(success, new TextDecoder().decode(stderr));
}
