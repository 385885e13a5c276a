/** Four times what the cluster can take: what still gets through, what is refused and how, and who keeps a lock meanwhile. */
import { pause } from "../chaos/real_cluster.ts";
import { Connection } from "./connection.ts";
import { Flood } from "./flood.ts";
import { LOADS } from "./loads.ts";
import { Bench, median } from "./measure.ts";
import type { Options } from "./options.ts";
import type { Running } from "./system.ts";

/** By the best: what as many workers do as told, each of whom waits for its answers. */
export type Overload = {
  /** Begun while it lasted. */
  readonly offered: number;
  /** Done while it lasted. */
  readonly done: number;
  /** What the same workers do right after it. */
  readonly afterwards: number;
  /** The share of those with a lock before who held it throughout, 0 to 1. */
  readonly kept: number;
  /** Shares of what was begun, by status and code, 0 to 1. */
  readonly refused: Readonly<Record<string, number>>;
};

const TIMES = 4;
const HOLDERS = 20;
const HOLD_TTL_MS = 6_000;
/** Who is refused tries again this soon. */
const AGAIN_MS = 200;

type Wanted = Pick<Options, "workers" | "rounds" | "seconds" | "warmUp">;

/** One for each round. */
export async function overload(
  running: Running,
  { workers, rounds, seconds, warmUp }: Wanted,
): Promise<readonly Overload[]> {
  const { urls } = running;
  const bench = await Bench.open(running, LOADS[0]!, workers[0]!, "o");
  try {
    await bench.sample(warmUp);
    const found: Overload[] = [];
    for (let round = 0; round < rounds; round++) {
      const { perSecond: best } = await bench.sample(seconds);
      const flood = new Flood(urls, `f${round}`);
      const holders = Array.from(
        { length: HOLDERS },
        (_, i) => hold(urls[i % urls.length]!, `h${round}-${i}`, seconds),
      );
      await flood.run(TIMES * best, seconds);
      const kept = (await Promise.all(holders)).filter((isKept) => isKept).length;
      const { perSecond: after } = await bench.sample(seconds);
      found.push({
        offered: flood.begun / flood.lasted / best,
        done: flood.done / flood.lasted / best,
        afterwards: after / best,
        kept: kept / HOLDERS,
        refused: Object.fromEntries([...flood.refused].map(([why, count]) => [why, count / flood.begun])),
      });
    }
    return found;
  } finally {
    bench.close();
  }
}

/** Takes a lock and renews it for so long, as a client does: a third of its ttl after the last time. Whether it kept it. */
async function hold(url: string, name: string, seconds: number): Promise<boolean> {
  const connection = await Connection.open(url);
  const body = JSON.stringify({ holder: "holder", ttlMs: HOLD_TTL_MS });
  try {
    let sentMs = performance.now();
    const endMs = sentMs + seconds * 1_000;
    const taken = await connection.request("POST", `/v1/locks/${name}`, body);
    // Who never had it cannot lose it.
    if (taken.status !== 200) return true;
    const path = `/v1/locks/${name}/${JSON.parse(taken.text).fence}`;
    for (let isOver = false; !isOver;) {
      isOver = endMs - performance.now() < HOLD_TTL_MS / 3;
      await pause(Math.max(0, Math.min(HOLD_TTL_MS / 3, endMs - performance.now())));
      for (;;) {
        const nowMs = performance.now();
        const { status } = await connection.request("PUT", path, JSON.stringify({ ttlMs: HOLD_TTL_MS }));
        if (status === 410 || performance.now() > sentMs + HOLD_TTL_MS) return false;
        if (status === 200) {
          sentMs = nowMs;
          break;
        }
        await pause(AGAIN_MS);
      }
    }
    await connection.request("DELETE", path);
    return true;
  } finally {
    connection.close();
  }
}

/** Medians of the rounds. */
export function overloadTable(rounds: readonly Overload[]): string {
  const of = (pick: (round: Overload) => number) => median(rounds.map(pick));
  const times = (ratio: number) => `${ratio.toFixed(2)}×`;
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
  const why = [...new Set(rounds.flatMap(({ refused }) => Object.keys(refused)))].sort();
  return [
    "| of the best, or of all | |\n|---|---|",
    `| offered | ${times(of(({ offered }) => offered))} |`,
    `| done | ${times(of(({ done }) => done))} |`,
    `| done right after it | ${times(of(({ afterwards }) => afterwards))} |`,
    `| holders who kept their locks | ${percent(of(({ kept }) => kept))} |`,
    ...why.map((reason) => `| refused: ${reason} | ${percent(of(({ refused }) => refused[reason] ?? 0))} |`),
  ].join("\n");
}
