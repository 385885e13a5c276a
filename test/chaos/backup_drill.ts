/**
 * A cluster is backed up while it is used, goes on for a while, and is lost with all of its disks; another is made of the backup.
 * `deno run -A test/chaos/backup_drill.ts NAMES` runs it with so many names of each noun, and prints what it saw.
 */
import { Command, type Ended } from "../cli/command.ts";
import { call, pause, RealCluster } from "./real_cluster.ts";

const BATCH = 100;
/** Batches under way at each node. */
const LANES = 2;
/** A drill of many names on a busy machine takes hours. */
const COMMAND_WITHIN_MS = 4 * 3_600_000;
const TTL_MS = 3_600_000;
/** A node that is made of many names is ready only then; an hour of looks. */
const READY_LOOKS = 14_400;
const READY_EVERY_MS = 250;
/** A busy node says so; three minutes are longer than any has been busy. */
const TRIES = 360;
const AGAIN_MS = 500;

export type Drill = {
  /** What stood in the backup, by the command line. */
  readonly keys: number;
  readonly faults: readonly string[];
  readonly fences: number;
};

type Operation = { readonly method: string; readonly path: string; readonly body?: unknown };
type Result = { readonly status: number; readonly body: Record<string, unknown> };

/**
 * @param folder for the file of the backup
 * @param tell of what is done, a line each, as it takes long
 */
export async function drill(names: number, folder: string, tell = (_line: string) => {}): Promise<Drill> {
  const path = `${folder}/backup.jsonl`;
  const faults: string[] = [];
  /** The highest fence that was granted of each name, before the backup or after it. */
  const granted = new Map<string, bigint>();
  const old = await RealCluster.start(3);
  let keys = 0;
  try {
    const url = old.url("a");
    const urls = old.ids.map((id) => old.url(id));
    const all = Array.from({ length: names }, (_, i) => `n/${i}`);
    await take(urls, all, granted);
    tell(`${granted.size} locks taken`);
    // Some are free again, and what they are is a fence.
    await batch(urls, tenth(all, 0).map((name) => release(name, granted)));
    const put = (name: string) => ({ method: "PUT", path: `/v1/kv/${encoded(name)}`, body: `value of ${name}` });
    await batch(urls, tenth(all, 0).map(put));
    tell("a tenth of them given back, and as many registers written");
    await call(url, "POST", "/v1/elections/main", { candidate: "host-1", value: "up", ttlMs: TTL_MS });
    await call(url, "POST", "/v1/semaphores/gpu", { limit: 3, holder: "one", ttlMs: TTL_MS });
    await call(url, "POST", "/v1/sessions", { holder: "worker", ttlMs: TTL_MS });
    // Others write meanwhile.
    let isBackedUp = false;
    const writing = (async () => {
      for (let i = 0; !isBackedUp && i < 10_000; i++) {
        await call(old.url("b"), "PUT", `/v1/kv/busy-${i % 20}`, `${i}`);
      }
    })();
    const told = await quorate(old, "backup", path);
    isBackedUp = true;
    await writing;
    if (told.code !== 0) throw new Error(`backup: ${told.err.join("\n")}`);
    keys = Number(/: (\d+) keys/.exec(told.out.join())?.[1]);
    tell(`${keys} keys backed up`);
    if ((await quorate(old, "verify", path)).code !== 0) {
      faults.push("the backup of a cluster that goes on is not whole");
    }
    // Half of a file is gone on with, and comes to a whole one.
    const half = `${folder}/half.jsonl`;
    const text = await Deno.readTextFile(path);
    await Deno.writeTextFile(half, text.slice(0, Math.floor(text.length / 2)));
    if ((await quorate(old, "verify", half)).code === 0) faults.push("half a backup passes for a whole one");
    const again = await quorate(old, "backup", half);
    if (again.code !== 0) faults.push(`half a backup is not gone on with: ${again.err.join("\n")}`);
    if ((await quorate(old, "backup", half)).code === 0) faults.push("a whole backup is written over");
    tell("half a backup gone on with");
    // The cluster grants more after that: nobody will ever know.
    await batch(urls, tenth(all, 1).map((name) => release(name, granted)));
    await take(urls, [...tenth(all, 1), ...Array.from({ length: 20 }, (_, i) => `late/${i}`)], granted);
    tell("more granted; all is lost");
  } finally {
    await old.stop();
  }
  const made = await RealCluster.start(3, 0, { isolates: 1, late: ["a", "b", "c"] });
  try {
    await Promise.all(made.ids.map((id) => made.startNode(id, ["--init", "--restore", path], { ready: false })));
    for (const id of made.ids) await ready(made, id);
    tell("restored");
    const compared = await quorate(made, "verify", "--cluster", path);
    tell("compared");
    if (compared.code !== 0) faults.push(`the restored cluster is another: ${compared.err.join("\n")}`);
    // As after a crash: what it was made of stands in the store.
    await made.kill("b");
    await made.startNode("b", [], { ready: false });
    await ready(made, "b");
    const url = made.url("b");
    const urls = made.ids.map((id) => made.url(id));
    const names = [...granted.keys()];
    const forced = tenth(names, 2).map((name) => ({ method: "DELETE", path: lock(name), body: { reason: "drill" } }));
    await batch(urls, forced);
    tell("a tenth of them forced");
    const next = new Map<string, bigint>();
    await take(urls, names, next);
    tell(`${next.size} locks taken`);
    for (const [name, before] of granted) {
      if (!((next.get(name) ?? 0n) > before)) faults.push(`${name}: ${next.get(name)} after ${before}`);
    }
    const value = await call(url, "GET", "/v1/elections/main");
    if ((value?.body["leader"] as { value?: string } | null)?.value !== "up") faults.push("the leader is not there");
    const foreign = `${folder}/foreign.txt`;
    await Deno.writeTextFile(foreign, "not a backup");
    await quorate(made, "backup", foreign);
    if (await Deno.readTextFile(foreign) !== "not a backup") faults.push("what was in the way is overwritten");
    const second = await quorate(made, "backup", `${folder}/second.jsonl`);
    const header = JSON.parse((await Deno.readTextFile(`${folder}/second.jsonl`)).split("\n")[0]!);
    if (second.code !== 0 || header.restored !== 1) {
      faults.push(`a backup of what was restored: ${JSON.stringify(header)}`);
    }
  } finally {
    await made.stop();
  }
  return { keys, faults, fences: granted.size };
}

