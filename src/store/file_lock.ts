/** SQLite locks a file only while it writes, so two idle owners would not notice each other: this lock does. */
import { StoreError } from "../ports.ts";

/** Where a runtime cannot ask whether a file is locked without waiting for it. */
const LOCKED_WITHIN_MS = 500;

export type FileLock = { release(): void };

/** Locks `path`.lock for this process, until released or the process ends. Rejects with StoreError if another has it. */
export async function lockFile(path: string): Promise<FileLock> {
  // A link to the store is the same store.
  const name = `${await Deno.realPath(path).catch(() => path)}.lock`;
  let file: Deno.FsFile;
  try {
    file = await Deno.open(name, { create: true, read: true, write: true });
  } catch (error) {
    throw new StoreError(`cannot write ${name}: ${error instanceof Error ? error.message : error}`);
  }
  if (!(await isLocked(file))) {
    file.close();
    const holder = (await Deno.readTextFile(name).catch(() => "")).trim();
    throw new StoreError(`${path} is in use by another process${holder === "" ? "" : ` (pid ${holder})`}`);
  }
  // For whoever is refused. The file stays when released: deleting it would let two processes lock two files.
  await file.truncate(0);
  await file.write(new TextEncoder().encode(`${Deno.pid}\n`));
  return { release: () => file.close() };
}

async function isLocked(file: Deno.FsFile): Promise<boolean> {
  // Came after Deno 2.5, which a host may run.
  if ("tryLock" in file) return await file.tryLock(true);
  return await isLockedSoon(file);
}

/** A lock that is free is had at once. One that is not is had when its holder ends, which is too late, and let go of again. */
async function isLockedSoon(file: Pick<Deno.FsFile, "lock" | "unlock">): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), LOCKED_WITHIN_MS);
  const locked = file.lock(true).then(() => true as const);
  const isOurs = await Promise.race([locked, late]);
  clearTimeout(timer);
  if (!isOurs) locked.then(() => file.unlock()).catch(() => {});
  return isOurs;
}
