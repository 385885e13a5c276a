/** The store of a stopped node, as it lies on disk. */
import { sha256Hex } from "../../src/auth/digest.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { ballotRow, listKeys, stateRow } from "../../src/store/key_space.ts";
import { RecordLog } from "../../src/store/record_log.ts";
import { decodeRecord, encodeRecord, writtenAt } from "../../src/store/rows.ts";
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

/** The same of a file that may change by being looked at: each record as its rows and the log behind them have it. */
export async function recordsIn(path: string): Promise<string[]> {
  using kv = await Deno.openKv(path);
  const log = await RecordLog.open(kv, createMachine({ digest: sha256Hex }).apply);
  const texts: string[] = [];
  for (const key of await listKeys(kv, "", "", 1_000_000)) {
    const [ballot, state] = await kv.getMany<[Uint8Array, Uint8Array]>([ballotRow(key), stateRow(key)]);
    const base = decodeRecord(key, ballot.value, state.value)!;
    const record = log.newest(key, base, writtenAt(ballot.value))!;
    const rows = encodeRecord(key, record, null);
    const newest = record === base ? ballot.value : rows.ballot;
    texts.push(`${JSON.stringify(ballotRow(key))} ${textOf(newest)}`);
    const isMoved = record.instance !== base.instance;
    texts.push(`${JSON.stringify(stateRow(key))} ${textOf(isMoved ? rows.state : state.value)}`);
  }
  return texts;
}

function textOf(row: Uint8Array | null): string {
  return new TextDecoder().decode(row ?? undefined);
}
