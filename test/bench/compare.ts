/** Systems side by side: the same load on one after the other, round by round, in turned order. */
import { LOADS, workersOf } from "./loads.ts";
import { Bench } from "./measure.ts";
import type { Options } from "./options.ts";
import { QUORATE } from "./quorate.ts";
import { type Cell, mediansOf, ratiosOf } from "./report.ts";
import type { Running, System } from "./system.ts";

/** All systems of one size at once, so that each has the same neighbours while it is measured. */
export async function compare(systems: readonly System[], n: number, options: Options, cells: Cell[]): Promise<void> {
  const running: Running[] = [];
  try {
    for (const system of systems) running.push(await system.start(n));
    for (const load of LOADS.filter(({ name }) => options.only.includes(name))) {
      for (const workers of workersOf(load, options.workers)) {
        const warmUp = cells.some((cell) => cell.n === n) ? options.warmUp / 5 : options.warmUp;
        const benches = await Promise.all(
          running.map((one, i) => Bench.open(one, load, workers, `r${cells.length}-${i}`)),
        );
        const samples = systems.map(() => [] as Cell["samples"][string][number][]);
        for (const bench of benches) await bench.sample(warmUp);
        for (let round = 0; round < options.rounds; round++) {
          const order = [...benches.keys()];
          if (round % 2 === 1) order.reverse();
          for (const i of order) samples[i]!.push(await benches[i]!.sample(options.seconds));
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
    const { perSecond, p50Ms, p99Ms, cpuUs, memory } = mediansOf(samples);
    const times = `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, CPU ${cpuUs.toFixed(0)} µs, ${
      (memory / 2 ** 20).toFixed(0)
    } MiB`;
    return `${name} ${perSecond.toFixed(0)} ${unit}/s, ${times}`;
  });
  const ratios = ratiosOf(cell, QUORATE.name).map(({ other, ratio }) => `${ratio.perSecond.toFixed(2)}× ${other}`);
  return `${cell.load}, n=${cell.n}, W=${cell.workers}: ${[...each, ...ratios].join("; ")}`;
}
