/** Members in five regions, a client in each: how long a caller waits, against the round trip to the nearest majority. */
import { RealCluster } from "../chaos/real_cluster.ts";
import { median } from "./measure.ts";
import { QuorateDriver } from "./quorate.ts";
import { goOn } from "./stop.ts";

/** Round trips between regions, in ms, the row's own included. */
export type Regions = { readonly names: readonly string[]; readonly rttMs: readonly (readonly number[])[] };

/** What each takes, in medians, by how many times the floor. */
export type Region = { readonly region: string; readonly floorMs: number } & Readonly<Record<Operation, number>>;

const OPERATIONS = ["acquire", "release", "read"] as const;
type Operation = typeof OPERATIONS[number];

const WARM_UP_CYCLES = 20;

/** PROTOCOL.md has the table, and it alone. */
export async function regions(): Promise<Regions> {
  const text = await Deno.readTextFile(new URL("../../src/paxos/PROTOCOL.md", import.meta.url));
  const section = text.slice(text.indexOf("\n## 11."), text.indexOf("\n## 12."));
  const rows = [...section.matchAll(/^\| ([a-z0-9-]+) \|(.*)\|$/gm)].map(([, name, cells]) => ({
    name: name!,
    rttMs: cells!.split("|").map(Number),
  }));
  return { names: rows.map(({ name }) => name), rttMs: rows.map(({ rttMs }) => rttMs) };
}

/** The least that anything decided can take: the round trip to the nearest majority, oneself included. */
export function floorMs(rttMs: readonly number[]): number {
  return [...rttMs].sort((a, b) => a - b)[Math.floor(rttMs.length / 2)]!;
}

/** @param cycles of each client, that are counted */
export async function wan({ names, rttMs }: Regions, cycles: number, warmUp = WARM_UP_CYCLES): Promise<Region[]> {
  const lines = await Lines.start(rttMs);
  try {
    const cluster = await RealCluster.start(names.length, 0, { isolates: 1, links: (urls) => lines.between(urls) });
    try {
      const took = await Promise.all(cluster.ids.map((id) => client(cluster, id, warmUp, cycles)));
      return names.map((region, i) => {
        const floor = floorMs(rttMs[i]!);
        const times = (operation: Operation) => median(took[i]![operation]) / floor;
        return { region, floorMs: floor, acquire: times("acquire"), release: times("release"), read: times("read") };
      });
    } finally {
      await cluster.stop();
    }
  } finally {
    await lines.stop();
  }
}

/** Beside its node, on a lock and a register of its own. */
async function client(
  cluster: RealCluster,
  id: string,
  warmUp: number,
  cycles: number,
): Promise<Readonly<Record<Operation, readonly number[]>>> {
  const took: Record<Operation, number[]> = { acquire: [], release: [], read: [] };
  const driver = await QuorateDriver.connect(cluster.url(id));
  try {
    for (let cycle = 0; cycle < warmUp + cycles; cycle++) {
      goOn();
      const isCounted = cycle >= warmUp;
      const timed = async <T>(operation: Operation, work: Promise<T>): Promise<T> => {
        const startedMs = performance.now();
        const result = await work;
        if (isCounted) took[operation].push(performance.now() - startedMs);
        return result;
      };
      if (cycle === 0) await driver.put(`wan-${id}`, "x");
      const token = await timed("acquire", driver.acquire(`wan-${id}`));
      await timed("release", driver.release(`wan-${id}`, token));
      await timed("read", driver.get(`wan-${id}`));
    }
  } finally {
    driver.close();
  }
  return took;
}

/** A line for each directed pair of members, all in one process that does nothing else. */
class Lines {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #ports: readonly number[];
  readonly #members: number;

  private constructor(child: Deno.ChildProcess, ports: readonly number[], members: number) {
    this.#child = child;
    this.#input = child.stdin.getWriter();
    this.#ports = ports;
    this.#members = members;
  }

  /** A request takes half of the round trip, and its answer the other half. */
  static async start(rttMs: readonly (readonly number[])[]): Promise<Lines> {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "-A",
        new URL("delay_proxy.ts", import.meta.url).href,
        JSON.stringify(rttMs.flat().map((ms) => ms / 2)),
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const ports = await firstLine(child.stdout);
    return new Lines(child, JSON.parse(ports), rttMs.length);
  }

  /** As `ClusterOptions.links` wants it. */
  between(urls: ReadonlyMap<string, string>): (from: string, to: string) => string {
    const ids = [...urls.keys()];
    const targets = ids.flatMap(() => [...urls.values()].map((url) => Number(new URL(url).port)));
    // Connections that come before it is told wait there.
    void this.#input.write(new TextEncoder().encode(`${JSON.stringify(targets)}\n`));
    return (from, to) => `http://127.0.0.1:${this.#ports[ids.indexOf(from) * this.#members + ids.indexOf(to)]}`;
  }

  async stop(): Promise<void> {
    await this.#input.close();
    await this.#child.status;
  }
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    text += part;
    if (text.includes("\n")) break;
  }
  return text;
}

export function wanTable(rows: readonly Region[]): string {
  const mean = (pick: (row: Region) => number) => rows.reduce((sum, row) => sum + pick(row), 0) / rows.length;
  const floor = mean((row) => row.floorMs);
  // The times are averaged, not the ratios: a far region weighs as much as its callers wait.
  const overall = (operation: Operation) => mean((row) => row[operation] * row.floorMs) / floor;
  const all: Region = {
    region: "mean",
    floorMs: floor,
    acquire: overall("acquire"),
    release: overall("release"),
    read: overall("read"),
  };
  const head = `| region | floor, ms | ${OPERATIONS.join(" | ")} |\n|---|---|---|---|---|`;
  const lines = [...rows, all].map((row) => {
    const times = OPERATIONS.map((operation) => `${row[operation].toFixed(3)}×`).join(" | ");
    return `| ${row.region} | ${row.floorMs.toFixed(1)} | ${times} |`;
  });
  return [head, ...lines].join("\n");
}
