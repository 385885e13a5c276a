/** `backup` and `verify`: a file of all that a cluster holds, begun, gone on with, and checked. */
import { sha256Hex } from "../auth/digest.ts";
import {
  BACKUP_FORMAT,
  BackupDigest,
  type BackupHeader,
  type BackupRecord,
  LINE_MAX_CHARS,
  readBackup,
} from "../backup/backup_file.ts";
import { linesOf } from "../backup/lines.ts";
import type { Call, Calls } from "../client/calls.ts";
import { mayBegin } from "../epochs/news.ts";
import { compareKeys } from "../key_order.ts";
import { createMachine, wholeHashOf } from "../machine/machine.ts";
import type { State } from "../paxos/message.ts";
import { asked, show } from "./ask.ts";
import type { Common } from "./cluster.ts";
import { EXIT_FAILED, UsageError } from "./report.ts";

/** A node of 0.2.0 says nothing of an origin. */
type Page = Pick<BackupHeader, "cluster" | "restored" | "origin"> & {
  readonly items: readonly BackupRecord[];
  readonly cursor: string | null;
};
/** What a file that was begun has: where its last whole line ends, and the key that it is about. */
type Begun = { readonly header: BackupHeader | null; readonly bytes: number; readonly last: string };

/** A page may wait for a quorum so long, through all nodes. */
const PAGE_WITHIN_MS = 60_000;
const NODE_WITHIN_MS = 20_000;
const DIFFERENCES_MAX = 10;

const machine = createMachine({ digest: sha256Hex });
const parts = { digest: sha256Hex, stateHash: (state: State) => wholeHashOf(machine, state) };

export function runBackup(path: string, flags: Common): Promise<number> {
  return asked("backup", flags, async ({ calls }) => {
    const digest = new BackupDigest(sha256Hex);
    using file = await Deno.open(path, { read: true, write: true, create: true, mode: 0o600 });
    const begun = await goOn(path, digest);
    await file.truncate(begun.bytes);
    await file.seek(begun.bytes, Deno.SeekMode.Start);
    const write = async (lines: readonly object[]) => {
      const texts = lines.map((line) => JSON.stringify(line));
      for (const text of texts) digest.add(text);
      await writeAll(file, texts.map((text) => `${text}\n`).join(""));
    };
    let { header } = begun;
    for await (const page of pagesOf(calls, begun.last)) {
      if (header === null) {
        const { cluster, restored, origin } = page;
        header = { format: BACKUP_FORMAT, cluster, restored, ...(origin === undefined ? {} : { origin }) };
        await write([header]);
      } else if (!isOf(header, page)) {
        throw new UsageError(`${path} is of another cluster than the one that answers`);
      }
      await write(page.items);
      for (const _ of page.items) digest.counted();
    }
    const end = digest.end();
    await writeAll(file, `${JSON.stringify(end)}\n`);
    await file.sync();
    show(flags, { file: path, ...end }, `${path}: ${end.keys} keys, digest ${end.digest}`);
  });
}

/** Whether the page is of the cluster that the file was begun with: another may have the same ids, and so the same name. */
function isOf({ cluster, restored, origin }: BackupHeader, page: Page): boolean {
  if (cluster !== page.cluster || restored !== page.restored) return false;
  if (origin === undefined || page.origin === undefined) return true;
  return mayBegin(origin, new Map(page.origin.map(({ id, incarnation }) => [id, incarnation])));
}

export type VerifyFlags = Common & { readonly cluster?: true };

/** The exit code: 1 if the cluster holds anything else than the file. */
export function runVerify(path: string, flags: VerifyFlags): Promise<number> {
  return asked("verify", flags, async ({ calls }) => {
    const differences: string[] = [];
    const there = flags.cluster === true ? recordsOf(calls) : null;
    let next = await there?.next();
    let keys = 0;
    const differs = (key: string, how: string) => void differences.push(`${key}: ${how}`);
    for await (const found of readBackup(linesIn(path), parts)) {
      if (found.type !== "record") continue;
      keys++;
      if (there === null) continue;
      const { key, state } = found.record;
      for (; next?.done === false && compareKeys(next.value.key, key) < 0; next = await there.next()) {
        differs(next.value.key, "only in the cluster");
      }
      if (next?.done !== false || next.value.key !== key) differs(key, "only in the file");
      else {
        if (plain(next.value.state) !== plain(state)) differs(key, "another state");
        next = await there.next();
      }
    }
    for (; next?.done === false; next = await there!.next()) differs(next.value.key, "only in the cluster");
    for (const difference of differences.slice(0, DIFFERENCES_MAX)) console.error(difference);
    const compared = there === null ? "" : `, ${differences.length} differ`;
    show(
      flags,
      { file: path, keys, ...(there === null ? {} : { differences: differences.length }) },
      `${path}: ${keys} keys are whole${compared}`,
    );
    return differences.length === 0 ? 0 : EXIT_FAILED;
  });
}

/** As JSON. How a name is decided belongs to its cluster; the chain has decisions too that changed nothing, as of names that moved. */
function plain(state: State): string {
  return JSON.stringify({ ...state, mode: null, chain: null });
}

async function* pagesOf(calls: Calls, after: string): AsyncGenerator<Page, void> {
  for (let cursor: string | null = after; cursor !== null;) {
    const target: string = `/v1/backup?after=${encodeURIComponent(cursor)}&timeoutMs=${NODE_WITHIN_MS}`;
    const call: Call = { method: "GET", target, isUntimed: true, waitMs: NODE_WITHIN_MS };
    const untilMs = calls.clock.now() + PAGE_WITHIN_MS;
    const { body }: { readonly body: Page } = await calls.json<Page>(call, { untilMs });
    yield body;
    cursor = body.cursor;
  }
}

async function* recordsOf(calls: Calls): AsyncGenerator<BackupRecord, void> {
  for await (const { items } of pagesOf(calls, "")) yield* items;
}

/** Throws UsageError for a file that has its end, `invalid-request` for one that is wrong. */
async function goOn(path: string, digest: BackupDigest): Promise<Begun> {
  let [header, bytes, last]: [BackupHeader | null, number, string] = [null, 0, ""];
  const encoder = new TextEncoder();
  let line = "";
  async function* noting(): AsyncGenerator<string, void> {
    for await (const each of linesIn(path)) yield line = each;
  }
  const { size } = await Deno.stat(path);
  for await (const found of readBackup(noting(), { ...parts, mayLack: true })) {
    if (found.type === "end") throw new UsageError(`${path} is a whole backup: write to another file`);
    digest.add(line);
    bytes += encoder.encode(line).length + 1;
    if (found.type === "header") header = found.header;
    else {
      digest.counted();
      last = found.record.key;
    }
  }
  // Not even its first line is whole: it may be anything.
  if (header === null && size > 0) throw new UsageError(`${path} is there, and is no backup: write to another file`);
  return { header, bytes, last };
}

async function* linesIn(path: string): AsyncGenerator<string, void> {
  const file = await Deno.open(path);
  yield* linesOf(file.readable, LINE_MAX_CHARS);
}

async function writeAll(file: Deno.FsFile, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}
