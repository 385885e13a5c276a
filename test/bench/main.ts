/** `deno task bench`: this project and its peers side by side, on real files, in one run; and what each part of it costs. */
import { compare } from "./compare.ts";
import { count, countsTable } from "./counts.ts";
import { disk, diskTable, withStores } from "./disk.ts";
import { ETCD } from "./etcd.ts";
import { EFFORT, growth, growthTable, sizesUpTo, withCluster } from "./growth.ts";
import { LOADS } from "./loads.ts";
import { type Options, parseOptions, UsageError } from "./options.ts";
import { overload, overloadTable } from "./overload.ts";
import { partsTable, profile } from "./profile.ts";
import { QUORATE } from "./quorate.ts";
import { type Cell, chartOf, type Run, tableOf } from "./report.ts";
import { SHARED_STORE } from "./shared_store.ts";
import { leftoverRow, leftovers, LEFTOVERS_HEAD, withKept } from "./leftovers.ts";
import { listenForStop } from "./stop.ts";
import type { System } from "./system.ts";
import { regions, wan, wanTable } from "./wan.ts";
import { ZOOKEEPER } from "./zookeeper.ts";

const HELP = `deno task bench [--nodes 3] [--workers 1,16,64] [--rounds 5] [--seconds 3] [--warm-up 15] [--only LOAD]…
                [--json FILE] [--svg FILE]
deno task bench --counts [--nodes 3] [--workers 1,16,64] [--cycles 100] [--only LOAD]… [--json FILE]
deno task bench --profile [--nodes 3] [--workers 64] [--seconds 10] [--warm-up 15] [--only LOAD] [--json FILE]
deno task bench --overload [--nodes 3] [--workers 64] [--rounds 5] [--seconds 6] [--warm-up 15] [--json FILE]
deno task bench --growth [--nodes 3] [--names 100000] [--json FILE]
deno task bench --disk [--nodes 3] [--names 10000] [--cycles 100000] [--workers 16] [--json FILE]
deno task bench --leftovers [--nodes 3] [--names 100000] [--rounds 2] [--forget MINUTES] [--json FILE]
deno task bench --wan [--cycles 50] [--json FILE]

Starts each system that is installed, puts the same load on one after the other, round by round, in turned order, and prints
the ratios of the medians. Figures of other runs, or other machines, say nothing beside these.

  --nodes     sizes of the clusters, one after another: 1,3,5
  --workers   clients at once, each on a connection of its own
  --rounds    samples of each cell and system
  --seconds   of a sample
  --warm-up   seconds of load on each system before its first sample of a cluster; of a later cell a fifth of it
  --only      one or more of: ${LOADS.map(({ name }) => JSON.stringify(name)).join(", ")}
  --counts    of this project alone: what one of these takes, in values decided, messages and requests between nodes,
              commits, rows and their bytes, all nodes together
  --profile   of this project alone: self time of one node under one load, by file and package
  --overload  of this project alone: four times as many lock cycles begun as the workers get done when each waits for its
              answers; how many still get through, what the others are told, and whether holders keep their locks
  --growth    of this project alone: 10 names, 100 and so on up to --names
  --disk      of this project alone: bytes of a node's store for each name of a kind, and what --cycles lock cycles on the
              same names add to it
  --leftovers of this project alone: --names locks taken and given back once a round; memory and file of a node. With
              --forget names unused for so many minutes are forgotten, and each round ends when all are
  --wan       of this project alone: five nodes, all links as slow as between the regions of PROTOCOL.md §11
  --cycles    that each worker does while they are counted or timed; with --disk all of them together

etcd is Debian's etcd-server, or what QUORATE_BENCH_ETCD names; denokv, for nodes of two processes on one database each, is
what QUORATE_DENOKV names, or on PATH; ZooKeeper is Debian's zookeeper, or on the class path QUORATE_BENCH_ZOOKEEPER.

Exit code: 0 measured, 1 it failed or was stopped on the way, 2 an option is wrong.`;

const SYSTEMS: readonly System[] = [QUORATE, SHARED_STORE, ETCD, ZOOKEEPER];

async function main(): Promise<number> {
  const options = parseOptions(Deno.args);
  if (options === null) {
    console.log(HELP);
    return 0;
  }
  for (const path of [options.json, options.svg]) if (path !== null) await mustTake(path);
  listenForStop();
  const head = { at: new Date().toISOString(), machine: await machine() };
  const result = await RUN[options.program](options, head);
  if (options.json !== null) await Deno.writeTextFile(options.json, `${JSON.stringify(result, null, 1)}\n`);
  return 0;
}

