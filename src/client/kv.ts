/** Registers: small values by key, written over what was read or not at all. */
import type { KvDeleted, KvItem, KvWritten } from "../api.ts";
import { below } from "../http/named.ts";
import { LIST_VALUES_MAX_ITEMS } from "../limits.ts";
import { type Call, type CallLimits, type Calls, checkedTarget, errorOf, jsonOf, type Reply, saidIn } from "./calls.ts";
import { entryIn, entryOf, type KvChange, type KvEntry } from "./kv_entry.ts";
import { QuorateError } from "./error.ts";
import { KvWatch } from "./kv_watch.ts";
import { itemsOf } from "./pages.ts";
import { idOf, type Session } from "./sessions.ts";

/**
 * A value to write: a text, bytes (an `ArrayBuffer`, or a view of one), or anything else as JSON. What JSON cannot write is
 * refused with `invalid-request`: `undefined`, a function, or what it makes `{}` of, as a promise or a `Map`.
 */
export type KvInput = string | ArrayBuffer | Uint8Array<ArrayBuffer> | object | number | boolean | null;

/** What a write may depend on. */
export interface KvConditions {
  /** Write over this revision only; null: only where there is no value. */
  readonly over?: bigint | null;
  /**
   * The fence of the grant under which this is written. The write is refused with `fence-too-low` once the key has seen
   * a higher one.
   */
  readonly fence?: bigint;
  /** Its abort gives up: the promise rejects with its reason, and the write may have been done. */
  readonly signal?: AbortSignal;
}

/** What a value may be put with. */
export interface KvPutOptions extends KvConditions {
  /** Default: `text/plain; charset=utf-8`, `application/octet-stream` or `application/json`, by the value. */
  readonly contentType?: string;
  /** The value ends after so many ms unless it is put again. */
  readonly ttl?: number;
  /** The value ends with this session. */
  readonly session?: Session | string;
}

