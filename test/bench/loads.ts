/** What workers do, each on a connection and a server of its own; the time of its first step is what is told. */
import type { Driver } from "./system.ts";

/** A worker that is ready to do it again and again. Resolves with how long what counts took, in ms; null: it cannot tell. */
export type Step = () => Promise<number | null>;

/** What all workers of a run know of each other. */
export type Board = {
  /** When the last leader began to resign; null: nobody has, or a next one leads. */
  resignedMs: number | null;
};

export type Load = {
  readonly name: string;
  /** What is counted, a second. */
  readonly unit: string;
  /** For so many workers it makes sense; default: any. */
  readonly workers?: readonly number[];
  /** What its names name: the first part of their paths in this project's API. */
  readonly noun: "locks" | "elections" | "kv";
  /** One name for each worker, or one for all. */
  readonly names: "own" | "shared";
  worker(driver: Driver, name: string, board: Board): Promise<Step>;
};

/** What so many workers use, the n-th of them the n-th. */
export function namesOf({ noun, names }: Load, workers: number, run: string): readonly string[] {
  return Array.from(
    { length: workers },
    (_, worker) => names === "own" ? `${run}-${noun}-${worker}` : `${run}-${noun}`,
  );
}

/** Numbers of workers that the load is put on with. */
export function workersOf({ workers }: Load, wanted: readonly number[]): readonly number[] {
  return workers?.filter((count) => count <= Math.max(4, ...wanted)) ?? wanted;
}

const VALUE = "x".repeat(100);

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

/** Takes the lock and gives it back; the take is what is timed. @param take resolves with what gives it back */
function cycle(take: (driver: Driver, name: string) => Promise<string>): Load["worker"] {
  return (driver, name) =>
    Promise.resolve(async () => {
      let token = "";
      const ms = await timed(async () => token = await take(driver, name));
      await driver.release(name, token);
      return ms;
    });
}

export const LOADS: readonly Load[] = [
  {
    name: "lock cycle, own keys",
    unit: "cycles",
    noun: "locks",
    names: "own",
    worker: cycle((driver, name) => driver.acquire(name)),
  },
  {
    name: "one hot lock",
    unit: "hand-overs",
    workers: [16, 64],
    noun: "locks",
    names: "shared",
    worker: cycle((driver, name) => driver.wait(name)),
  },
  {
    name: "one hot lock, holders that renew",
    unit: "hand-overs",
    workers: [16, 64],
    noun: "locks",
    names: "shared",
    worker: cycle((driver, name) => driver.wait(name, true)),
  },
  {
    name: "register PUT, own keys",
    unit: "writes",
    noun: "kv",
    names: "own",
    worker: (driver, name) => Promise.resolve(() => timed(() => driver.put(name, VALUE))),
  },
  {
    name: "linearizable GET, own keys",
    unit: "reads",
    noun: "kv",
    names: "own",
    worker: async (driver, name) => {
      await driver.put(name, VALUE);
      return () => timed(() => driver.get(name));
    },
  },
  {
    name: "election, resign to next leader",
    unit: "hand-overs",
    // Somebody always waits, also while the last leader asks again.
    workers: [4],
    noun: "elections",
    names: "shared",
    worker: (driver, name, board) =>
      Promise.resolve(async () => {
        const token = await driver.campaign(name);
        const ms = board.resignedMs === null ? null : performance.now() - board.resignedMs;
        board.resignedMs = performance.now();
        await driver.resign(name, token);
        return ms;
      }),
  },
];
