/** What a store takes on disk: for each name of a kind, and for cycle after cycle on the same names. */
import { RealCluster } from "../chaos/real_cluster.ts";
import { QuorateDriver } from "./quorate.ts";
import { goOn } from "./stop.ts";

/** A cluster whose first node can be measured. */
export type Measured = {
  /** The first node's origin. */
  readonly url: string;
  /** Bytes of its store's files, after all of it has been written back: while it is ended. It runs again afterwards. */
  bytes(): Promise<number>;
};

export type DiskEffort = { readonly names: number; readonly cycles: number; readonly workers: number };

export type Disk = {
  /** Of a store that holds nothing. */
  readonly empty: number;
  /** Bytes for each name. */
  readonly kinds: readonly { readonly kind: string; readonly perName: number }[];
  /** Bytes of the files after so many cycles on as many names as there are workers. */
  readonly cycles: readonly { readonly done: number; readonly bytes: number }[];
};

type Work = (driver: QuorateDriver, name: string) => Promise<unknown>;

const cycle: Work = async (driver, name) => driver.release(name, await driver.acquire(name));
/** Names are about as long as people's: 20 characters. */
const nameOf = (kind: number, index: number) => `team/service-${kind}-${`${index}`.padStart(5, "0")}`;
const encoded = (name: string) => name.replaceAll("/", "%2F");
const put = (bytes: number): Work => (driver, name) => driver.put(name, "x".repeat(bytes));

const KINDS: readonly { readonly kind: string; readonly work: Work }[] = [
  { kind: "a lock that was used once and is free", work: cycle },
  { kind: "a lock that is held", work: (driver, name) => driver.acquire(name) },
  { kind: "an election with a leader", work: (driver, name) => driver.campaign(name) },
  { kind: "a register of 100 bytes", work: put(100) },
  { kind: "a register of 10,000 bytes", work: put(10_000) },
];
/** Of the larger values there are fewer, or it would take all of the time. */
const SHARE: Readonly<Record<string, number>> = { "a register of 10,000 bytes": 0.1 };
const STEPS = 4;
const MILLION = 1_000_000;

/** @param tell each as soon as it is known */
export async function disk(
  { url, bytes }: Measured,
  { names, cycles, workers }: DiskEffort,
  tell: (line: string) => void = () => {},
): Promise<Disk> {
  const empty = await bytes();
  const kinds: { kind: string; perName: number }[] = [];
  let before = empty;
  for (const [index, { kind, work }] of KINDS.entries()) {
    const count = Math.max(1, Math.round(names * (SHARE[kind] ?? 1)));
    await shared(url, workers, count, (driver, i) => work(driver, encoded(nameOf(index, i))));
    const after = await bytes();
    kinds.push({ kind, perName: (after - before) / count });
    tell(`${kind}: ${count} names, ${Math.round((after - before) / count)} bytes each`);
    before = after;
  }
  const sizes = [{ done: 0, bytes: before }];
  for (let step = 1; step <= STEPS; step++) {
    const [from, done] = [step - 1, step].map((many) => Math.round(cycles * many / STEPS)) as [number, number];
    await shared(url, workers, done - from, (driver, i) => cycle(driver, encoded(nameOf(KINDS.length, i % workers))));
    sizes.push({ done, bytes: await bytes() });
    tell(`${done} cycles: ${mib(sizes.at(-1)!.bytes)}`);
  }
  return { empty, kinds, cycles: sizes };
}

/** Growth for a million cycles, as the later half of them grew. */
export function perMillion({ cycles }: Disk): number {
  const [middle, last] = [cycles[STEPS / 2]!, cycles[STEPS]!];
  return (last.bytes - middle.bytes) / (last.done - middle.done) * MILLION;
}

function mib(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MiB`;
}

export function diskTable(found: Disk): string {
  return [
    "| what one node's store takes | |\n|---|---|",
    `| empty | ${mib(found.empty)} |`,
    ...found.kinds.map(({ kind, perName }) => `| ${kind} | ${Math.round(perName)} bytes |`),
    ...found.cycles.map(({ done, bytes }) => `| all of these, after ${done} lock cycles more | ${mib(bytes)} |`),
    `| growth for a million cycles on names that were there, by the later half | ${mib(perMillion(found))} |`,
  ].join("\n");
}

/** With `use`, a cluster of real nodes on files of their own. */
export async function withStores<T>(n: number, use: (measured: Measured) => Promise<T>): Promise<T> {
  const cluster = await RealCluster.start(n, 0, { isolates: 1 });
  const first = cluster.ids[0]!;
  try {
    return await use({
      url: cluster.url(first),
      bytes: async () => {
        await cluster.end(first);
        const bytes = await sizeOf(cluster.store(first));
        await cluster.startNode(first);
        return bytes;
      },
    });
  } finally {
    await cluster.stop();
  }
}

async function sizeOf(path: string): Promise<number> {
  const files = await Promise.all(["", "-wal", "-shm"].map((end) => Deno.stat(path + end).catch(() => null)));
  return files.reduce((sum, file) => sum + (file?.size ?? 0), 0);
}

/** `count` steps, each once, by so many clients at a time; a client's steps are those of its own names. */
async function shared(
  url: string,
  workers: number,
  count: number,
  step: (driver: QuorateDriver, index: number) => Promise<unknown>,
): Promise<void> {
  await Promise.all(Array.from({ length: Math.min(workers, count) }, async (_, worker) => {
    const driver = await QuorateDriver.connect(url);
    try {
      for (let index = worker; index < count; index += workers) {
        goOn();
        await step(driver, index);
      }
    } finally {
      driver.close();
    }
  }));
}
