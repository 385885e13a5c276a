/** Fills the store of a new member with a backup, before it belongs to anybody. */
import { sha256Hex } from "../auth/digest.ts";
import { type BackupEnd, type Digest, LINE_MAX_CHARS, readBackup } from "../backup/backup_file.ts";
import { linesOf } from "../backup/lines.ts";
import { floorOf, recordOf, type Restored, restoredFrom, restoredIn } from "../backup/restored.ts";
import { clusterConfigOf } from "../config/cluster_config.ts";
import type { NodeConfig } from "../config/config.ts";
import { createModes, type Modes } from "../engine/modes.ts";
import { createMachine, type LockMachine, wholeHashOf } from "../machine/machine.ts";
import { isListed } from "../machine/view.ts";
import { QuorateError } from "../errors.ts";
import { type BallotStore, type Report, StoreError } from "../ports.ts";

/** Records that are written together. */
const AT_ONCE = 64;

type Parts = {
  readonly store: BallotStore;
  /** Lines of the file. */
  readonly lines: () => AsyncIterable<string>;
  readonly modes: Pick<Modes, "initial">;
  readonly machine: LockMachine;
  readonly digest: Digest;
  /** Above those of all clusters that were ever made of this backup, or of one before it. Default: one more than it has. */
  readonly number?: number | null;
};

/**
 * Resolves once all records are durable. The file is read twice: nothing is written of one that is wrong somewhere. Rejects with
 * `invalid-request` for such a file, with StoreError for a store that has records already.
 */
export async function restoreInto({ store, lines, modes, machine, digest, number = null }: Parts): Promise<Restored> {
  if ((await store.keys("", "", 1)).length > 0) {
    throw new StoreError("this store has records already: a backup is restored into an empty one");
  }
  const read = () => readBackup(lines(), { digest, stateHash: (state) => wholeHashOf(machine, state) });
  let count = 0;
  let end: BackupEnd | null = null;
  for await (const found of read()) {
    if (found.type === "header") count = found.header.restored + 1;
    else if (found.type === "end") end = found.end;
  }
  if (number !== null && number < count) {
    throw new QuorateError(
      "invalid-request",
      `${count - 1} restores lie behind the backup: this one's number is above that`,
    );
  }
  const restored = restoredFrom(number ?? count, end!.digest);
  const floor = floorOf(restored);
  let writing: Promise<unknown>[] = [];
  for await (const found of read()) {
    if (found.type !== "record") continue;
    const { key } = found.record;
    const record = recordOf(found.record, floor, modes.initial(key), machine);
    const kept = { ...record, live: isListed(record.state) };
    writing.push(store.update(key, (stored) => {
      // On a shared store another process may have restored and begun to vote meanwhile: its votes stay.
      if (stored !== null) throw new StoreError("another process fills this store: each is restored once");
      return { record: kept, reply: null };
    }));
    if (writing.length < AT_ONCE) continue;
    await Promise.all(writing);
    writing = [];
  }
  await Promise.all(writing);
  return restored;
}

/** What the cluster of this store was made of; now, if its settings say so. Rejects as `restoreInto`. */
export async function restoredOf(config: NodeConfig, store: BallotStore, report: Report): Promise<Restored | null> {
  const { restore: path, restoreNumber: number } = config;
  // Whose it is `initialise` finds out, and refuses.
  if (path === null || store.identity() !== null) return restoredIn(store.config());
  const { members, modes } = clusterConfigOf(config);
  const lines = async function* () {
    yield* linesOf((await Deno.open(path)).readable, LINE_MAX_CHARS);
  };
  const machine = createMachine({ digest: sha256Hex });
  const modesOf = createModes(members, modes, sha256Hex);
  const restored = await restoreInto({ store, lines, modes: modesOf, machine, digest: sha256Hex, number });
  report(
    `restored, as number ${restored.count}: where another cluster was made of this backup before, begin again with ` +
      `--restore-number above that one's`,
  );
  return restored;
}
