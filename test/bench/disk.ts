/** What a store takes on disk: for cycle after cycle on the same names, and for each name of a kind. */
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
  /** Bytes of a store that holds nothing. */
  readonly empty: number;
  /** Bytes of the files after so many cycles on as many names as there are workers. */
  readonly cycles: readonly { readonly done: number; readonly bytes: number }[];
  /** Bytes for each name. */
  readonly kinds: readonly { readonly kind: string; readonly perName: number }[];
};

type Work = (driver: QuorateDriver, name: string) => Promise<unknown>;

const cycle: Work = async (driver, name) => driver.release(name, await driver.acquire(name));
/** Names are about as long as people's: 20 characters. */
const nameOf = (kind: number, index: number) => `team/service-${kind}-${`${index}`.padStart(5, "0")}`;
const encoded = (name: string) => name.replaceAll("/", "%2F");
/** On a machine that is busy it may not be known in time what became of one; written again it is the same. */
const PUT_TRIES = 5;
const put = (bytes: number): Work => async (driver, name) => {
  for (let left = PUT_TRIES - 1;; left--) {
    try {
      return await driver.put(name, "x".repeat(bytes));
    } catch (error) {
      if (left === 0) throw error;
    }
  }
};

const KINDS: readonly { readonly kind: string; readonly work: Work }[] = [
  { kind: "a lock that was used once and is free", work: cycle },
  { kind: "a register of 100 bytes", work: put(100) },
  { kind: "a register of 10,000 bytes", work: put(10_000) },
  // These last: they run out a minute later, and that would be part of what came after them.
  { kind: "a lock that is held", work: (driver, name) => driver.acquire(name) },
  { kind: "an election with a leader", work: (driver, name) => driver.campaign(name) },
];
const STEPS = 4;
const MILLION = 1_000_000;

/** @param tell each as soon as it is known */
export async function disk(
  { url, bytes }: Measured,
  { names, cycles, workers }: DiskEffort,
  tell: (line: string) => void = () => {},
): Promise<Disk> {
  const empty = await bytes();
  const sizes = [{ done: 0, bytes: empty }];
  // First of all: by them the log grows to its bound, which is then no part of what names take.
  for (let step = 1; step <= STEPS; step++) {
    const [from, done] = [step - 1, step].map((many) => Math.round(cycles * many / STEPS)) as [number, number];
    await shared(url, workers, done - from, (driver, i) => cycle(driver, encoded(nameOf(KINDS.length, i % workers))));
    sizes.push({ done, bytes: await bytes() });
    tell(`${done} cycles: ${mib(sizes.at(-1)!.bytes)}`);
  }
  const kinds: { kind: string; perName: number }[] = [];
  let before = sizes.at(-1)!.bytes;
  for (const [index, { kind, work }] of KINDS.entries()) {
    await shared(url, workers, names, (driver, i) => work(driver, encoded(nameOf(index, i))));
    const after = await bytes();
    kinds.push({ kind, perName: (after - before) / names });
    tell(`${kind}: ${names} names, ${Math.round((after - before) / names)} bytes each`);
    before = after;
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
    ...found.cycles.map(({ done, bytes }) => `| after ${done} lock cycles on the same names | ${mib(bytes)} |`),
    `| growth for a million cycles, by the later half of these | ${mib(perMillion(found))} |`,
    ...found.kinds.map(({ kind, perName }) => `| ${kind}, each | ${Math.round(perName)} bytes |`),
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
