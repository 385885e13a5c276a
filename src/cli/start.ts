/** `deno task start`: a cluster of five on this machine, each node a process with a file of its own. */
import { portOf } from "../config/config.ts";
import { parseFlags } from "../config/settings.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { isFresh, peerSecret, storePath } from "./data_folder.ts";
import { outliveOutput } from "./hangup.ts";
import { type NodeProcess, restartLine, startNode } from "./node_process.ts";
import { CommandError, EXIT_FAILED, reportFailure } from "./report.ts";
import { whyNotListening } from "./serve.ts";
import { stopSignal } from "./stop_signal.ts";

const HOST = "127.0.0.1";
const IDS: readonly NodeId[] = ["a", "b", "c", "d", "e"];
const READY_WITHIN_MS = 30_000;
const ASK_EVERY_MS = 25;
const ANSWER_WITHIN_MS = 2_000;
/** Ctrl-C reaches the nodes too, and they may be gone before this process is told: then nothing needs saying. */
const SETTLE_MS = 300;

/** Starts a cluster and runs until it is told to stop, or no node is left; the exit code. */
export async function runStart(args: readonly string[]): Promise<number> {
  try {
    const flags = parseFlags(args, { port: "value", data: "value" });
    const port = flags.port === undefined ? portOf(null) : portOf({ name: "--port", text: flags.port });
    return await startCluster(flags.data ?? "data", port);
  } catch (error) {
    return reportFailure("start", error);
  }
}

async function startCluster(folder: string, basePort: number): Promise<number> {
  // Its nodes outlive the end of their terminal, so it has to do so too, and end them.
  outliveOutput();
  const told = stopSignal("SIGHUP");
  const fresh = await isFresh(folder, IDS);
  const ports = portsFrom(basePort);
  for (const port of ports) refuseUsed(port);
  const secret = await peerSecret(folder);

  const urls = ports.map((port) => `http://${HOST}:${port}`);
  const cluster = IDS.map((id, index) => `${id}=${urls[index]}`).join(",");
  const nodes = IDS.map((id, index) => {
    const port = String(ports[index]);
    const file = storePath(folder, id);
    const nodeArgs = ["--id", id, "--port", port, "--host", HOST, "--cluster", cluster, "--kv", file];
    const node = startNode(id, urls[index] ?? "", fresh ? ["--init", ...nodeArgs] : nodeArgs, secret);
    announceEnd(node, restartLine(folder, nodeArgs), told);
    return node;
  });

  const gone = Promise.all(nodes.map((node) => node.ended)).then(() => "gone" as const);
  const wanted = told.then(() => "told" as const);
  const outcome = await Promise.race([gone, wanted, watchStart(nodes, Promise.race([gone, wanted]))]);
  const left = nodes.some((node) => !node.hasEnded());
  await Promise.all(nodes.map((node) => node.stop()));
  // If they are gone, then perhaps by the Ctrl-C that this process is about to hear of.
  if (outcome === "told" || await Promise.race([wanted, pause(SETTLE_MS)]) === "told") return 0;
  console.error(`quorate start: ${left ? "stopped, since no node became ready" : "no node is left"}`);
  return EXIT_FAILED;
}

/** Says when the cluster can be used. Settles with "unready" if it cannot, else when `over` does. */
async function watchStart<T>(nodes: readonly NodeProcess[], over: Promise<T>): Promise<T | "unready"> {
  const unready = new Map<NodeId, string>();
  await Promise.all(nodes.map(async (node) => {
    const reason = await whenReady(node);
    if (reason !== null) unready.set(node.id, reason);
  }));
  // Told to stop meanwhile: nobody asks any more what is ready.
  const early = await Promise.race([over, Promise.resolve(null)]);
  if (early !== null) return early;
  // A ready node has a quorum, so those that are not may be mended while the others serve.
  if (unready.size === nodes.length) return "unready";
  const first = nodes.find((node) => !unready.has(node.id)) ?? nodes[0];
  console.log(`dashboard: ${first?.url ?? ""}/`);
  for (const node of nodes) console.log(`${node.id}  pid ${node.pid}  ${node.url}`);
  for (const [id, reason] of unready) console.error(`quorate start: node ${id} is not ready: ${reason}`);
  // Counted from the start of this process.
  console.log(`ready ${(performance.now() / 1_000).toFixed(1)} s after the start; Ctrl-C stops it`);
  console.log(`take a lock: ${curlLine(first?.url ?? "")}`);
  return await over;
}

/** null once it is ready, else why it was not in time. */
async function whenReady(node: NodeProcess): Promise<string | null> {
  const deadline = performance.now() + READY_WITHIN_MS;
  let reason = "no answer";
  while (performance.now() < deadline) {
    if (node.hasEnded()) return `it ended, ${await node.ended}`;
    try {
      const response = await fetch(`${node.url}/readyz`, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
      const { detail } = await response.json() as { detail?: string };
      if (response.ok) return null;
      reason = detail ?? `status ${response.status}`;
    } catch {
      // It does not listen yet.
    }
    await pause(ASK_EVERY_MS);
  }
  return reason;
}

async function announceEnd(node: NodeProcess, restart: string, told: Promise<void>): Promise<void> {
  const how = await node.ended;
  const stopping = await Promise.race([told.then(() => true), pause(SETTLE_MS).then(() => false)]);
  if (!stopping) console.error(`node ${node.id} ended (${how}); this starts it again:\n  ${restart}`);
}

function curlLine(url: string): string {
  const bearer = Deno.env.get("QUORATE_TOKENS") === undefined ? "" : ` -H "Authorization: Bearer $QUORATE_TOKEN"`;
  return `curl -X POST ${url}/v1/locks/demo${bearer} -d '{"ttlMs": 30000}'`;
}

function portsFrom(base: number): readonly number[] {
  const last = base + IDS.length - 1;
  if (base === 0 || last > 65_535) {
    throw new CommandError(`--port ${base} leaves no room for ${IDS.length} ports in a row`);
  }
  return IDS.map((_, index) => base + index);
}

/** Asked before anything is made or started. A port that is taken later is reported by its node. */
function refuseUsed(port: number): void {
  try {
    Deno.listen({ hostname: HOST, port }).close();
  } catch (error) {
    throw new CommandError(`${whyNotListening(HOST, port, error)}; nothing was started`);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
