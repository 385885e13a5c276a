/**
 * Disks that are full. Where this user may mount one, each store lies on a small file system of its own that is filled to
 * the last byte (ENOSPC); elsewhere the process may let no file grow beyond where it is (RLIMIT_FSIZE: EFBIG).
 */
import type { RealCluster } from "./real_cluster.ts";

export interface Disks {
  readonly kind: "tmpfs" | "RLIMIT_FSIZE";
  /** Where a node's store has to be; null: anywhere. */
  readonly folder: ((id: string) => string) | null;
  /** What a node has to be started through. */
  readonly through: readonly string[];
  /** Nothing of this node grows any more. */
  fill(cluster: RealCluster, id: string): Promise<void>;
  free(cluster: RealCluster, id: string): Promise<void>;
  /** After the nodes are gone. */
  close(): Promise<void>;
}

const SIZE = "64m";
const CHUNK = new Uint8Array(1024 * 1024);

/** Small file systems in memory if they may be mounted, else limits. */
export async function openDisks(ids: readonly string[]): Promise<Disks> {
  return await mountDisks(ids) ?? limitedFiles();
}

/** Null where this user may not mount. */
export async function mountDisks(ids: readonly string[]): Promise<Disks | null> {
  const root = await Deno.makeTempDir({ prefix: "quorate-disks-" });
  const mounted: string[] = [];
  const close = async () => {
    for (const path of mounted) await run("umount", path);
    await Deno.remove(root, { recursive: true });
  };
  for (const id of ids) {
    const path = `${root}/${id}`;
    await Deno.mkdir(path);
    if (!await run("mount", "-t", "tmpfs", "-o", `size=${SIZE}`, "tmpfs", path)) {
      await close();
      return null;
    }
    mounted.push(path);
  }
  const filler = (id: string) => `${root}/${id}/filler`;
  return {
    kind: "tmpfs",
    folder: (id) => `${root}/${id}`,
    through: [],
    fill: (_, id) => fill(filler(id)),
    free: (_, id) => Deno.remove(filler(id)),
    close,
  };
}

export function limitedFiles(): Disks {
  return {
    kind: "RLIMIT_FSIZE",
    folder: null,
    // The signal that comes with the limit would end the process; a full disk does not.
    through: ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"],
    // Only the soft limit, which may be raised again.
    fill: (cluster, id) => limit(cluster.pid(id), "4096:"),
    free: (cluster, id) => limit(cluster.pid(id), "unlimited:"),
    close: () => Promise.resolve(),
  };
}

async function limit(pid: number, bytes: string): Promise<void> {
  if (!await run("prlimit", "--pid", String(pid), `--fsize=${bytes}`)) throw new Error(`no limit for ${pid}`);
}

/** Down to the last byte: a chunk that does not fit is halved. */
async function fill(path: string): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true });
  for (let bytes = CHUNK.length; bytes > 0;) {
    const written = await file.write(CHUNK.subarray(0, bytes)).catch(() => 0);
    if (written < bytes) bytes = Math.floor(bytes / 2);
  }
}

async function run(command: string, ...args: string[]): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output();
    return success;
  } catch {
    // It is not there, or not for us.
    return false;
  }
}
