/** One system under one load for some seconds: how much it did, how long it took, what it cost. */
import { residentBytes } from "../chaos/real_cluster.ts";
import { type Board, type Load, namesOf, type Step } from "./loads.ts";
import { goOn } from "./stop.ts";
import type { Driver, Running } from "./system.ts";

export type Sample = {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of all servers for one of what is counted, in µs; null where there is no /proc. */
  readonly cpuUs: number | null;
  /** Resident at the end of it, of the largest server, in bytes; null as before. */
  readonly memory: number | null;
};

/** Workers of one load on one system, connected once and used for every sample. */
export class Bench {
  readonly #running: Running;
  readonly #drivers: readonly Driver[];
  readonly #steps: readonly Step[];
  readonly #board: Board;

  private constructor(running: Running, drivers: readonly Driver[], steps: readonly Step[], board: Board) {
    this.#running = running;
    this.#drivers = drivers;
    this.#steps = steps;
    this.#board = board;
  }

  /** @param run goes into every name, so that none was used before */
  static async open(running: Running, load: Load, workers: number, run: string): Promise<Bench> {
    const { urls } = running;
    const drivers = await Promise.all(
      Array.from({ length: workers }, (_, worker) => running.connect(urls[worker % urls.length]!)),
    );
    const names = namesOf(load, workers, run);
    const board: Board = { resignedMs: null };
    const steps = await Promise.all(drivers.map((driver, worker) => load.worker(driver, names[worker]!, board)));
    return new Bench(running, drivers, steps, board);
  }

  async sample(seconds: number): Promise<Sample> {
    const before = await cpuMs(this.#running.pids);
    const startedMs = performance.now();
    const endMs = startedMs + seconds * 1_000;
    const took: number[] = [];
    let done = 0;
    // Between samples nobody waits.
    this.#board.resignedMs = null;
    await Promise.all(this.#steps.map(async (step) => {
      while (performance.now() < endMs) {
        goOn();
        const ms = await step();
        done++;
        if (ms !== null) took.push(ms);
      }
    }));
    const lasted = (performance.now() - startedMs) / 1_000;
    const after = await cpuMs(this.#running.pids);
    took.sort((a, b) => a - b);
    return {
      perSecond: done / lasted,
      p50Ms: quantile(took, 0.5),
      p99Ms: quantile(took, 0.99),
      cpuUs: before === null || after === null ? null : (after - before) * 1_000 / done,
      memory: await largest(this.#running.pids),
    };
  }

  /** Each worker does it so many times. */
  async times(rounds: number): Promise<void> {
    await Promise.all(this.#steps.map(async (step) => {
      for (let round = 0; round < rounds; round++) {
        goOn();
        await step();
      }
    }));
  }

  close(): void {
    for (const driver of this.#drivers) driver.close();
  }
}

export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? NaN;
}

export function median(values: readonly number[]): number {
  return quantile([...values].sort((a, b) => a - b), 0.5);
}

async function largest(pids: readonly number[]): Promise<number | null> {
  const all = await Promise.all(pids.map(residentBytes));
  return all.reduce((most, one) => one === null ? most : Math.max(most ?? 0, one), null);
}

/** User and system time of the processes, by their own accounting; a tick is 10 ms on Linux. */
export async function cpuMs(pids: readonly number[]): Promise<number | null> {
  if (Deno.build.os !== "linux") return null;
  const ticks = await Promise.all(pids.map(async (pid) => {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
    // The name of the program stands in parentheses, and may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11]) + Number(fields[12]);
  }));
  return ticks.reduce((sum, one) => sum + one, 0) * 10;
}
