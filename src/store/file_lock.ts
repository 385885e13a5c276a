/** SQLite locks a file only while it writes, so two idle owners would not notice each other: this lock does. */
import { StoreError } from "../replica/ports.ts";

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
  if (!(await file.tryLock(true))) {
    file.close();
    const holder = (await Deno.readTextFile(name).catch(() => "")).trim();
    throw new StoreError(`${path} is in use by another process${holder === "" ? "" : ` (pid ${holder})`}`);
  }
  // For whoever is refused. The file stays when released: deleting it would let two processes lock two files.
  await file.truncate(0);
  await file.write(new TextEncoder().encode(`${Deno.pid}\n`));
  return { release: () => file.close() };
}