/** Found out now, not when all is measured. */
async function mustTake(path: string): Promise<void> {
  try {
    await Deno.writeTextFile(path, "", { append: true });
  } catch (error) {
    throw new UsageError(`cannot write ${path}: ${(error as Error).message}`, { cause: error });
  }
}

const GROWTH_LEGEND =
  `list: ten names, watch: from a write to its event at ${EFFORT.watchers} watchers, restart and memory: of node a`;

type Head = Pick<Run, "at" | "machine">;

/** Each prints what it finds, and resolves with it as JSON. */
const RUN: Readonly<Record<Options["program"], (options: Options, head: Head) => Promise<object>>> = {
  async compare(options, head) {
    const versions = await Promise.all(SYSTEMS.map(async (system) => [system.name, await system.version()] as const));
    const there = SYSTEMS.filter(({ name }) => versions.some(([one, version]) => one === name && version !== null));
    const run: Run & { cells: Cell[] } = {
      ...head,
      versions: Object.fromEntries(versions.flatMap(([name, version]) => version === null ? [] : [[name, version]])),
      leftOut: SYSTEMS.filter((system) => !there.includes(system)).map(({ name }) => name),
      cells: [],
    };
    console.log(`${run.at}, ${run.machine}; ${JSON.stringify(run.versions)}`);
    for (const name of run.leftOut) console.log(`LEFT OUT: ${name} is not installed`);
    for (const n of options.nodes) await compare(there, n, options, run.cells);
    console.log(`\nratios, ${QUORATE.name} to the other; rate above 1 and times, CPU and memory below 1 are better\n`);
    console.log(tableOf(run, QUORATE.name));
    if (options.svg !== null) await Deno.writeTextFile(options.svg, chartOf(run, QUORATE.name));
    return run;
  },
  async counts(options, head) {
    await own(head);
    const counted = await count(options);
    console.log(`\nfor one of each, all nodes together\n\n${countsTable(counted)}`);
    return { ...head, counted };
  },
  async profile(options, head) {
    await own(head);
    const parts = await profile(options);
    console.log(
      `\nself time of node a's main thread, ${options.only[0]}, W=${options.workers[0]}\n\n${partsTable(parts)}`,
    );
    return { ...head, parts };
  },
  async overload(options, head) {
    await own(head);
    const running = await QUORATE.start(options.nodes[0]!);
    try {
      const rounds = await overload(running, options);
      const what = `four times what W=${options.workers[0]} do, lock cycles`;
      console.log(`\n${what}; medians of ${options.rounds} rounds\n\n${overloadTable(rounds)}`);
      return { ...head, rounds };
    } finally {
      await running.stop();
    }
  },
  async growth(options, head) {
    await own(head);
    const sizes = await withCluster(
      options.nodes[0]!,
      (grown) =>
        growth(grown, sizesUpTo(options.names), undefined, ({ names }) => console.log(`${names} names measured`)),
    );
    console.log(`\nby the smallest; ${GROWTH_LEGEND}\n\n${growthTable(sizes)}`);
    return { ...head, sizes };
  },
  async disk(options, head) {
    await own(head);
    const effort = { names: options.names, cycles: options.cycles, workers: options.workers[0]! };
    const found = await withStores(options.nodes[0]!, (measured) => disk(measured, effort, console.log));
    console.log(`\n${diskTable(found)}`);
    return { ...head, found };
  },
  async leftovers(options, head) {
    await own(head);
    console.log(`\n${LEFTOVERS_HEAD}`);
    const found = await withKept(
      options.nodes[0]!,
      options.forget,
      (kept) =>
        leftovers(
          kept,
          { ...options, forgets: options.forget !== null },
          // As it comes: a run that is stopped after hours has told what it saw.
          (one) => console.log(leftoverRow(one)),
        ),
    );
    return { ...head, found };
  },
  async wan(options, head) {
    await own(head);
    const rows = await wan(await regions(), options.cycles);
    console.log(
      `\nmedians, by the round trip to the nearest majority; a client a region, all at once\n\n${wanTable(rows)}`,
    );
    return { ...head, rows };
  },
};

async function own({ at, machine }: Head): Promise<void> {
  console.log(`${at}, ${machine}; ${QUORATE.name} ${await QUORATE.version()}`);
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
    Deno.exit(error instanceof UsageError ? 2 : 1);
  }
}
