/** The store that a node's settings name: a file this process has to itself, or a database that others may serve too. */
import { sha256Hex } from "../auth/digest.ts";
import { ATTACHED_KV, isSharedKv, type NodeConfig } from "../config/config.ts";
import { createMachine } from "../machine/machine.ts";
import { type BallotStore, StoreError } from "../ports.ts";
import { openOwnerStore } from "../store/kv_ballot_store.ts";
import { openSharedKv, outlivesProcess } from "../store/open_kv.ts";
import { openSharedStore } from "../store/shared_store.ts";
import { realClock, realRandomness } from "./world.ts";

type Settings = Pick<NodeConfig, "kv" | "kvToken">;

/**
 * Rejects with StoreError, in one line a person can act on.
 * @param onConflict called where a commit found its record changed by another process
 */
export async function openStore({ kv: name, kvToken }: Settings, onConflict: () => void): Promise<BallotStore> {
  const run = realRandomness.id();
  const { apply } = createMachine({ digest: sha256Hex });
  if (!isSharedKv(name)) return await openOwnerStore({ path: name, apply, run: () => run });
  const kv = await openSharedKv(urlOf(name), kvToken);
  return await openSharedStore({ kv, name, run, clock: realClock, random: realRandomness, onConflict });
}

/** Bytes of its files on disk; null where it is a remote database. */
export async function storeBytes({ kv: name }: Settings): Promise<number | null> {
  if (isSharedKv(name)) return null;
  const files = await Promise.all(["", "-wal", "-shm"].map((end) => Deno.stat(name + end).catch(() => null)));
  return files.reduce((sum, file) => sum + (file?.size ?? 0), 0);
}

/**
 * To be asked before a store becomes a member's: one that dies with its process would forget its votes. Rejects with
 * StoreError if it is such.
 */
export async function mustLast({ kv: name, kvToken }: Settings): Promise<void> {
  if (!isSharedKv(name)) return;
  const open = () => openSharedKv(urlOf(name), kvToken);
  const kv = await open();
  try {
    if (await outlivesProcess(kv, open)) return;
  } finally {
    kv.close();
  }
  const fault = "the database lives in the memory of this process and would forget its votes; attach a database";
  throw new StoreError(`${name}: ${fault}`, { fault });
}

function urlOf(name: string): string | null {
  return name === ATTACHED_KV ? null : name;
}
