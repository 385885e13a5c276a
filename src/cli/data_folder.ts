/** What `deno task start` keeps between runs: one store a node, and the secret they share. */
import { Buffer } from "node:buffer";
import { SECRET_MIN_CHARS } from "../config/config.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { CommandError, oneLine } from "./report.ts";

export function storePath(folder: string, id: NodeId): string {
  return `${folder}/${id}.sqlite`;
}

export function secretPath(folder: string): string {
  return `${folder}/secret`;
}

/** Whether the stores have to be made. Throws CommandError if only some of them are there. */
export async function isFresh(folder: string, ids: readonly NodeId[]): Promise<boolean> {
  const there: string[] = [];
  const missing: string[] = [];
  for (const id of ids) {
    const path = storePath(folder, id);
    (await exists(path) ? there : missing).push(path);
  }
  if (missing.length === 0) return false;
  // Made anew, a lost store would vote again as a member that has voted: that can undo a grant.
  if (there.length > 0) {
    throw new CommandError(
      `${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} missing beside ${there.join(", ")}; put it back, ` +
        `or remove ${folder} to begin a new cluster that knows of no lock`,
    );
  }
  return true;
}

/** The peer secret of this folder, made when first asked for. Makes the folder too. */
export async function peerSecret(folder: string): Promise<string> {
  const path = secretPath(folder);
  try {
    await Deno.mkdir(folder, { recursive: true });
    if (!await exists(path)) await writeSecret(path);
    const secret = (await Deno.readTextFile(path)).trim();
    if (secret.length >= SECRET_MIN_CHARS) return secret;
  } catch (error) {
    throw new CommandError(`cannot use the folder ${folder}: ${oneLine(error)}`);
  }
  throw new CommandError(`${path} holds fewer than ${SECRET_MIN_CHARS} characters; remove it and a new one is made`);
}

async function writeSecret(path: string): Promise<void> {
  const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
  await Deno.writeTextFile(path, `${secret}\n`, { createNew: true, mode: 0o600 });
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    // Unreadable is not absent: a cluster must not be made beside stores one cannot see.
    throw new CommandError(`cannot look at ${path}: ${oneLine(error)}`);
  }
}
