/** `kv`: registers from a shell. */
import { Buffer } from "node:buffer";
import process from "node:process";
import type { KvEntry } from "../client/kv_entry.ts";
import type { KvConditions } from "../client/kv.ts";
import { asked, cells, show } from "./ask.ts";
import type { Common } from "./cluster.ts";
import { durationMs } from "./duration.ts";
import { print, printBytes } from "./output.ts";
import { CommandError, UsageError } from "./report.ts";
import { jsonLine } from "./tell.ts";

export type WriteFlags = Common & {
  readonly ifMatch?: string;
  readonly ifAbsent?: true;
  readonly fence?: string;
};
export type PutFlags = WriteFlags & { readonly ttl?: string; readonly contentType?: string };

/** Writes the bytes as they are. */
export function kvGet(key: string, flags: Common): Promise<number> {
  return asked("kv get", flags, async ({ quorate }) => {
    const entry = await quorate.kv.get(key);
    if (entry === null) throw new CommandError(`there is no ${key}`);
    if (flags.json) return print(jsonLine(documentOf(entry)));
    await printBytes(entry.value);
    if (process.stdout.isTTY) print("");
  });
}

/** @param value undefined: standard input */
export function kvPut(key: string, value: string | undefined, flags: PutFlags): Promise<number> {
  return asked("kv put", flags, async ({ quorate }) => {
    const options = {
      ...conditionsIn(flags),
      ...(flags.ttl !== undefined && { ttl: durationMs(flags.ttl) }),
      ...(flags.contentType !== undefined && { contentType: flags.contentType }),
    };
    const given = value ?? await standardInput();
    const revision = await quorate.kv.put(key, given, options);
    if (revision === null) throw new CommandError(`${key} is not as it was asked to be; nothing was written`);
    show(flags, { key, revision }, `${revision}`);
  });
}

export function kvDelete(key: string, flags: WriteFlags): Promise<number> {
  return asked("kv delete", flags, async ({ quorate }) => {
    const isDeleted = await quorate.kv.delete(key, conditionsIn(flags));
    if (!isDeleted) throw new CommandError(`${key} is not there, or not as it was asked to be`);
    if (flags.json) print(jsonLine({ key, deleted: true }));
  });
}

export function kvList(prefix: string, flags: Common): Promise<number> {
  return asked("kv ls", flags, async ({ quorate }) => {
    for await (const entry of quorate.kv.list(prefix)) {
      show(flags, documentOf(entry), cells(entry.key, entry.revision, entry.value.length));
    }
  });
}

/** Each change as it comes; a value that is gone has none. */
export function kvWatch(prefix: string, flags: Common): Promise<number> {
  return asked("kv watch", flags, async ({ quorate }) => {
    const watcher = quorate.kv.watch(prefix);
    try {
      for await (const { key, entry } of watcher) {
        const text = entry === null ? cells("deleted", key) : cells("changed", key, entry.revision, entry.value.length);
        show(flags, entry === null ? { key, deleted: true } : documentOf(entry), text);
      }
    } finally {
      await watcher[Symbol.asyncDispose]();
    }
  });
}

function documentOf({ key, revision, contentType, value }: KvEntry) {
  return { key, revision, contentType, value: Buffer.from(value).toString("base64") };
}

function conditionsIn({ ifMatch, ifAbsent, fence }: WriteFlags): KvConditions {
  if (ifMatch !== undefined && ifAbsent) throw new UsageError("--if-match and --if-absent exclude each other");
  return {
    ...(ifMatch !== undefined && { over: integerIn(ifMatch, "--if-match") }),
    ...(ifAbsent && { over: null }),
    ...(fence !== undefined && { fence: integerIn(fence, "--fence") }),
  };
}

function integerIn(text: string, flag: string): bigint {
  if (!/^[0-9]{1,20}$/.test(text)) throw new UsageError(`${flag} is a whole number`);
  return BigInt(text);
}

async function standardInput(): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return new Uint8Array(Buffer.concat(chunks));
}
