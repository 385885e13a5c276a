/**
 * `deno task ok`, the gate: every step that has to pass before a change goes in, timed, the slowest ten tests, and those
 * that were skipped. All steps run even if one fails.
 *
 * Steps on real processes wait much of their time, one of them at a time; steps that compute run beside them, at the lowest
 * priority, so that they take what is left. Each prints as if it ran alone.
 */
import { eachLine } from "../src/cli/lines.ts";
import { InOrder } from "./in_order.ts";
import { testArguments, testJobs } from "./long.ts";
import { optionsOf } from "./options.ts";

type Print = (line: string) => void;
type Step = { readonly name: string; readonly run: (print: Print) => Promise<boolean> };
type Result = { readonly name: string; readonly passed: boolean; readonly seconds: number };
type TestCase = {
  readonly file: string;
  readonly name: string;
  readonly seconds: number;
  readonly isSkipped: boolean;
};
type Run = { readonly print: Print; readonly isNice?: boolean; readonly env?: Readonly<Record<string, string>> };

const ROOT = new URL("../", import.meta.url);
const SEEDS = 1_000;
/** No step takes more than ten minutes where the machine has nothing else to do; one that takes forty hangs. */
const STEP_WITHIN_MS = 2_400_000;
const LOOK_MS = 500;
const SLOWEST = 10;
/** What has the lowest priority runs when nobody else wants to. */
const NICE = ["nice", "-n", "19"] as const;
/** As the tasks `explore` and `sim` have it: with more room for young objects fewer of them are copied. */
const YOUNG = "--v8-flags=--max-semi-space-size=64,--min-semi-space-size=16";

const HELP = `deno task ok [--tests FILE]

The gate: every step that has to pass before a change goes in. All steps run even if one fails.

  --tests  a JUnit report that deno task test writes meanwhile: it is waited for, and they do not run again

Exit code: 0 all passed, 1 something failed, 2 an option is wrong.`;

