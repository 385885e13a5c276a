/**
 * A backup as a file: JSON lines, a header, one line for each key in byte order, and an end, without which it is not whole.
 * Each line goes into a running digest, which the end has; so has each key's line the hash of its state.
 */
import { QuorateError } from "../errors.ts";
import { compareKeys } from "../key_order.ts";
import { MEMBERS_MAX, ROW_MAX_BYTES } from "../limits.ts";
import type { Origin } from "../ports.ts";
import type { State } from "../paxos/message.ts";

export const BACKUP_FORMAT = 1;

/** One key as a read quorum had it. `hash`: of the whole state, as `StateHash` makes it. */
export type BackupRecord = {
  readonly key: string;
  readonly instance: number;
  readonly hash: string;
  readonly state: State;
};

/**
 * `restored`: how many restores lie behind the cluster that it is of. `origin`: stores that it began with, as the node had met
 * them that was asked; absent in files of 0.2.0.
 */
export type BackupHeader = {
  readonly format: number;
  readonly cluster: string;
  readonly restored: number;
  readonly origin?: Origin;
};
export type BackupEnd = { readonly end: true; readonly keys: number; readonly digest: string };

export type Digest = (text: string) => string;
/** Throws if this version cannot apply the state. */
export type StateHash = (state: State) => string;

/** No line is longer: a row bounds its state, and a key is less than the rest of this. */
export const LINE_MAX_CHARS = 2 * ROW_MAX_BYTES;

/** What a file comes to, line by line; the same for who writes it and who reads it. */
export class BackupDigest {
  readonly #digest: Digest;
  #last = "";
  #keys = 0;

  constructor(digest: Digest) {
    this.#digest = digest;
  }

  /** A line without its end, the header's first. */
  add(line: string): void {
    this.#last = this.#digest(`${this.#last}\n${line}`);
  }

  counted(): void {
    this.#keys++;
  }

  end(): BackupEnd {
    return { end: true, keys: this.#keys, digest: this.#last };
  }
}

export type Read =
  | { readonly type: "header"; readonly header: BackupHeader }
  | { readonly type: "record"; readonly record: BackupRecord }
  | { readonly type: "end"; readonly end: BackupEnd };

/**
 * Yields what each line says, checked. Throws `invalid-request` at the first line that is wrong, with its number; and at the
 * end of a file without its end, unless that `mayLack` it.
 */
export async function* readBackup(
  lines: AsyncIterable<string>,
  parts: { readonly digest: Digest; readonly stateHash: StateHash; readonly mayLack?: boolean },
): AsyncGenerator<Read, void> {
  const digest = new BackupDigest(parts.digest);
  let [number, last, isOver, isBegun] = [0, "", false, false];
  for await (const line of lines) {
    number++;
    const wrong = (what: string) => new QuorateError("invalid-request", `line ${number} of the backup ${what}`);
    if (isOver) throw wrong("stands behind its end");
    const found = parsed(line);
    if (found === null) throw wrong("is no JSON object");
    if (!isBegun) {
      const header = headerIn(found);
      if (header === null) throw wrong("is no header of a backup");
      if (header.format !== BACKUP_FORMAT) {
        throw wrong(`is of format ${header.format}, which this version does not read`);
      }
      isBegun = true;
      digest.add(line);
      yield { type: "header", header };
      continue;
    }
    if (found["end"] === true) {
      const { keys, digest: whole } = digest.end();
      if (found["keys"] !== keys || found["digest"] !== whole) throw wrong("says that others stand before it");
      isOver = true;
      yield { type: "end", end: digest.end() };
      continue;
    }
    const record = recordIn(found);
    if (record === null) throw wrong("is no record");
    if (compareKeys(record.key, last) <= 0) throw wrong("is not behind the one before, in byte order of keys");
    let hash: string;
    try {
      hash = parts.stateHash(record.state);
    } catch (error) {
      throw wrong(`has a state that this version cannot apply: ${(error as Error).message}`);
    }
    if (hash !== record.hash) throw wrong("has a state that is not what its hash is of");
    last = record.key;
    digest.add(line);
    digest.counted();
    yield { type: "record", record };
  }
  if (!isOver && parts.mayLack !== true) {
    throw new QuorateError("invalid-request", "the backup lacks its end: it is not whole");
  }
}

function parsed(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function headerIn({ format, cluster, restored, origin }: Readonly<Record<string, unknown>>): BackupHeader | null {
  if (typeof format !== "number" || typeof cluster !== "string" || !isCount(restored)) return null;
  if (origin === undefined) return { format, cluster, restored };
  return isOrigin(origin) ? { format, cluster, restored, origin } : null;
}

function isOrigin(value: unknown): value is Origin {
  if (!Array.isArray(value) || value.length > MEMBERS_MAX) return false;
  return value.every((one) => typeof one?.id === "string" && typeof one.incarnation === "string");
}

function recordIn({ key, instance, hash, state }: Readonly<Record<string, unknown>>): BackupRecord | null {
  if (typeof key !== "string" || key === "" || !key.isWellFormed() || typeof hash !== "string") return null;
  if (!isCount(instance) || instance < 1 || typeof state !== "object" || state === null) return null;
  return { key, instance, hash, state: state as State };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
