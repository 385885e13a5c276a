/**
 * `deno task ok`, the gate: every step that has to pass before a change goes in, timed, the slowest ten tests, and those
 * that were skipped.
 * All steps run even if one fails. `--tests=FILE` takes a JUnit report of `deno task test` instead of running them.
 */
import { eachLine } from "../src/cli/lines.ts";
import { testArguments } from "./long.ts";

type Step = { readonly name: string; readonly run: () => Promise<boolean> };
type TestCase = {
  readonly file: string;
  readonly name: string;
  readonly seconds: number;
  readonly isSkipped: boolean;
};

const ROOT = new URL("../", import.meta.url);
const SEEDS = 300;
/** No step takes more than six minutes where the machine has nothing else to do; one that takes ten hangs. */
const STEP_WITHIN_MS = 600_000;
const SLOWEST = 10;

async function main(args: readonly string[]): Promise<number> {
  const given = args.find((arg) => arg.startsWith("--tests="))?.slice("--tests=".length);
  const folder = await Deno.makeTempDir({ prefix: "quorate-ok-" });
  const report = given ?? `${folder}/tests.xml`;
  const longReport = `${folder}/long.xml`;
  const leftOut: string[] = [];
  const steps: readonly Step[] = [
    { name: "format", run: () => deno("fmt", "--check", "--quiet") },
    { name: "lint", run: () => deno("lint", "--quiet") },
    { name: "types", run: () => deno("check", "--quiet", ".") },
    { name: "package: docs of its entry, its types and its files", run: () => packaged() },
    ...(given === undefined ? [{ name: "tests", run: () => tests(`--junit-path=${report}`) }] : []),
    { name: "long tests", run: () => tests("--long", `--junit-path=${longReport}`) },
    {
      name: "the dashboard in a browser",
      run: () => orSkipped(leftOut, "processes", "test/browser/main.ts", "--or-skip"),
    },
    { name: "the HTTP tests, two isolates an acceptor", run: () => script("processes", "test/chaos/isolates.ts") },
    { name: "explorer, and its mutants", run: () => explorer() },
    { name: `simulator, ${SEEDS} seeds`, run: () => script("search", "test/sim/main.ts", "--seeds", String(SEEDS)) },
    { name: "simulator, mutants", run: () => script("search", "test/sim/main.ts", "--mutants") },
    { name: "a second judge of histories", run: () => orSkipped(leftOut, "search", "test/porcupine/main.ts") },
  ];
  try {
    const results: { readonly name: string; readonly passed: boolean; readonly seconds: number }[] = [];
    for (const { name, run } of steps) {
      console.log(`\n== ${name}`);
      const startedMs = performance.now();
      const passed = await run();
      results.push({ name, passed, seconds: (performance.now() - startedMs) / 1_000 });
    }
    const told = await readReport(report);
    const cases = [...told.cases, ...(await readReport(longReport)).cases];
    printSlowest(cases);
    printSkipped(cases, leftOut);
    // Tests of a contract are told of by the file that has the suite.
    const missing = await testFiles((path) =>
      !path.endsWith("_contract_test.ts") && !cases.some(({ file }) => file === path)
    );
    for (const path of missing) console.log(`no report tells of ${path}`);
    // Also where a step ran them: the report may be that of no test at all, or of some files only.
    const passed = told.passed && missing.length === 0;
    results.push({ name: `report of the tests: ${told.cases.length}`, passed, seconds: told.seconds });
    console.log("\n== the gate");
    for (const { name, passed, seconds } of results) {
      console.log(`${passed ? "ok    " : "FAILED"} ${seconds.toFixed(1).padStart(6)} s  ${name}`);
    }
    const failed = results.filter(({ passed }) => !passed).length;
    console.log(`gate: ${results.length - failed} passed, ${failed} failed`);
    // Last, where nobody overlooks it.
    for (const line of leftOut) console.log(line);
    return failed === 0 ? 0 : 1;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Not by way of the task: what is ended for its time must not leave a child behind. */
async function tests(...args: string[]): Promise<boolean> {
  return await deno(...testArguments(args, false));
}

/** Runs this Deno with these arguments; whether it ended well and in time. */
async function deno(...args: string[]): Promise<boolean> {
  return await denoLines(args, (line) => console.log(line));
}

/** As the task of that script in deno.json runs it: with a set of its permissions, which by that is known to be enough. */
function permitted(set: string, ...script: string[]): string[] {
  return ["run", "--quiet", "--no-prompt", `-P=${set}`, ...script];
}

async function script(set: string, ...args: string[]): Promise<boolean> {
  return await deno(...permitted(set, ...args));
}

/** What a registry would refuse is told before a release is made. Types are checked by a step of their own. */
async function packaged(): Promise<boolean> {
  const documented = await deno("doc", "--quiet", "--lint", "src/mod.ts");
  return await denoLines(["publish", "--quiet", "--dry-run", "--allow-dirty", "--no-check"], (line) => {
    if (!line.startsWith("   file:")) console.log(line);
  }) && documented;
}

/** Each of the two keeps one core busy, so they run side by side; what they print does not mingle. */
async function explorer(): Promise<boolean> {
  const both = [[], ["--mutants"]].map(async (more) => {
    const lines: string[] = [];
    const args = permitted("search", "test/sim/explore/main.ts", ...more);
    const passed = await denoLines(args, (line) => void lines.push(line));
    console.log(lines.join("\n"));
    return passed;
  });
  return (await Promise.all(both)).every((passed) => passed);
}

async function denoLines(args: string[], call: (line: string) => void): Promise<boolean> {
  const child = new Deno.Command(Deno.execPath(), { args, cwd: ROOT, stdin: "null", stdout: "piped", stderr: "piped" })
    .spawn();
  const timer = setTimeout(() => {
    console.log(`not done within ${STEP_WITHIN_MS / 1_000} s`);
    child.kill("SIGKILL");
  }, STEP_WITHIN_MS);
  await Promise.all([eachLine(child.stdout, call), eachLine(child.stderr, call)]);
  const { success } = await child.status;
  clearTimeout(timer);
  return success;
}

/** A script that says SKIPPED where the machine lacks what it needs. @param leftOut gets what it says then */
async function orSkipped(leftOut: string[], set: string, ...args: string[]): Promise<boolean> {
  return await denoLines(permitted(set, ...args), (line) => {
    console.log(line);
    if (line.startsWith("SKIPPED")) leftOut.push(line);
  });
}

/** Files of tests that `keep` is true of, as a report names them. */
async function testFiles(keep: (path: string) => boolean, folder = "test/"): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(new URL(folder, ROOT))) {
    if (isDirectory) files.push(...await testFiles(keep, `${folder}${name}/`));
    else if (name.endsWith("_test.ts") && keep(`${folder}${name}`)) files.push(`${folder}${name}`);
  }
  return files.sort();
}

