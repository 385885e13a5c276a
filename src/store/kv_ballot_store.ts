/** Opens the store of a process that has its Deno KV file to itself (owner_store.ts). */
import { CACHED_RECORDS_MAX } from "../limits.ts";
import { type Apply, type BallotStore, StoreError } from "../ports.ts";
import { lockFile } from "./file_lock.ts";
import { asStoreError, closeKv, within } from "./kv_calls.ts";
import { Ledger } from "./ledger.ts";
import { LiveIndex } from "./live_index.ts";
import { OwnerStore } from "./owner_store.ts";
import { RecordLog } from "./record_log.ts";

export type OwnerStoreOptions = {
  /** File of the database; `path`.lock beside it is what keeps a second process out. */
  readonly path: string;
  /** As the machine has it: what the log has are values, and what they make of a state. */
  readonly apply: Apply;
  /** A new id for this open, unlike any before. */
  readonly run: () => string;
  /** An open database in place of the file's, for tests; the store closes it. */
  readonly kv?: Deno.Kv;
  /** Allows a database that dies with the process. For tests: an acceptor on one forgets its votes. */
  readonly allowEphemeral?: boolean;
  /** After this long without an answer from the database an outcome counts as unknown. Default 5,000. */
  readonly deadlineMs?: number;
  /** Idle records kept in memory. Default CACHED_RECORDS_MAX. */
  readonly cachedKeys?: number;
  /** From so many bytes on the log is made shorter. Default LOG_SHORTEN_BYTES. */
  readonly shortenBytes?: number;
};

/** Opens the store for this process alone. Rejects with StoreError, in one line a person can act on. */
export async function openOwnerStore(options: OwnerStoreOptions): Promise<BallotStore> {
  const { path, deadlineMs = 5_000, cachedKeys = CACHED_RECORDS_MAX } = options;
  const ephemeral = path === "" || path === ":memory:";
  if (ephemeral && options.allowEphemeral !== true) {
    throw new StoreError(`a store needs a file: ${JSON.stringify(path)} would forget its votes when the process ends`);
  }
  if (!ephemeral && (await Deno.stat(path).catch(() => null))?.isDirectory) {
    throw new StoreError(`${path} is a directory; name a file in it`);
  }
  const lock = ephemeral ? null : await lockFile(path);
  let kv: Deno.Kv | undefined;
  try {
    kv = options.kv ?? await within(deadlineMs, path, Deno.openKv(ephemeral ? ":memory:" : path));
    const ledger = await Ledger.open(kv, path, options.run(), deadlineMs);
    const index = new LiveIndex(kv, (task) => within(deadlineMs, path, task));
    if (!await index.isNoted()) {
      await index.build();
      ledger.noteIndexed();
    }
    const log = await within(deadlineMs, path, RecordLog.open(kv, options.apply, options.shortenBytes));
    return new OwnerStore(kv, path, ledger, log, lock, deadlineMs, cachedKeys);
  } catch (error) {
    if (kv !== undefined) await closeKv(kv, deadlineMs, path);
    lock?.release();
    throw asStoreError(path, error);
  }
}
