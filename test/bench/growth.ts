/** The same work on more and more names: what it does to a write, a read, memory, a restart and those who watch. */
import { EventReader } from "../routes/event_reader.ts";
import { RealCluster, residentBytes } from "../chaos/real_cluster.ts";
import { batched } from "./batch.ts";
import { Connection } from "./connection.ts";
import { median } from "./measure.ts";
import { QuorateDriver } from "./quorate.ts";
import { goOn } from "./stop.ts";
import { expectOk } from "./system.ts";

/** What grows; a cluster that is here for as long as it is asked. */
export type Grown = {
  /** Origins, a node each. */
  readonly urls: readonly string[];
  /** The first node ends and starts again; resolves when it is ready. */
  restart(): Promise<void>;
  /** What the first node holds, in bytes; null where there is no telling. */
  memory(): Promise<number | null>;
};

const MEASURES = ["PUT", "GET", "list", "watch", "restart", "memory"] as const;
/** Milliseconds, medians: a write, a read, a list of LISTED names, a write's event, a restart; and bytes of memory. */
export type Growth = { readonly names: number } & Readonly<Record<typeof MEASURES[number], number>>;

export type GrowthEffort = {
  readonly samples: number;
  readonly restarts: number;
  readonly watchers: number;
  readonly changes: number;
};

export const EFFORT: GrowthEffort = { samples: 300, restarts: 3, watchers: 300, changes: 10 };
const FIRST_NAMES = 10;
/** As many as there are at the smallest size. */
const LISTED = FIRST_NAMES;
const BATCH = 50;
const FILLERS = 4;
const VALUE = "x".repeat(100);

/** Ten names, a hundred, and so on up to `names`. */
export function sizesUpTo(names: number): readonly number[] {
  const sizes: number[] = [];
  for (let size = FIRST_NAMES; size < names; size *= 10) sizes.push(size);
  return [...sizes, names];
}

/** @param tell each as soon as it is known, as the largest take long */
export async function growth(
  grown: Grown,
  sizes: readonly number[],
  effort: GrowthEffort = EFFORT,
  tell: (size: Growth) => void = () => {},
): Promise<readonly Growth[]> {
  const found: Growth[] = [];
  let filled = 0;
  for (const names of sizes) {
    await fillUp(grown.urls, filled, names);
    // At first code is cold; what that costs is no part of growth.
    if (filled === 0) await timesOf(grown, names, effort);
    filled = names;
    const times = await timesOf(grown, names, effort);
    const watch = await watched(grown.urls, effort);
    const memory = await grown.memory() ?? NaN;
    const restarts: number[] = [];
    for (let i = 0; i < effort.restarts; i++) restarts.push(await timed(() => grown.restart()));
    const size = { names, ...times, watch, restart: median(restarts), memory };
    found.push(size);
    tell(size);
  }
  return found;
}

/** By the first of them; above 1 is slower, or more. */
export function growthTable(sizes: readonly Growth[]): string {
  const [first] = sizes;
  const head = `| names | ${MEASURES.join(" | ")} |\n|---|${"---|".repeat(MEASURES.length)}`;
  const lines = sizes.map((size) => {
    const ratios = MEASURES.map((measure) => size[measure] / first![measure]);
    return `| ${size.names} | ${
      ratios.map((ratio) => Number.isFinite(ratio) ? `${ratio.toFixed(2)}×` : "–").join(" | ")
    } |`;
  });
  return [head, ...lines].join("\n");
}

/** With `use`, a cluster of real nodes on files of their own. */
export async function withCluster<T>(n: number, use: (grown: Grown) => Promise<T>): Promise<T> {
  const cluster = await RealCluster.start(n, 0, { isolates: 1 });
  const first = cluster.ids[0]!;
  try {
    return await use({
      urls: cluster.ids.map((id) => cluster.url(id)),
      restart: async () => {
        await cluster.end(first);
        await cluster.startNode(first);
      },
      memory: () => residentBytes(cluster.pid(first)),
    });
  } finally {
    await cluster.stop();
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  goOn();
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

const nameOf = (index: number) => `growth-${index}`;

async function fillUp(urls: readonly string[], from: number, to: number): Promise<void> {
  let next = from;
  await Promise.all(Array.from({ length: FILLERS }, async (_, i) => {
    const connection = await Connection.open(urls[i % urls.length]!);
    while (next < to) {
      goOn();
      const first = next;
      next = Math.min(to, next + BATCH);
      const operations = Array.from({ length: next - first }, (_, j) => (
        { method: "PUT", path: `/v1/kv/${nameOf(first + j)}`, body: VALUE }
      ));
      await batched(connection, operations);
    }
    connection.close();
  }));
}

/** One client of the last node, which is not restarted, on names at random. */
async function timesOf({ urls }: Grown, names: number, { samples }: GrowthEffort) {
  const driver = await QuorateDriver.connect(urls.at(-1)!);
  const any = () => nameOf(Math.floor(Math.random() * names));
  const medianOf = async (work: () => Promise<unknown>) => {
    const took: number[] = [];
    for (let i = 0; i < samples; i++) took.push(await timed(work));
    return median(took);
  };
  const list = `/v1/kv?prefix=growth-&limit=${LISTED}`;
  try {
    return {
      PUT: await medianOf(() => driver.put(any(), VALUE)),
      GET: await medianOf(() => driver.get(any())),
      list: await medianOf(async () => expectOk(await driver.connection.request("GET", list))),
    };
  } finally {
    driver.close();
  }
}

/** From the start of a write to its event, of all who watch its name, at all nodes. */
async function watched(urls: readonly string[], { watchers, changes }: GrowthEffort): Promise<number> {
  const key = "growth-watched";
  const driver = await QuorateDriver.connect(urls.at(-1)!);
  await driver.put(key, "0");
  const readers: EventReader[] = [];
  try {
    for (let i = 0; i < watchers; i++) {
      const response = await fetch(`${urls[i % urls.length]!}/v1/kv/${key}/events`);
      const reader = new EventReader(response);
      readers.push(reader);
      if (response.status !== 200 || await reader.next() === null) throw new Error(`no stream: ${response.status}`);
    }
    const took: number[] = [];
    for (let change = 1; change <= changes; change++) {
      const startedMs = performance.now();
      const seen = readers.map(async (reader) => {
        if (await reader.next() === null) throw new Error("a stream ended");
        took.push(performance.now() - startedMs);
      });
      await Promise.all([driver.put(key, `${change}`), ...seen]);
    }
    return median(took);
  } finally {
    await Promise.all(readers.map((reader) => reader.close()));
    driver.close();
  }
}
