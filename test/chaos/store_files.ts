/** The store of a stopped node, as it lies on disk. */
import type { RealCluster } from "./real_cluster.ts";

const PARTS = ["", "-wal", "-shm"] as const;

export async function copyStore(cluster: RealCluster, id: string, to: string): Promise<void> {
  for (const part of PARTS) {
    await Deno.copyFile(`${cluster.store(id)}${part}`, `${to}${part}`).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
}

/** @param from null: nothing is left there */
export async function restoreStore(cluster: RealCluster, id: string, from: string | null): Promise<void> {
  for (const part of PARTS) {
    const path = `${cluster.store(id)}${part}`;
    await Deno.remove(path).catch(() => {});
    if (from !== null) await Deno.copyFile(`${from}${part}`, path).catch(() => {});
  }
}

/** Every vote and state, as text. */
export async function recordsOf(cluster: RealCluster, id: string): Promise<string[]> {
  // A copy, so that looking leaves nothing behind.
  const path = `${cluster.folder}/look-${id}`;
  await copyStore(cluster, id, path);
  return await recordsIn(path);
}

/** The same of a file that may change by being looked at. */
export async function recordsIn(path: string): Promise<string[]> {
  using kv = await Deno.openKv(path);
  const rows: string[] = [];
  for (const prefix of ["r", "s"]) {
    for await (const { key, value } of kv.list<Uint8Array>({ prefix: [prefix] })) {
      rows.push(`${JSON.stringify(key)} ${new TextDecoder().decode(value)}`);
    }
  }
  return rows;
}
