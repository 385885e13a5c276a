/** One process each that holds locks and is stalled or cut off, and whoever wants them meanwhile. */
import type { CutOff, Disposed } from "../client/cut_off_holder.ts";
import { Relay } from "../client/linked_nodes.ts";
import type { How, Told } from "../client/stalled_holder.ts";
import { connect } from "../../src/mod.ts";
import { HolderProcess, type Runtime } from "./holder_process.ts";

const STALL_MS = 1_400;
export const HOLDS = 20;

/** What was wrong; empty: nothing. */
export type Wrong = readonly string[];

/** Resolves once somebody else has had all that the process held; by name, when it heard of that. */
async function others(urls: readonly string[], prefix: string): Promise<ReadonlyMap<string, number>> {
  const { locks } = connect(urls);
  const taken = Array.from({ length: HOLDS }, async (_, i) => {
    const lock = await locks.acquire(`${prefix}/${i}`);
    const atMs = Date.now();
    await lock.release();
    return [lock.name, atMs] as const;
  });
  return new Map(await Promise.all(taken));
}

/** A process is stalled beyond its leases: nothing of its client may claim then that it holds something. */
export async function stallRound(how: How, runtime: Runtime, urls: readonly string[]): Promise<Wrong> {
  const call = `hold(${JSON.stringify(how)}, ${STALL_MS}, ${JSON.stringify(urls)}, ${HOLDS})`;
  const process = await HolderProcess.start(runtime, "stalled_holder.ts", call);
  try {
    const prefix = await process.ready();
    if (how === "stop") {
      process.signal("SIGSTOP");
      await Promise.all([others(urls, prefix), new Promise((resolve) => setTimeout(resolve, STALL_MS))]);
      process.signal("SIGCONT");
    }
    const { locks, callbacks, claims } = await process.result<Told>();
    const missing = locks === HOLDS && (how === "read" || callbacks.length > 0) ? [] : [`${locks} locks, no callback`];
    return [...missing, ...claims];
  } finally {
    await process.end();
  }
}

/** The network of a process swallows packets: each of its holds ends by its own clock before somebody else has the lock. */
export async function silenceRound(runtime: Runtime, urls: readonly string[]): Promise<Wrong> {
  const links = urls.map((url) => new Relay(url));
  const call = `watchHolds(${JSON.stringify(links.map(({ url }) => url))}, ${HOLDS})`;
  const process = await HolderProcess.start(runtime, "cut_off_holder.ts", call);
  try {
    const prefix = await process.ready();
    for (const link of links) link.state = "silent";
    const [granted, told] = await Promise.all([others(urls, prefix), process.result<CutOff>()]);
    return [...granted].flatMap(([name, atMs]) => {
      const { lastHeldMs = Infinity, how } = told[name] ?? {};
      if (lastHeldMs <= atMs && how === "expired") return [];
      return [`${name}: ${how}, seen held ${lastHeldMs - atMs} ms after another had it`];
    });
  } finally {
    for (const link of links) link.close();
    await process.end();
  }
}

/** The cluster is gone for the process, in one way or another: to dispose of what it holds throws nothing. */
export async function disposeRound(how: "cut" | "silent", runtime: Runtime, urls: readonly string[]): Promise<Wrong> {
  const links = urls.map((url) => new Relay(url));
  const call = `disposeWithoutCluster(${JSON.stringify(links.map(({ url }) => url))})`;
  const process = await HolderProcess.start(runtime, "cut_off_holder.ts", call);
  try {
    await process.ready();
    for (const link of links) link.state = how;
    return (await process.result<Disposed>()).thrown;
  } finally {
    for (const link of links) link.close();
    await process.end();
  }
}