async function main(): Promise<number> {
  const { tests: given } = optionsOf(HELP, { tests: { type: "string" } });
  const folder = await Deno.makeTempDir({ prefix: "quorate-ok-" });
  const report = given ?? `${folder}/tests.xml`;
  const longReport = `${folder}/long.xml`;
  const leftOut: string[] = [];
  const judge = (print: Print) => orSkipped(leftOut, { print, isNice: true }, "search", "test/porcupine/main.ts");
  const browser = (print: Print) => orSkipped(leftOut, { print }, "processes", "test/browser/main.ts", "--or-skip");
  /** Each lane runs one step after another. What they print is in this order. */
  const lanes: readonly (readonly Step[])[] = [
    [
      { name: "format", run: (print) => deno({ print }, "fmt", "--check", "--quiet") },
      { name: "lint", run: (print) => deno({ print }, "lint", "--quiet") },
      { name: "types", run: (print) => deno({ print }, "check", "--quiet", ".") },
      { name: "package: docs of its entry, its types and its files", run: packaged },
      given === undefined
        ? { name: "tests", run: (print) => tests(print, `--junit-path=${report}`) }
        : { name: "tests, which run beside this", run: () => isThere(report) },
      { name: "long tests", run: (print) => tests(print, "--long", `--junit-path=${longReport}`) },
      { name: "the dashboard in a browser", run: browser },
      {
        name: "the HTTP tests, two isolates an acceptor",
        run: (print) => script({ print }, "processes", "test/chaos/isolates.ts"),
      },
    ],
    [
      { name: "explorer", run: computed("test/sim/explore/main.ts") },
      { name: "explorer, mutants", run: computed("test/sim/explore/main.ts", "--mutants") },
      { name: "a second judge of histories", run: judge },
    ],
    [
      { name: `simulator, ${SEEDS} seeds`, run: computed("test/sim/main.ts", "--sparing", "--seeds", String(SEEDS)) },
      { name: "simulator, mutants", run: computed("test/sim/main.ts", "--mutants") },
    ],
  ];
  try {
    const results = await runAll(lanes);
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
    console.log(
      `gate: ${results.length - failed} passed, ${failed} failed, ${(performance.now() / 1_000).toFixed(0)} s`,
    );
    // Last, where nobody overlooks it.
    for (const line of leftOut) console.log(line);
    return failed === 0 ? 0 : 1;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The results in the order of the steps. */
async function runAll(lanes: readonly (readonly Step[])[]): Promise<Result[]> {
  const steps = lanes.flat();
  const output = new InOrder(steps.length, console.log);
  const results: Result[] = [];
  await Promise.all(lanes.map(async (lane) => {
    for (const step of lane) {
      const at = steps.indexOf(step);
      const print = (line: string) => output.print(at, line);
      print(`\n== ${step.name}`);
      const startedMs = performance.now();
      const passed = await step.run(print);
      results[at] = { name: step.name, passed, seconds: (performance.now() - startedMs) / 1_000 };
      output.end(at);
    }
  }));
  return results;
}

/** Whether a file is there before a step would have to be over. It comes whole, as one that was renamed does. */
async function isThere(path: string): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < STEP_WITHIN_MS; waitedMs += LOOK_MS) {
    if (await Deno.stat(path).then(() => true, () => false)) return true;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return false;
}

/** Not by way of the task: what is ended for its time must not leave a child behind. */
async function tests(print: Print, ...args: string[]): Promise<boolean> {
  return await deno({ print, env: testJobs() }, ...testArguments(args, false));
}

/** As the task of that script in deno.json runs it: with a set of its permissions, which by that is known to be enough. */
async function script(run: Run, set: string, ...args: string[]): Promise<boolean> {
  return await deno(run, "run", "--quiet", "--no-prompt", `-P=${set}`, ...args);
}

function computed(...args: string[]): Step["run"] {
  return (print) => deno({ print, isNice: true }, "run", YOUNG, "--quiet", "--no-prompt", "-P=search", ...args);
}

/** What a registry would refuse is told before a release is made. Types are checked by a step of their own. */
async function packaged(print: Print): Promise<boolean> {
  const documented = await deno({ print }, "doc", "--quiet", "--lint", "src/mod.ts");
  const withoutFiles = (line: string) => line.startsWith("   file:") || print(line);
  const args = ["publish", "--quiet", "--dry-run", "--allow-dirty", "--no-check"];
  return await deno({ print: withoutFiles }, ...args) && documented;
}

/** A script that says SKIPPED where the machine lacks what it needs. @param leftOut gets what it says then */
async function orSkipped(leftOut: string[], run: Run, set: string, ...args: string[]): Promise<boolean> {
  const print = (line: string) => {
    run.print(line);
    if (line.startsWith("SKIPPED")) leftOut.push(line);
  };
  return await script({ ...run, print }, set, ...args);
}

/** Runs this Deno with these arguments; whether it ended well and in time. */
async function deno({ print, isNice = false, env = {} }: Run, ...args: string[]): Promise<boolean> {
  const child = spawned(isNice ? [...NICE, Deno.execPath()] : [Deno.execPath()], args, env);
  const timer = setTimeout(() => {
    print(`not done within ${STEP_WITHIN_MS / 1_000} s`);
    child.kill("SIGKILL");
  }, STEP_WITHIN_MS);
  await Promise.all([eachLine(child.stdout, print), eachLine(child.stderr, print)]);
  const { success } = await child.status;
  clearTimeout(timer);
  return success;
}

/** Where there is no `nice` all have the same priority. */
function spawned(
  [command, ...before]: readonly string[],
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Deno.ChildProcess {
  try {
    return new Deno.Command(command!, {
      args: [...before, ...args],
      cwd: ROOT,
      env,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound) || before.length === 0) throw error;
    return spawned([Deno.execPath()], args, env);
  }
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

Deno.exit(await main());
