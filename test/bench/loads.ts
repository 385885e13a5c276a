/** What workers do, each on a connection and a server of its own; the time of its first step is what is told. */
import type { Connection } from "./connection.ts";
import type { Driver } from "./system.ts";

/** A worker that is ready to do it again and again. Resolves with how long the step that counts took, in ms. */
export type Step = (round: number) => Promise<number>;

export type Load = {
  readonly name: string;
  /** What is counted, a second. */
  readonly unit: string;
  /** For so many workers it makes sense; default: any. */
  readonly workers?: readonly number[];
  worker(driver: Driver, connection: Connection, worker: number, run: string): Promise<Step>;
};

const VALUE = "x".repeat(100);

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

export const LOADS: readonly Load[] = [
  {
    name: "lock cycle, own keys",
    unit: "cycles",
    worker: (driver, connection, worker, run) => {
      const name = `${run}-own-${worker}`;
      return Promise.resolve(async () => {
        let token = "";
        const ms = await timed(async () => token = await driver.acquire(connection, name));
        await driver.release(connection, name, token);
        return ms;
      });
    },
  },
  {
    name: "one hot lock",
    unit: "hand-overs",
    workers: [16, 64],
    worker: (driver, connection, _worker, run) => {
      const name = `${run}-hot`;
      return Promise.resolve(async () => {
        let token = "";
        const ms = await timed(async () => token = await driver.wait(connection, name));
        await driver.release(connection, name, token);
        return ms;
      });
    },
  },
  {
    name: "register PUT, own keys",
    unit: "writes",
    worker: (driver, connection, worker, run) =>
      Promise.resolve(() => timed(() => driver.put(connection, `${run}-put-${worker}`, VALUE))),
  },
  {
    name: "linearizable GET, own keys",
    unit: "reads",
    worker: async (driver, connection, worker, run) => {
      const key = `${run}-get-${worker}`;
      await driver.put(connection, key, VALUE);
      return () => timed(() => driver.get(connection, key));
    },
  },
  {
    name: "election, resign to next leader",
    unit: "hand-overs",
    workers: [2],
    worker: (driver, connection, _worker, run) => {
      const name = `${run}-election`;
      return Promise.resolve(async () => {
        let token = "";
        const ms = await timed(async () => token = await driver.campaign(connection, name));
        await driver.resign(connection, name, token);
        return ms;
      });
    },
  },
];
