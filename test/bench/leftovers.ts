/** What names leave behind that were locked once and are free again: memory of a node and bytes of its file, round after round. */
import { RealCluster, residentBytes } from "../chaos/real_cluster.ts";
import { batched } from "./batch.ts";
import { Connection } from "./connection.ts";
import { goOn } from "./stop.ts";
import { expectOk } from "./system.ts";

/** What is looked at; the first of its nodes. */
export type Kept = {
  /** Origins, a node each. */
  readonly urls: readonly string[];
  /** In bytes; null where there is no telling. */
  memory(): Promise<number | null>;
  file(): Promise<number>;
};

/** After so many cycles, of them in this round; bytes. */
export type Leftover = {
  readonly round: number;
  readonly cycles: number;
  /** Once these names were forgotten, so long after the last cycle; else null. */
  readonly forgottenMs: number | null;
  readonly memory: number;
  readonly file: number;
};

const BATCH = 50;
const FILLERS = 8;
/** Times that a round is looked at. */
const LOOKS = 4;
/** What is written a moment later, and garbage, are no part of it. */
const CALM_MS = 3_000;

/** Names of which it is asked whether they are forgotten, how often, and how long at most. */
const SAMPLE = 100;
const SAMPLE_EVERY_MS = 5_000;
const FORGOTTEN_WITHIN_MS = 24 * 3_600_000;

export type Amounts = {
  readonly names: number;
  readonly rounds: number;
  readonly calmMs?: number;
  /** Whether to wait after each round until all is forgotten. */
  readonly forgets?: boolean;
};

/** @param tell each as soon as it is known, as it takes long */
export async function leftovers(
  kept: Kept,
  { names, rounds, calmMs = CALM_MS, forgets = false }: Amounts,
  tell: (found: Leftover) => void = () => {},
): Promise<readonly Leftover[]> {
  const found: Leftover[] = [];
  const look = async (one: Omit<Leftover, "memory" | "file">) => {
    await new Promise((resolve) => setTimeout(resolve, calmMs));
    const seen = { ...one, memory: await kept.memory() ?? NaN, file: await kept.file() };
    found.push(seen);
    tell(seen);
  };
  for (let round = 1; round <= rounds; round++) {
    for (let part = 1; part <= LOOKS; part++) {
      const upTo = (part: number) => Math.floor(names * part / LOOKS);
      await cycle(kept.urls, round, upTo(part - 1), upTo(part));
      await look({ round, cycles: upTo(part), forgottenMs: null });
    }
    if (forgets) await look({ round, cycles: names, forgottenMs: await forgotten(kept.urls[0]!, names) });
  }
  return found;
}

export const LEFTOVERS_HEAD =
  "| round | names in it so far | memory of node a, MiB | its file, MiB |\n|---|---|---|---|";

/** A row under LEFTOVERS_HEAD. */
export function leftoverRow({ round, cycles, forgottenMs, memory, file }: Leftover): string {
  const mib = (bytes: number) => Number.isFinite(bytes) ? (bytes / 1024 / 1024).toFixed(1) : "–";
  const what = forgottenMs === null ? `${cycles}` : `all forgotten, after ${Math.round(forgottenMs / 1_000)} s`;
  return `| ${round} | ${what} | ${mib(memory)} | ${mib(file)} |`;
}

/**
 * With `use`, a cluster of real nodes on files of their own.
 * @param forget minutes; null: as long as it is by default
 */
export async function withKept<T>(n: number, forget: number | null, use: (kept: Kept) => Promise<T>): Promise<T> {
  const env: Readonly<Record<string, string>> = forget === null ? {} : { QUORATE_FORGET_AFTER: `${forget}m` };
  const cluster = await RealCluster.start(n, 0, { isolates: 1, env });
  const first = cluster.ids[0]!;
  const sizeOf = (path: string) => Deno.stat(path).then(({ size }) => size, () => 0);
  try {
    return await use({
      urls: cluster.ids.map((id) => cluster.url(id)),
      memory: () => residentBytes(cluster.pid(first)),
      file: async () => await sizeOf(cluster.store(first)) + await sizeOf(`${cluster.store(first)}-wal`),
    });
  } finally {
    await cluster.stop();
  }
}

/** How long it takes until nothing is said any more of what names that are spread over all of them were used for. */
async function forgotten(url: string, names: number): Promise<number> {
  const connection = await Connection.open(url);
  const sinceMs = performance.now();
  const left = new Set(Array.from({ length: SAMPLE }, (_, i) => Math.floor((names - 1) * i / (SAMPLE - 1))));
  try {
    while (left.size > 0) {
      goOn();
      for (const name of left) {
        const reply = await connection.request("GET", `/v1/locks/once-${name}/history`);
        // Busy.
        if (reply.status === 503) break;
        const { items } = JSON.parse(expectOk(reply));
        if (items.length === 0) left.delete(name);
        else break;
      }
      const tookMs = performance.now() - sinceMs;
      if (left.size === 0) return tookMs;
      if (tookMs > FORGOTTEN_WITHIN_MS) throw new Error(`${left.size} of ${SAMPLE} names are not forgotten`);
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_EVERY_MS));
    }
    return 0;
  } finally {
    connection.close();
  }
}

/** Takes and gives back each of these names once. */
async function cycle(urls: readonly string[], round: number, from: number, to: number): Promise<void> {
  let next = from;
  await Promise.all(Array.from({ length: FILLERS }, async (_, i) => {
    const connection = await Connection.open(urls[i % urls.length]!);
    while (next < to) {
      goOn();
      const names = Array.from({ length: Math.min(BATCH, to - next) }, (_, j) => next + j);
      next += names.length;
      const asking = (what: string) => (name: number) => ({
        path: `/v1/locks/once-${name}`,
        headers: { "Idempotency-Key": `${what}-${round}-${name}` },
      });
      const takes = names.map(asking("take"));
      const taken = await batched(
        connection,
        takes.map((one) => ({ ...one, method: "POST", body: { holder: "once" } })),
      );
      const releases = names.map(asking("release"));
      const release = ({ path, headers }: typeof releases[number], fence: string | undefined) => (
        { method: "DELETE", path: `${path}/${fence}`, headers }
      );
      await batched(connection, releases.map((one, j) => release(one, taken[j]!.body.fence)));
    }
    connection.close();
  }));
}
