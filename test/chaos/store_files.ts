/** The store of a stopped node, as it lies on disk. */
import { sha256Hex } from "../../src/auth/digest.ts";
import { createMachine } from "../../src/machine/machine.ts";
import { ballotRow, listKeys, stateRow } from "../../src/store/key_space.ts";
import { RecordLog } from "../../src/store/record_log.ts";
import { isPackedRow } from "../../src/store/packed_row.ts";
import { decodeRecord, writtenAt } from "../../src/store/rows.ts";
import { ROW_FORMAT } from "../../src/version.ts";
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

/** The same without what records are barred from: that is no vote, and is written in passing. */
export async function votesIn(cluster: RealCluster, id: string): Promise<string[]> {
  return (await recordsOf(cluster, id)).map((row) => row.replace(/,"barred":\d+/, ""));
}

/**
 * The same of a file that may change by being looked at: each record as its rows and the log behind them have it, in two lines, what
 * it voted and its state, each with the format that it is in.
 */
export async function recordsIn(path: string): Promise<string[]> {
  using kv = await Deno.openKv(path);
  const log = await RecordLog.open(kv, createMachine({ digest: sha256Hex }).apply);
  const texts: string[] = [];
  for (const key of await listKeys(kv, "", "", 1_000_000)) {
    const [ballot, state] = await kv.getMany<[Uint8Array, Uint8Array]>([ballotRow(key), stateRow(key)]);
    const base = decodeRecord(key, ballot.value, state.value)!;
    const record = log.newest(key, base, writtenAt(ballot.value))!;
    const { epoch, instance, state: held, stateHash, decidedBy, ...votes } = record;
    const parts = [
      [ballotRow(key), record === base ? formatOf(ballot.value!) : ROW_FORMAT, votes],
      [
        stateRow(key),
        instance === base.instance ? formatOf(state.value ?? ballot.value!) : ROW_FORMAT,
        { epoch, state: held, stateHash, decidedBy },
      ],
    ] as const;
    for (const [row, format, part] of parts) {
      texts.push(`${JSON.stringify(row)} ${JSON.stringify({ format, instance, ...part })}`);
    }
  }
  return texts;
}

/** Undefined: the row is of 0.1.0. */
function formatOf(row: Uint8Array): number | undefined {
  return isPackedRow(row) ? row[0] : JSON.parse(new TextDecoder().decode(row)).format;
}
