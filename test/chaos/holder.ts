/**
 * A holder as a process of its own, naive as many are: it never looks whether its lease has ended. It tells the test what
 * it does, so that times are of one clock: `/call` before it asks the cluster, `/return` after.
 *
 *     deno run -A test/chaos/holder.ts NAME URL_OF_THE_TEST SEED ID=URL…
 */
import { seeded } from "../replica/clocks.ts";
import { Client } from "./client.ts";
import type { Operation } from "./history.ts";
import { pause } from "./real_cluster.ts";
import { lockName } from "./workload.ts";

/** The shortest lease there is. */
const TTL_MS = 1_000;
const WAIT_MS = 1_000;
/** Long enough to be stopped in. */
const THINK_MS = 150;
/** Few, so that others take them while this process stands still. */
const HOLDER_LOCKS = 5;

const [name, test, seed, ...nodes] = Deno.args;
const random = seeded(Number(seed));
const client = new Client(name!, {
  nodes: new Map(nodes.map((node) => [node.split("=")[0]!, node.slice(node.indexOf("=") + 1)])),
  history: { now: () => performance.now(), add: () => {} },
  random,
});

async function post(path: string, body: unknown): Promise<Record<string, number | null>> {
  const response = await fetch(`${test}${path}`, { method: "POST", body: JSON.stringify({ name, ...body as object }) });
  return await response.json();
}

async function told(ask: () => Promise<Operation>): Promise<Operation> {
  await post("/call", {});
  const operation = await ask();
  await post("/return", { operation });
  return operation;
}

for (;;) {
  const key = lockName(Math.floor(random() * HOLDER_LOCKS));
  const { outcome, fence } = await told(() => client.acquire(key, TTL_MS, WAIT_MS));
  if (outcome !== "granted" || fence === null) {
    await pause(random() * 100);
    continue;
  }
  const { guarded, unguarded } = await post("/read", { key, fence });
  await pause(THINK_MS);
  await post("/write", { key, fence, guarded, unguarded });
  await told(() => client.release(key, fence));
}
