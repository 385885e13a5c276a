/** Calls to Deno KV: with a deadline, and with errors that say in one line what to do about them. */
import { type Clock, StoreError } from "../ports.ts";
import { META_ROW } from "./key_space.ts";

export function asStoreError(path: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const said = (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "";
  const [, what, fault] = KNOWN.find(([pattern]) => pattern.test(said)) ??
    [null, said, "the store of this node failed"];
  return new StoreError(`${path}: ${what}`, { cause: error, fault });
}

/** What the database says, what the operator has to know of it, and what anybody may. */
const KNOWN: readonly (readonly [RegExp, string, string])[] = [
  [
    /database is locked/i,
    "in use by another process (database is locked)",
    "the store of this node is in use elsewhere",
  ],
  [/not a database/i, "not a Quorate store (file is not a database)", "the store of this node is none"],
  [
    /unable to open/i,
    "cannot be opened: the folder does not exist or is not writable",
    "the store of this node cannot be opened",
  ],
  [/readonly|read-only/i, "cannot be written (read-only)", "the store of this node cannot be written"],
  [/disk is full/i, "the disk is full", "the disk of this node is full"],
];

const realTimer: Clock["after"] = (ms, run) => {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
};

/** `task`, or StoreError after `ms`. The task itself goes on: its outcome is then unknown. */
export async function within<T>(ms: number, path: string, task: Promise<T>, after = realTimer): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const cancel = after(
    ms,
    () =>
      reject(
        new StoreError(`${path}: no answer from the database within ${ms} ms (locked, or the disk hangs)`, {
          fault: "the store of this node does not answer",
        }),
      ),
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

/** What is said after so many tries; `unknown`: what came of the last of them. */
export function givenUp(name: string, unknown: StoreError | null, tries: number): StoreError {
  return unknown === null
    ? new StoreError(`${name}: other writers changed the record ${tries + 1} times`)
    : new StoreError(`outcome of a commit unknown: ${unknown.message}`, { cause: unknown, fault: unknown.fault });
}
