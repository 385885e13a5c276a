/** What names leave behind that were locked once and are free again: memory of a node and bytes of its file, round after round. */
import { RealCluster, residentBytes } from "../chaos/real_cluster.ts";
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
  readonly memory: number;
  readonly file: number;
};

const BATCH = 50;
const FILLERS = 8;
/** Times that a round is looked at. */
const LOOKS = 4;
/** What is written a moment later, and garbage, are no part of it. */
const CALM_MS = 3_000;

/** What could not be decided in time is asked again, under its key. */
const TRIES_MAX = 60;
const PAUSE_MS = 500;

type Operation = {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
};
type Answer = { readonly status: number; readonly body: { readonly fence?: string } };

/** @param tell each as soon as it is known, as it takes long */
export async function leftovers(
  kept: Kept,
  { names, rounds, calmMs = CALM_MS }: { readonly names: number; readonly rounds: number; readonly calmMs?: number },
  tell: (found: Leftover) => void = () => {},
): Promise<readonly Leftover[]> {
  const found: Leftover[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (let look = 1; look <= LOOKS; look++) {
      const upTo = (part: number) => Math.floor(names * part / LOOKS);
      await cycle(kept.urls, round, upTo(look - 1), upTo(look));
      await new Promise((resolve) => setTimeout(resolve, calmMs));
      const one = { round, cycles: upTo(look), memory: await kept.memory() ?? NaN, file: await kept.file() };
      found.push(one);
      tell(one);
    }
  }
  return found;
}

export function leftoversTable(found: readonly Leftover[]): string {
  const mib = (bytes: number) => Number.isFinite(bytes) ? (bytes / 1024 / 1024).toFixed(1) : "–";
  const rows = found.map(({ round, cycles, memory, file }) =>
    `| ${round} | ${cycles} | ${mib(memory)} | ${mib(file)} |`
  );
  return ["| round | names in it so far | memory of node a, MiB | its file, MiB |", "|---|---|---|---|", ...rows].join(
    "\n",
  );
}

/** With `use`, a cluster of real nodes on files of their own. */
export async function withKept<T>(n: number, use: (kept: Kept) => Promise<T>): Promise<T> {
  const cluster = await RealCluster.start(n, 0, { isolates: 1 });
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
      const taken = await answered(
        connection,
        takes.map((one) => ({ ...one, method: "POST", body: { holder: "once" } })),
      );
      const releases = names.map(asking("release"));
      const release = ({ path, headers }: typeof releases[number], fence: string | undefined) => (
        { method: "DELETE", path: `${path}/${fence}`, headers }
      );
      await answered(connection, releases.map((one, j) => release(one, taken[j]!.body.fence)));
    }
    connection.close();
  }));
}

async function answered(connection: Connection, operations: readonly Operation[]): Promise<readonly Answer[]> {
  const answers: Answer[] = Array(operations.length);
  let left = operations.map((_, i) => i);
  for (let tries = 0; left.length > 0; tries++) {
    if (tries > 0) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    const text = await connection.request("POST", "/v1/batch", JSON.stringify(left.map((i) => operations[i])));
    const some = JSON.parse(expectOk(text)) as readonly Answer[];
    some.forEach((answer, j) => answers[left[j]!] = answer);
    const refused = answers.find(({ status }) => status !== 200 && (status < 500 || tries >= TRIES_MAX));
    if (refused !== undefined) throw new Error(`an operation of a batch answered ${JSON.stringify(refused)}`);
    left = left.filter((i) => answers[i]!.status !== 200);
  }
  return answers;
}
