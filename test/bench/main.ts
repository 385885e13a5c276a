/** `deno task bench`: this project and its peers side by side, on real files, in one run. */
import { parseArgs } from "node:util";
import { ETCD } from "./etcd.ts";
import { LOADS } from "./loads.ts";
import { Bench } from "./measure.ts";
import { QUORATE } from "./quorate.ts";
import { type Cell, chartOf, mediansOf, ratiosOf, type Run, tableOf } from "./report.ts";
import type { Running, System } from "./system.ts";

const HELP = `deno task bench [--nodes 3] [--workers 1,16,64] [--rounds 5] [--seconds 3] [--warm-up 15] [--only LOAD]…
                [--json FILE] [--svg FILE]

Starts each system that is installed, puts the same load on one after the other, round by round, in turned order, and prints
the ratios of the medians. Figures of other runs, or other machines, say nothing beside these.

  --nodes     sizes of the clusters, one after another: 1,3,5
  --workers   clients at once, each on a connection of its own
  --rounds    samples of each cell and system
  --seconds   of a sample
  --warm-up   seconds of load on each system before its first sample of a cluster; of a later cell a fifth of it
  --only      one or more of: ${LOADS.map(({ name }) => JSON.stringify(name)).join(", ")}

etcd is Debian's etcd-server, or what QUORATE_BENCH_ETCD names.`;

const SYSTEMS: readonly System[] = [QUORATE, ETCD];

async function main(): Promise<number> {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      nodes: { type: "string", default: "3" },
      workers: { type: "string", default: "1,16,64" },
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "3" },
      "warm-up": { type: "string", default: "15" },
      only: { type: "string", multiple: true, default: LOADS.map(({ name }) => name) },
      json: { type: "string" },
      svg: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const unknown = values.only.find((name) => !LOADS.some((load) => load.name === name));
  if (unknown !== undefined) throw new Error(`--only is none of the loads: ${JSON.stringify(unknown)}`);
  const versions = await Promise.all(SYSTEMS.map(async (system) => [system.name, await system.version()] as const));
  const there = SYSTEMS.filter(({ name }) => versions.some(([one, version]) => one === name && version !== null));
  const run: Run & { cells: Cell[] } = {
    at: new Date().toISOString(),
    machine: await machine(),
    versions: Object.fromEntries(versions.flatMap(([name, version]) => version === null ? [] : [[name, version]])),
    leftOut: SYSTEMS.filter((system) => !there.includes(system)).map(({ name }) => name),
    cells: [],
  };
  console.log(`${run.at}, ${run.machine}; ${JSON.stringify(run.versions)}`);
  for (const name of run.leftOut) console.log(`LEFT OUT: ${name} is not installed`);
  const how: How = {
    workers: numbers("workers", values.workers),
    rounds: numbers("rounds", values.rounds)[0]!,
    seconds: numbers("seconds", values.seconds)[0]!,
    warmUp: numbers("warm-up", values["warm-up"])[0]!,
    only: values.only,
  };
  for (const n of numbers("nodes", values.nodes)) await cluster(there, n, how, run.cells);
  console.log(`\nratios, ${QUORATE.name} to the other; rate above 1 and times and CPU below 1 are better\n`);
  console.log(tableOf(run, QUORATE.name));
  if (values.json !== undefined) await Deno.writeTextFile(values.json, `${JSON.stringify(run, null, 1)}\n`);
  if (values.svg !== undefined) await Deno.writeTextFile(values.svg, chartOf(run, QUORATE.name));
  return 0;
}

type How = {
  readonly workers: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUp: number;
  readonly only: readonly string[];
};

/** All systems of one size at once, so that each has the same neighbours while it is measured. */
async function cluster(systems: readonly System[], n: number, how: How, cells: Cell[]): Promise<void> {
  const running: Running[] = [];
  try {
    for (const system of systems) running.push(await system.start(n));
    for (const load of LOADS.filter(({ name }) => how.only.includes(name))) {
      const counts = load.workers ?? how.workers;
      const some = load.workers === undefined ? counts : counts.filter((w) => w <= Math.max(2, ...how.workers));
      for (const workers of some) {
        const warmUp = cells.some((cell) => cell.n === n) ? how.warmUp / 5 : how.warmUp;
        const benches = await Promise.all(
          running.map((one, i) => Bench.open(one, load, workers, `r${cells.length}-${i}`)),
        );
        const samples = systems.map(() => [] as Cell["samples"][string][number][]);
        for (const bench of benches) await bench.sample(warmUp);
        for (let round = 0; round < how.rounds; round++) {
          const order = [...benches.keys()];
          if (round % 2 === 1) order.reverse();
          for (const i of order) samples[i]!.push(await benches[i]!.sample(how.seconds));
        }
        for (const bench of benches) bench.close();
        const named = Object.fromEntries(systems.map(({ name }, i) => [name, samples[i]!]));
        const cell = { load: load.name, n, workers, samples: named };
        cells.push(cell);
        console.log(lineOf(cell, load.unit));
      }
    }
  } finally {
    await Promise.all(running.map((one) => one.stop()));
  }
}

function lineOf(cell: Cell, unit: string): string {
  const each = Object.entries(cell.samples).map(([name, samples]) => {
    const { perSecond, p50Ms, p99Ms, cpuUs } = mediansOf(samples);
    const times = `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, CPU ${cpuUs.toFixed(0)} µs`;
    return `${name} ${perSecond.toFixed(0)} ${unit}/s, ${times}`;
  });
  const ratios = ratiosOf(cell, QUORATE.name).map(({ other, ratio }) => `${ratio.perSecond.toFixed(2)}× ${other}`);
  return `${cell.load}, n=${cell.n}, W=${cell.workers}: ${[...each, ...ratios].join("; ")}`;
}

function numbers(name: string, text: string): readonly number[] {
  const list = text.split(",").map(Number);
  if (list.some((number) => !(number > 0))) {
    throw new Error(`--${name} is numbers above 0, not ${JSON.stringify(text)}`);
  }
  return list;
}

async function machine(): Promise<string> {
  const cores = navigator.hardwareConcurrency;
  const cpuinfo = await Deno.readTextFile("/proc/cpuinfo").catch(() => "");
  const model = /^model name\s*: (.*)$/m.exec(cpuinfo)?.[1] ?? Deno.build.arch;
  return `${cores} cores, ${model}, ${Deno.build.os}`;
}

if (import.meta.main) {
  try {
    Deno.exit(await main());
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(2);
  }
}