async function take(urls: readonly string[], names: readonly string[], granted: Map<string, bigint>): Promise<void> {
  // Shared: whoever comes after has its fence without an end of the hold before.
  const body = { holder: crypto.randomUUID(), mode: "shared", ttlMs: TTL_MS };
  const takes = names.map((name) => ({ method: "POST", path: lock(name), body }));
  const results = await batch(urls, takes);
  results.forEach(({ status, body }, i) => {
    if (status !== 200) throw new Error(`${names[i]}: ${JSON.stringify(body)}`);
    granted.set(names[i]!, BigInt(body["fence"] as string));
  });
}

async function ready(cluster: RealCluster, id: string): Promise<void> {
  for (let i = 0; i < READY_LOOKS; i++) {
    if ((await call(cluster.url(id), "GET", "/readyz"))?.status === 200) return;
    if (!cluster.isRunning(id)) break;
    await pause(READY_EVERY_MS);
  }
  throw new Error(`${id} is not ready: ${cluster.output(id)}`);
}

function tenth(names: readonly string[], which: number): readonly string[] {
  return names.filter((_, i) => i % 10 === which);
}

function release(name: string, granted: ReadonlyMap<string, bigint>): Operation {
  return { method: "DELETE", path: `${lock(name)}/${granted.get(name)}` };
}

function lock(name: string): string {
  return `/v1/locks/${encoded(name)}`;
}

function encoded(name: string): string {
  return encodeURIComponent(name);
}

/** In any order: no two are of one name. */
async function batch(urls: readonly string[], operations: readonly Operation[]): Promise<readonly Result[]> {
  const results: Result[] = Array(operations.length);
  let next = 0;
  const lane = async (url: string) => {
    while (next < operations.length) {
      const at = next;
      next += BATCH;
      (await together(url, operations.slice(at, at + BATCH))).forEach((result, i) => results[at + i] = result);
    }
  };
  await Promise.all(urls.flatMap((url) => Array.from({ length: LANES }, () => lane(url))));
  return results;
}

/** What a busy node does not do at once is asked for again. */
async function together(url: string, operations: readonly Operation[]): Promise<readonly Result[]> {
  const once = operations.map((one) => ({ ...one, headers: { "Idempotency-Key": crypto.randomUUID() } }));
  const results: Result[] = Array(operations.length);
  let left = operations.map((_, i) => i);
  let last: unknown = null;
  for (let tries = 0; left.length > 0; tries++) {
    if (tries === TRIES) throw new Error(`batch: ${JSON.stringify(last)}`);
    if (tries > 0) await pause(AGAIN_MS);
    const reply = await call(url, "POST", "/v1/batch", left.map((i) => once[i]!));
    last = reply;
    if (reply?.status !== 200) continue;
    (reply.body as unknown as Result[]).forEach((result, j) => results[left[j]!] = result);
    last = results[left.find((i) => results[i]!.status >= 500) ?? 0];
    left = left.filter((i) => results[i]!.status >= 500);
  }
  return results;
}

async function quorate(cluster: RealCluster, ...args: readonly string[]): Promise<Ended> {
  const env = { QUORATE_URL: cluster.ids.map((id) => cluster.url(id)).join() };
  await using command = new Command(args, env, false, COMMAND_WITHIN_MS);
  return await command.ended();
}

if (import.meta.main) {
  const folder = await Deno.makeTempDir();
  const startedMs = performance.now();
  try {
    const seconds = () => Math.round((performance.now() - startedMs) / 1_000);
    const told = await drill(Number(Deno.args[0] ?? 1_000), folder, (line) => console.log(`${seconds()} s: ${line}`));
    const { size } = await Deno.stat(`${folder}/backup.jsonl`);
    console.log(JSON.stringify({ ...told, bytes: size, seconds: seconds() }));
    Deno.exit(told.faults.length === 0 ? 0 : 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