/** A report that is missing, or of no test, has not passed. */
async function readReport(path: string) {
  const xml = await Deno.readTextFile(path).catch(() => "");
  const [, failures, errors, time] = /<testsuites [^>]*failures="(\d+)" errors="(\d+)" time="([\d.]+)"/.exec(xml) ?? [];
  const cases = [...xml.matchAll(/<testcase name="([^"]*)" classname="([^"]*)" time="([\d.]+)"[^>]*>\s*(<skipped)?/g)]
    .map(([, name, file, time, skipped]): TestCase => ({
      name: plain(name!),
      file: plain(file!).replace(/^\.\//, ""),
      seconds: Number(time),
      isSkipped: skipped !== undefined,
    }));
  return { cases, passed: failures === "0" && errors === "0" && cases.length > 0, seconds: Number(time ?? 0) };
}

function plain(text: string): string {
  const names: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(lt|gt|quot|apos|amp);/g, (_, name: string) => names[name]!);
}

function printSlowest(cases: readonly TestCase[]): void {
  // A step is part of its test, whose time holds it.
  const tests = cases.filter(({ name }) => !name.includes(" > "));
  console.log(`\n== slowest ${SLOWEST} of ${tests.length} tests`);
  for (const { name, file, seconds } of tests.toSorted((a, b) => b.seconds - a.seconds).slice(0, SLOWEST)) {
    console.log(`${seconds.toFixed(1).padStart(6)} s  ${file}: ${name}`);
  }
}

/** A gate on a machine that lacks what a test needs is green without it: so it says what it left out. */
function printSkipped(cases: readonly TestCase[], leftOut: readonly string[]): void {
  const skipped = cases.filter(({ isSkipped }) => isSkipped).map(({ name, file }) => `${file}: ${name}`);
  const lines = [...skipped, ...leftOut];
  if (lines.length > 0) console.log(`\n== skipped: ${lines.length}`);
  for (const line of lines) console.log(line);
}

Deno.exit(await main(Deno.args));
