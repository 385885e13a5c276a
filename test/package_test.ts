/** What stands around the code keeps to its own rules: tasks, workflows, the changelog, and what lies at the top. */
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { VERSION } from "../src/version.ts";
import { quoted, ROOT, section, tableRows } from "./pages.ts";

type Config = {
  readonly imports: Readonly<Record<string, string>>;
  readonly tasks: Readonly<Record<string, string>>;
  readonly permissions: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
};

const CONFIG: Config = JSON.parse(await read("deno.json"));

async function read(path: string): Promise<string> {
  return await Deno.readTextFile(new URL(path, ROOT));
}

async function namesIn(folder: string): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(new URL(folder, ROOT))) names.push(name);
  return names.sort();
}

/** The tests; and what reads under /proc how much others take, for which Deno wants all there are. */
const WITH_ALL: ReadonlySet<string> = new Set(["test", "bench", "browser", "stranger"]);

Deno.test("tasks: each has the permissions it needs, and few have all", () => {
  const used = new Set<string>();
  for (const [name, command] of Object.entries(CONFIG.tasks)) {
    assertEquals(/ (?:-A|--allow-all)\b/.test(command), WITH_ALL.has(name), name);
    const set = / -P=(\w+)/.exec(command)?.[1];
    if (set !== undefined) used.add(set);
    else assert(WITH_ALL.has(name) || command.includes(" --allow-net "), name);
  }
  assertEquals([...used].sort(), Object.keys(CONFIG.permissions).sort());
  for (const [set, permissions] of Object.entries(CONFIG.permissions)) {
    for (const all of ["all", "ffi", "import"]) assertEquals(permissions[all], undefined, `${set} has ${all}`);
  }
  assertEquals(CONFIG.permissions["search"]?.["net"], undefined, "a search talks to nobody");
});

Deno.test("README: it has every dependency with its reason, and no other; those of npm are pinned", async () => {
  const [, ...rows] = tableRows(section("README.md", "Dependencies"));
  const go = [...(await read("test/porcupine/go.mod")).matchAll(/^require (\S+) v\d+\.\d+\.\d+$/gm)].map(([, name]) =>
    name!
  );
  assertGreater(go.length, 0);
  assertEquals(rows.flatMap(([names]) => quoted(names!)).sort(), [...Object.keys(CONFIG.imports), ...go].sort());
  for (const [names, reason] of rows) assertGreater(reason!.length, 20, names);
  for (const target of Object.values(CONFIG.imports)) {
    if (target.startsWith("npm:")) assertMatch(target, /@\d+\.\d+\.\d+$/);
  }
});

Deno.test("workflows: an action is named by its commit, a runtime by its version", async () => {
  const pinned = /npx --yes deno@([\d.]+)/.exec(await read(".ci/run"))?.[1];
  const files = [
    ...(await namesIn(".github/workflows/")).map((name) => `.github/workflows/${name}`),
    ...(await namesIn(".ci/")).map((name) => `.ci/${name}`),
  ];
  let actions = 0;
  for (const file of files) {
    const text = await read(file);
    for (const [, action] of text.matchAll(/\buses: (.*)/g)) {
      assertMatch(action!, /^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, `${file}: ${action}`);
      actions++;
    }
    for (const [, program, version] of text.matchAll(/\bnpx (?:--yes )?(deno|bun)@?(\S*)/g)) {
      assertMatch(version!, /^\d+\.\d+\.\d+\)?$/, `${file}: ${program}@${version}`);
      const isOldest = version!.startsWith("2.5.") && text.includes("oldest-deno:");
      if (program === "deno" && !isOldest) assertEquals(version!.replace(")", ""), pinned, file);
    }
  }
  assertGreater(actions, 5);
});

Deno.test("changelog: what is unreleased first, then versions with their days, each in the six kinds of change", async () => {
  const text = await read("CHANGELOG.md");
  const [first, ...released] = [...text.matchAll(/^## (.*)$/gm)].map(([, title]) => title!);
  assertEquals(first, "[Unreleased]");
  for (const title of released) assertMatch(title, /^\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d$/);
  const numbers = released.map((title) => title.slice(1, title.indexOf("]")));
  if (VERSION.endsWith("-dev")) assertGreater(numberOf(VERSION.replace("-dev", "")), numberOf(numbers[0]!));
  else assertEquals(VERSION, numbers[0]);
  const days = released.map((title) => title.split(" - ")[1]!);
  assertEquals(days, days.toSorted().reverse());
  for (const [, kind] of text.matchAll(/^### (.*)$/gm)) {
    assert(["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"].includes(kind!), kind);
  }
});

/** One number that orders releases. */
function numberOf(version: string): number {
  return version.split(".").reduce((sum, part) => sum * 1_000 + Number(part), 0);
}

Deno.test("the top of the project holds what a newcomer looks for, and nothing else", async () => {
  const kept = new Set([
    ...["src", "routes", "test", "docs", "deno.json", "deno.lock", "deploy.ts", "LICENSE"],
    ...["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"],
  ]);
  const names = (await namesIn("")).filter((name) => !name.startsWith("."));
  for (const name of kept) assert(names.includes(name), `${name} is missing`);
  const ignored = (await read(".gitignore")).split("\n").map((line) => line.replace(/\/$/, ""));
  assertEquals(names.filter((name) => !kept.has(name) && !ignored.includes(name)), []);
});
