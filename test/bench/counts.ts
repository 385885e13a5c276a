/** What one of a load takes, counted over all nodes: no time is measured, so that a busy machine does no harm. */
import { pause, RealCluster } from "../chaos/real_cluster.ts";
import { combined, type Counts, NO_COUNTS } from "./counter.ts";
import { COUNTS_AT } from "./counting_node.ts";
import { type Load, LOADS, namesOf, workersOf } from "./loads.ts";
import { Bench } from "./measure.ts";
import type { Options } from "./options.ts";
import { runningOf } from "./quorate.ts";

/** Counts for one of what the load does. */
export type Counted = { readonly load: string; readonly n: number; readonly workers: number } & Counts & {
  readonly values: number;
};

/** Windows and histories are full then: from there on a record keeps its size (PROTOCOL.md §6). */
const FILL = 40;
/** What was decided last is told to everybody by then. */
const SETTLE_MS = 200;

type Wanted = Pick<Options, "nodes" | "workers" | "cycles" | "only">;

/** @param fill values that each name gets before */
export async function count(options: Wanted, fill: number = FILL): Promise<readonly Counted[]> {
  const counted: Counted[] = [];
  for (const n of options.nodes) {
    const cluster = await RealCluster.start(n, 0, { isolates: 1, main: ["test/bench/counting_node.ts"] });
    try {
      for (const load of LOADS.filter(({ name }) => options.only.includes(name))) {
        for (const workers of workersOf(load, options.workers)) {
          const run = `c${counted.length}`;
          counted.push({
            load: load.name,
            n,
            workers,
            ...await countOne(cluster, load, workers, run, fill, options.cycles),
          });
        }
      }
    } finally {
      await cluster.stop();
    }
  }
  return counted;
}

async function countOne(
  cluster: RealCluster,
  load: Load,
  workers: number,
  run: string,
  fill: number,
  cycles: number,
): Promise<Counts & { readonly values: number }> {
  const bench = await Bench.open(runningOf(cluster), load, workers, run);
  const paths = [...new Set(namesOf(load, workers, run))].map((name) => `/v1/${load.noun}/${name}`);
  try {
    await bench.times(Math.ceil(fill * paths.length / workers));
    const before = await look(cluster, paths);
    await bench.times(cycles);
    const after = await look(cluster, paths);
    const counts = combined(after.counts, before.counts, (x, y) => (x - y) / (cycles * workers));
    return { ...counts, values: (after.values - before.values) / (cycles * workers) };
  } finally {
    bench.close();
  }
}

async function look(cluster: RealCluster, paths: readonly string[]) {
  await pause(SETTLE_MS);
  let counts = NO_COUNTS;
  for (const id of cluster.ids) {
    const url = cluster.output(id).split("\n").find((line) => line.startsWith(COUNTS_AT))!.slice(COUNTS_AT.length);
    counts = combined(counts, await (await fetch(url)).json(), (x, y) => x + y);
  }
  // The instances of names that nobody had used: each decided one value.
  let values = 0;
  for (const path of paths) {
    const response = await fetch(cluster.url("a") + path);
    await response.body?.cancel();
    values += Number(response.headers.get("Consensus-Instance"));
  }
  return { counts, values };
}

export function countsTable(counted: readonly Counted[]): string {
  const head = "| load | n | workers | values | messages | requests | their bytes | commits | rows | their bytes |\n" +
    "|---|---|---|---|---|---|---|---|---|---|";
  const lines = counted.map((one) => {
    const figures = [one.values, one.messages, one.requests, one.requestBytes, one.commits, one.rows, one.rowBytes];
    return `| ${one.load} | ${one.n} | ${one.workers} | ${figures.map(short).join(" | ")} |`;
  });
  return [head, ...lines].join("\n");
}

function short(figure: number): string {
  return figure >= 100 ? figure.toFixed(0) : figure.toFixed(2);
}
