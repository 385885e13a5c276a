/** `deno task sim`: whole clusters in virtual time, one seed or many, or with bugs planted that the checkers must catch. */
import { optionsOf, whole } from "../options.ts";
import { encodeHistory } from "./check/history_lines.ts";
import { catchMutants } from "./mutants.ts";
import { planOf } from "./plan.ts";
import { seedsOf } from "./chosen_seeds.ts";
import { showPlan, shrink } from "./shrink.ts";
import { play } from "./simulator.ts";
import { Totals } from "./totals.ts";
import { forEachSeed } from "./workers.ts";

const FAILURES_MAX = 10;
/** Seeds between two lines of a long run. */
const PROGRESS = 1_000;
const SHRUNK_MAX = 2;
/** So many runs must have died at every step there is, and used every noun. */
const SEEDS_FOR_EVERY_STEP = 300;

const HELP = `deno task sim [--seeds 100] [--from 1] [--jobs 2] [--isolates] [--sparing]
deno task sim --seed N [--history FILE] [--isolates]
deno task sim --mutants [--jobs 2]

Whole clusters in virtual time, with deaths, cuts, slow and failing disks, wrong clocks; one seed is one run, always the same.
A failure prints its seed, the commit and the smallest plan that fails likewise. Every fourth seed has members that many
processes serve each, another fourth changes its members; in every fifth, of whatever kind, names that are unused for a moment
are forgotten.

  --seeds     how many runs
  --from      the first of them
  --sparing   of those that take a multiple of the others' time, as with members that change or a hot name, only every
              fourth, and as many more of the others
  --jobs      at once; default: 2, or the cores there are
  --seed      this run alone, with its figures
  --history   with --seed: JSON lines of what its clients saw
  --isolates  all runs with members that many processes serve
  --mutants   plants bugs that the checkers must catch

Exit code: 0 nothing wrong, 1 something is, 2 an option is wrong.`;

const values = optionsOf(HELP, {
  seed: { type: "string" },
  seeds: { type: "string", default: "100" },
  from: { type: "string", default: "1" },
  jobs: { type: "string" },
  isolates: { type: "boolean", default: false },
  sparing: { type: "boolean", default: false },
  history: { type: "string" },
  mutants: { type: "boolean", default: false },
});

const kind = values.isolates ? "isolates" : undefined;

async function main(): Promise<number> {
  const jobs = values.jobs === undefined ? Math.min(2, navigator.hardwareConcurrency) : whole("jobs", values.jobs);
  if (values.mutants) return await catchMutants(jobs, console.log) ? 0 : 1;
  if (values.seed !== undefined) return await one(whole("seed", values.seed));
  return await many(whole("from", values.from), whole("seeds", values.seeds), jobs);
}

async function one(seed: number): Promise<number> {
  const { figures, faults, history, digest } = await play(planOf(seed, kind), true);
  console.log(JSON.stringify(figures));
  console.log(`everything that happened: ${digest}`);
  if (values.history !== undefined) await Deno.writeTextFile(values.history, encodeHistory(history));
  if (faults.length === 0) return 0;
  await report(seed, faults, true);
  return 1;
}

async function many(from: number, count: number, jobs: number): Promise<number> {
  const totals = new Totals();
  const failed: { readonly seed: number; readonly faults: readonly string[] }[] = [];
  const startMs = performance.now();
  const seconds = () => (performance.now() - startMs) / 1_000;
  const seeds = seedsOf({ from, count, kind, isSparing: values.sparing });
  await forEachSeed({ seeds, jobs, kind }, ({ seed, figures, faults }) => {
    totals.add(figures);
    if (faults.length > 0) {
      failed.push({ seed, faults });
      console.log(`seed ${seed} failed: ${faults[0]}`);
    }
    if (totals.seeds % PROGRESS === 0 && totals.seeds < count) {
      console.log(`${totals.seeds} seeds, ${failed.length} failed, ${seconds().toFixed(0)} s`);
    }
    return failed.length < FAILURES_MAX;
  });
  failed.sort((a, b) => a.seed - b.seed);
  for (const [i, { seed, faults }] of failed.entries()) await report(seed, faults, i < SHRUNK_MAX);
  for (const line of totals.lines()) console.log(line);
  console.log(`${seconds().toFixed(1)} s, ${(totals.seeds / seconds()).toFixed(1)} seeds a second in ${jobs} jobs`);
  const missed = totals.seeds >= SEEDS_FOR_EVERY_STEP ? totals.missed() : [];
  if (missed.length > 0) console.log(`no process has died at: ${missed.join("; ")}`);
  const idle = totals.seeds >= SEEDS_FOR_EVERY_STEP ? totals.idle() : [];
  if (idle.length > 0) console.log(`nothing was ever done with: ${idle.join("; ")}`);
  console.log(`${totals.seeds - failed.length} passed, ${failed.length} failed`);
  return failed.length === 0 && missed.length === 0 && idle.length === 0 && totals.seeds === count ? 0 : 1;
}

async function report(seed: number, faults: readonly string[], shrinks: boolean): Promise<void> {
  const flag = values.isolates ? " --isolates" : "";
  console.log(`seed ${seed}${flag} at commit ${await commit()} failed:\n  ${faults.slice(0, 5).join("\n  ")}`);
  if (!shrinks) return;
  const small = await shrink(planOf(seed, kind), faults[0]!);
  console.log(`after ${small.runs} runs the smallest that fails so:\n${showPlan(small.plan)}\n  ${small.faults[0]}`);
}

async function commit(): Promise<string> {
  try {
    const cwd = new URL(".", import.meta.url);
    const { success, stdout } = await new Deno.Command("git", { args: ["rev-parse", "HEAD"], cwd, stderr: "null" })
      .output();
    return success ? new TextDecoder().decode(stdout).trim() : "unknown";
  } catch {
    return "unknown";
  }
}

Deno.exit(await main());
