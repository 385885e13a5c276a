/** docs/safety.md names what is there: files, code, tests and mutants that it quotes exist, and no invariant lacks a part. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { HOST_MUTANTS, ROLE_MUTANTS } from "./sim/explore/mutants.ts";
import { MUTANTS } from "./sim/mutants.ts";
import { ISOLATE_MUTANTS } from "./sim/mutants_isolates.ts";

const ROOT = new URL("../", import.meta.url);
const PARTS = ["Why", "Line", "Test", "Mutant"] as const;
const ISOLATES = new Set(ISOLATE_MUTANTS.map(({ name }) => name));
const MUTANTS_OF: Readonly<Record<string, readonly string[]>> = {
  "test/sim/explore/mutants.ts": [...ROLE_MUTANTS, ...HOST_MUTANTS].map(({ name }) => name),
  "test/sim/mutants.ts": MUTANTS.map(({ name }) => name).filter((name) => !ISOLATES.has(name)),
  "test/sim/mutants_isolates.ts": [...ISOLATES],
};

/** The text of a file of the project, or null if there is none. */
type Read = (path: string) => string | null;

/** Without white space, and without the comma that ends a list, because the page breaks its lines elsewhere than the code. */
function flat(text: string): string {
  return text.replace(/\s+/g, "").replace(/,(?=[)}\]])/g, "");
}

/** A name that is made as the test runs has `…` where something is put in. */
function testNames(source: string): Set<string> {
  const calls =
    /\b(?:Deno\.test|test|owned)\(\s*(?:\{\s*name:\s*)?(?:"((?:[^"\\\n]|\\.)*)"|`((?:\$\{[^}]*\}|[^`])*)`)/g;
  return new Set([...source.matchAll(calls)].map(([, plain, made]) => plain ?? made!.replace(/\$\{[^}]*\}/g, "…")));
}

type Quote = { readonly file: string | null; readonly text: string };

/** What stands between backticks, each with the file that was named last. */
function quotesOf(part: string): readonly Quote[] {
  const quotes: Quote[] = [];
  let file: string | null = null;
  for (const [, text] of part.matchAll(/`([^`]+)`/g)) {
    if (/^(?:src|routes|test|deploy)\S*\.ts$/.test(text!)) file = text!;
    quotes.push({ file, text: text! });
  }
  return quotes;
}

/** The parts of one invariant by their names, each on one line. */
function partsOf(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split(/^- /m).slice(1).map((bullet) => {
      const [, name = "", rest = ""] = /^\*\*(\w+)\.\*\*([^]*)$/.exec(bullet) ?? [];
      return [name, rest.replace(/\s+/g, " ").trim()] as const;
    }),
  );
}

function complaintsOf(page: string, read: Read): string[] {
  const complaints: string[] = [];
  for (const section of page.split(/^### /m).slice(1)) {
    const title = section.slice(0, section.indexOf("\n"));
    const parts = partsOf(section.split(/^## /m)[0]!);
    if ([...parts.keys()].join() !== PARTS.join()) {
      complaints.push(`${title}: its parts are ${[...parts.keys()].join()}`);
    }
    for (const [name, part] of parts) {
      if (name === "Why") continue;
      const quotes = quotesOf(part);
      const files = new Set(quotes.map(({ file }) => file));
      const hasQuote = quotes.some(({ file, text }) => text !== file);
      if (!hasQuote && !(part === "None yet." && name !== "Line")) complaints.push(`${title}: ${name} names nothing`);
      for (const file of files) if (file === null || read(file) === null) complaints.push(`${title}: no file ${file}`);
      for (const { file, text } of quotes) {
        const source = file === null ? null : read(file);
        if (text === file || source === null) continue;
        const isThere = name === "Line"
          ? flat(source).includes(flat(text))
          : name === "Test"
          ? testNames(source).has(text)
          : MUTANTS_OF[file!]?.includes(text);
        if (isThere !== true) complaints.push(`${title}: ${file} has no ${name.toLowerCase()} ${text}`);
      }
    }
  }
  return complaints;
}

const page = await Deno.readTextFile(new URL("docs/safety.md", ROOT));

function readProject(path: string): string | null {
  try {
    return Deno.readTextFileSync(new URL(path, ROOT));
  } catch {
    return null;
  }
}

Deno.test("safety page: every file, piece of code, test and mutant that it names is there", () => {
  assertEquals(complaintsOf(page, readProject), []);
  assertGreater(page.split(/^### /m).length, 40);
});

Deno.test("safety page: each mutant that breaks agreement stands on it", () => {
  const named = new Set(quotesOf(page.replace(/\s+/g, " ")).map(({ text }) => text));
  assertEquals(ROLE_MUTANTS.map(({ name }) => name).filter((name) => !named.has(name)), []);
});

Deno.test("safety page: a wrong name of any kind is told, and so is a part that is missing or empty", () => {
  const sound = `# Page
## Group
### One
- **Why.** It is so.
- **Line.** \`src/a.ts\`, \`f\`: \`if (a &&
  b) {\`
- **Test.** \`test/a_test.ts\`: \`a: does this\`,
  \`a, n=…: does that\`
- **Mutant.** \`test/sim/explore/mutants.ts\`: \`no R1\`
## Another group
`;
  const files: Readonly<Record<string, string>> = {
    "src/a.ts": "function f() {\n  if (\n    a && b\n  ) {\n  }\n}\n",
    "test/a_test.ts": 'Deno.test("a: does this", f);\nDeno.test(`a, n=${n}: does that`, f);\nconst x = "a: no test";\n',
    "test/sim/explore/mutants.ts": "",
  };
  const told = (before: string, after: string) => {
    assert(sound.includes(before), before);
    return complaintsOf(sound.replace(before, () => after), (path) => files[path] ?? null);
  };
  assertEquals(told("One", "One"), []);
  assertEquals(told("src/a.ts", "src/b.ts"), ["One: no file src/b.ts"]);
  assertEquals(told("`f`", "`g`"), ["One: src/a.ts has no line g"]);
  assertEquals(told("(a &&", "(a ||"), ["One: src/a.ts has no line if (a || b) {"]);
  assertEquals(told("a: does this", "a: no test"), ["One: test/a_test.ts has no test a: no test"]);
  assertEquals(told("does that", "does what"), ["One: test/a_test.ts has no test a, n=…: does what"]);
  assertEquals(told("no R1", "no R9"), ["One: test/sim/explore/mutants.ts has no mutant no R9"]);
  assertEquals(told("`test/sim/explore/mutants.ts`: `no R1`", "None yet."), []);
  assertEquals(told("`test/sim/explore/mutants.ts`: `no R1`", "Some."), ["One: Mutant names nothing"]);
  assertEquals(told("`test/sim/explore/mutants.ts`: `no R1`", "`no R1`"), ["One: no file null"]);
  assertEquals(told("- **Why.** It is so.\n", ""), ["One: its parts are Line,Test,Mutant"]);
  assertEquals(told("- **Mutant.** `test/sim/explore/mutants.ts`: `no R1`\n", ""), [
    "One: its parts are Why,Line,Test",
  ]);
});
