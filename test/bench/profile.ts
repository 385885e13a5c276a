/** Where a node spends its time under load: self time by file, package or part of the runtime, out of V8's own profile. */
import { RealCluster } from "../chaos/real_cluster.ts";
import { SHIPPED_MAIN } from "../chaos/node_process.ts";
import { LOADS } from "./loads.ts";
import { Bench } from "./measure.ts";
import type { Options } from "./options.ts";
import { runningOf } from "./quorate.ts";

/** As V8 writes it; times in µs. */
export type CpuProfile = {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  readonly samples: readonly number[];
  /** From the sample before, or from the start. */
  readonly timeDeltas: readonly number[];
};

/** `share` of the time in which the thread was not idle, 0 to 1. */
export type Part = { readonly part: string; readonly share: number };

/** What the first node does while the load lasts, after its warm-up. All nodes are watched alike. */
export async function profile(options: Options): Promise<readonly Part[]> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-bench-profile-" });
  const main = ["--cpu-prof", `--cpu-prof-dir=${folder}`, ...SHIPPED_MAIN];
  try {
    const cluster = await RealCluster.start(options.nodes[0]!, 0, { isolates: 1, main });
    try {
      const load = LOADS.find(({ name }) => name === options.only[0])!;
      const bench = await Bench.open(runningOf(cluster), load, options.workers[0]!, "p");
      await bench.sample(options.warmUp);
      await bench.sample(options.seconds);
      const pid = cluster.pid("a");
      // What it does until it is gone is the end of the profile, and idle for the most part.
      const toldMs = performance.now();
      await cluster.end("a");
      const endSeconds = (performance.now() - toldMs) / 1_000;
      bench.close();
      return partsOf(JSON.parse(await written(folder, pid)), options.seconds + endSeconds);
    } finally {
      await cluster.stop();
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Each process has one, named after it. */
async function written(folder: string, pid: number): Promise<string> {
  for await (const { name } of Deno.readDir(folder)) {
    if (name.endsWith(`.${pid}.cpuprofile`)) return await Deno.readTextFile(`${folder}/${name}`);
  }
  throw new Error("the node ended without a profile");
}

/** The largest first, of the profile's last `seconds`. */
export function partsOf({ nodes, samples, timeDeltas }: CpuProfile, seconds: number): readonly Part[] {
  const parts = new Map(nodes.map(({ id, callFrame }) => [id, partOf(callFrame)]));
  const spent = new Map<string, number>();
  let left = seconds * 1e6;
  // A sample stands until the next: of the last nobody knows how long.
  for (let i = samples.length - 2; i >= 0 && left > 0; i--) {
    const us = Math.min(left, timeDeltas[i + 1]!);
    left -= us;
    const part = parts.get(samples[i]!) ?? "(unknown)";
    if (part !== "(idle)") spent.set(part, (spent.get(part) ?? 0) + us);
  }
  const busy = [...spent.values()].reduce((sum, us) => sum + us, 0);
  return [...spent].map(([part, us]) => ({ part, share: us / busy })).sort((a, b) => b.share - a.share);
}

const ROOT = new URL("../../", import.meta.url).href;

function partOf({ functionName, url }: CpuProfile["nodes"][number]["callFrame"]): string {
  if (url.startsWith(ROOT)) return url.slice(ROOT.length);
  const npm = /\/npm\/[^/]+\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1];
  if (npm !== undefined) return `npm:${npm}`;
  return /^(?:ext|node):[^/]+/.exec(url)?.[0] ?? (url || functionName || "(native)");
}

const SHOWN = 40;

export function partsTable(parts: readonly Part[]): string {
  const rest = parts.slice(SHOWN).reduce((sum, { share }) => sum + share, 0);
  const lines = [...parts.slice(0, SHOWN), { part: `${Math.max(0, parts.length - SHOWN)} others`, share: rest }]
    .map(({ part, share }) => `| ${part} | ${(share * 100).toFixed(1)} % |`);
  return ["| part | of its busy time |\n|---|---|", ...lines].join("\n");
}