/** Registers of a cluster. */
export interface Kv {
  /** Resolves with the value, or with null if there is none. */
  get(key: string, options?: { readonly signal?: AbortSignal }): Promise<KvEntry | null>;
  /**
   * Writes the value once, however often the request has to be sent. Resolves with the new revision, or with null if
   * the revision that is there is not the one that `over` names. Rejects with `fence-too-low`, with `outcome-unknown`
   * if no node said in time what became of the write, and with `expired-command` if that is forgotten.
   */
  put(key: string, value: KvInput, options?: KvPutOptions): Promise<bigint | null>;
  /**
   * Deletes the value. Resolves with true, or with false if there is none or if `over` names another revision. Rejects
   * as `put` does.
   */
  delete(key: string, options?: KvConditions): Promise<boolean>;
  /**
   * Yields the values whose keys begin with `prefix`, in byte order of their keys. Each is read by itself, so this is
   * no snapshot.
   */
  list(prefix?: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<KvEntry>;
  /**
   * Writes what `change` makes of the present value, and calls `change` again if somebody else wrote meanwhile. Where
   * `change` returns undefined, nothing is written. Resolves with the revision that is there at the end, or with null
   * if there is no value. Rejects as `put` does, and with what `change` throws.
   */
  update(
    key: string,
    change: (entry: KvEntry | null) => KvInput | undefined | Promise<KvInput | undefined>,
    options?: Omit<KvPutOptions, "over">,
  ): Promise<bigint | null>;
  /** Keeps a map of the values whose keys begin with `prefix`, and tells each change. */
  watch(prefix: string, options?: { readonly signal?: AbortSignal }): KvWatcher;
}

/** A map that is kept fresh, and the changes to it as they come, to one reader at a time. Closing it ends both. */
export interface KvWatcher extends AsyncIterable<KvChange>, AsyncDisposable {
  /** The values by key, as far as this process has heard. */
  readonly entries: ReadonlyMap<string, KvEntry>;
  /** Resolves once the map is filled. Rejects if a node refuses the watch, with the error that it answers. */
  readonly ready: Promise<void>;
  /** Ends it; the iteration ends too. */
  close(): void;
  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Pages of lists with values are no longer than nodes allow. */
const PAGE = `limit=${LIST_VALUES_MAX_ITEMS}&values=true`;

export function createKv(calls: Calls): Kv {
  const get: Kv["get"] = async (key, { signal } = {}) => {
    const call = { method: "GET", target: checkedTarget("kv", key) } as const;
    const reply = await calls.ask(call, { signal });
    if (reply.status === 404 && codeOf(reply) === "not-found") return null;
    const revision = /"(\d+)"/.exec(reply.headers.get("etag") ?? "")?.[1];
    // A page of a proxy would else pass for a value.
    if (reply.status !== 200 || revision === undefined) throw errorOf(call, reply);
    return entryOf(key, revision, reply.headers.get("content-type") ?? "", reply.bytes);
  };

  const put: Kv["put"] = (key, value, options = {}) => putOnce(calls, key, value, options, { signal: options.signal });

  const update: Kv["update"] = async (key, change, options = {}) => {
    for (;;) {
      const entry = await get(key, options);
      const value = await change(entry);
      if (value === undefined) return entry?.revision ?? null;
      const revision = await put(key, value, { ...options, over: entry?.revision ?? null });
      if (revision !== null) return revision;
    }
  };

  return {
    get,
    put,
    update,
    async delete(key, options = {}) {
      const { signal } = options;
      const target = checkedTarget("kv", key);
      const command = await calls.bornCommand(target, signal);
      const call: Call = { method: "DELETE", target, headers: headersOf(options), command };
      const reply = await calls.ask(call, { signal });
      if (isRefusedBy(options, reply) || (reply.status === 404 && codeOf(reply) === "not-found")) return false;
      return saidIn<KvDeleted>(call, reply).outcome === "deleted";
    },
    list: (prefix = "", { signal } = {}) => listed(calls, prefix, signal),
    watch: (prefix, { signal } = {}) =>
      watcherOf(new KvWatch(calls, prefix, (stop) => listed(calls, prefix, stop), signal)),
  };
}

/** As `Kv.put`, within these limits. */
export async function putOnce(
  calls: Calls,
  key: string,
  value: KvInput,
  options: KvPutOptions,
  limits: CallLimits,
): Promise<bigint | null> {
  const { ttl, session } = options;
  const [bytes, type] = bytesOf(value);
  const life = [
    ...(ttl === undefined ? [] : [`ttlMs=${ttl}`]),
    ...(session === undefined ? [] : [`session=${encodeURIComponent(idOf(session))}`]),
  ];
  const target = below(checkedTarget("kv", key), "", ...life);
  const command = await calls.bornCommand(target, limits.signal);
  const headers = { ...headersOf(options), "content-type": options.contentType ?? type };
  const call = { method: "PUT", target, body: bytes, headers, command } as const;
  const reply = await calls.ask(call, limits);
  if (isRefusedBy(options, reply)) return null;
  return BigInt(saidIn<KvWritten>(call, reply).revision);
}

async function* listed(calls: Calls, prefix: string, signal: AbortSignal | undefined): AsyncGenerator<KvEntry, void> {
  const target = `/v1/kv?prefix=${encodeURIComponent(prefix)}&${PAGE}`;
  for await (const { key, revision, contentType, value = "" } of itemsOf<KvItem>(calls, target, signal)) {
    yield entryIn(key, revision, contentType, value);
  }
}

function watcherOf(watch: KvWatch): KvWatcher {
  return {
    entries: watch.entries,
    ready: watch.ready,
    close: () => watch.close(),
    [Symbol.asyncDispose]: () => Promise.resolve(watch.close()),
    [Symbol.asyncIterator]: (): AsyncIterator<KvChange> => watch.changes(),
  };
}

/** With the media type that goes with it. */
function bytesOf(value: KvInput): readonly [Uint8Array<ArrayBuffer>, string] {
  const bytes = bytesIn(value);
  if (bytes !== null) return [bytes, "application/octet-stream"];
  const encoder = new TextEncoder();
  if (typeof value === "string") return [encoder.encode(value), "text/plain; charset=utf-8"];
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined || (text === "{}" && !isRecord(value))) {
    const what = "a value is a text, bytes, or what JSON can write; a promise has to be awaited";
    throw new QuorateError("invalid-request", what, { retryable: false });
  }
  return [encoder.encode(text), "application/json"];
}

/** Null: it is none. */
function bytesIn(value: KvInput): Uint8Array<ArrayBuffer> | null {
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (!ArrayBuffer.isView(value)) return null;
  return new Uint8Array(value.buffer as ArrayBuffer, value.byteOffset, value.byteLength);
}

/** Whether an empty object is what it is: what else becomes one has lost all that it held. */
function isRecord(value: KvInput): boolean {
  if (typeof (value as { toJSON?: unknown }).toJSON === "function") return true;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function headersOf({ over, fence }: KvConditions): Record<string, string> {
  return {
    ...(over === undefined ? {} : over === null ? { "if-none-match": "*" } : { "if-match": `"${over}"` }),
    ...(fence === undefined ? {} : { fence: `${fence}` }),
  };
}

/** Not by its fence: whoever is too late has to hear of it. */
function isRefusedBy({ over }: KvConditions, reply: Reply): boolean {
  return over !== undefined && reply.status === 412 && codeOf(reply) === "precondition-failed";
}

function codeOf(reply: Reply): unknown {
  return (jsonOf(reply) as { code?: unknown } | undefined)?.code;
}
