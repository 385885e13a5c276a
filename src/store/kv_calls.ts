/** Calls to Deno KV: with a deadline, and with errors that say in one line what to do about them. */
import { type Clock, StoreError } from "../replica/ports.ts";
import { META_ROW } from "./key_space.ts";

export function asStoreError(path: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const said = (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "";
  return new StoreError(`${path}: ${explain(said)}`, { cause: error });
}

function explain(said: string): string {
  if (/database is locked/i.test(said)) return "in use by another process (database is locked)";
  if (/not a database/i.test(said)) return "not a Quorate store (file is not a database)";
  if (/unable to open/i.test(said)) return "cannot be opened: the folder does not exist or is not writable";
  if (/readonly|read-only/i.test(said)) return "cannot be written (read-only)";
  if (/disk is full/i.test(said)) return "the disk is full";
  return said;
}

const realTimer: Clock["after"] = (ms, run) => {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
};

/** `task`, or StoreError after `ms`. The task itself goes on: its outcome is then unknown. */
export async function within<T>(ms: number, path: string, task: Promise<T>, after = realTimer): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const cancel = after(
    ms,
    () => reject(new StoreError(`${path}: no answer from the database within ${ms} ms (locked, or the disk hangs)`)),
  );
  // Whoever gave up waiting hears no more of it, and neither does anybody else.
  task.catch(() => {});
  try {
    return await Promise.race([task, late]);
  } catch (error) {
    throw asStoreError(path, error);
  } finally {
    cancel();
  }
}

/**
 * Closes the database once it answers. `kv.close()` stops the whole process, timers included, for as long
 * as a call on a locked file is under way; so this gives up waiting after `ms` and leaves the closing for later.
 */
export async function closeKv(
  kv: Pick<Deno.Kv, "getMany" | "close">,
  ms: number,
  path: string,
  after = realTimer,
): Promise<void> {
  const closed = kv.getMany([META_ROW]).catch(() => null).then(() => kv.close());
  await within(ms, path, closed, after).catch(() => {});
}
