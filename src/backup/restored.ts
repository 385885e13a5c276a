/**
 * A cluster that was made of a backup. Every name goes on above whatever was decided after the backup in the cluster that is
 * gone, and a name that the backup does not have begins there too. So no fence is granted again, if the restore has a higher
 * number than every restore before it.
 */
import { QuorateError } from "../errors.ts";
import { RESTORE_STEP, RESTORES_MAX } from "../limits.ts";
import type { AcceptorRecord, Machine, Mode, State } from "../paxos/message.ts";
import { STANDING } from "../paxos/ballot.ts";
import type { BackupRecord } from "./backup_file.ts";

/** `count`: the number of this restore, from 1. `digest`: what the end of its backup has. */
export type Restored = { readonly count: number; readonly digest: string };

/** No cluster with a lower number has decided an instance above this one; 0 where nothing was restored. */
export function floorOf(restored: Restored | null): number {
  return restored === null ? 0 : restored.count * RESTORE_STEP;
}

/** Throws `invalid-request` for a number for which instances have no room. */
export function restoredFrom(count: number, digest: string): Restored {
  if (count > RESTORES_MAX) {
    throw new QuorateError("invalid-request", `a cluster can be restored ${RESTORES_MAX} times, one after the other`);
  }
  return { count, digest };
}

/** What the ClusterConfig that a store has says of it; null: nothing. */
export function restoredIn(config: string | null): Restored | null {
  if (config === null) return null;
  try {
    const { restored } = JSON.parse(config) as { readonly restored?: Partial<Restored> };
    if (typeof restored?.count !== "number" || typeof restored.digest !== "string") return null;
    return { count: restored.count, digest: restored.digest };
  } catch {
    return null;
  }
}

/**
 * The record as a new member has it: decided as it is, with no vote. Who coordinates may be no member any more, so the mode is
 * the one that new names have. Sessions, holds and places go on: their clocks begin anew.
 */
export function recordOf(
  { instance, state }: Pick<BackupRecord, "instance" | "state">,
  floor: number,
  mode: Mode,
  machine: Pick<Machine, "hash">,
): AcceptorRecord {
  const kept: State = { ...state, mode };
  return {
    epoch: 0,
    // What was restored before stands above the floor of then.
    instance: floor + instance % RESTORE_STEP,
    state: kept,
    stateHash: machine.hash(kept),
    decidedBy: null,
    promised: STANDING,
    vote: null,
  };
}
