/** Reading the names of one noun: one of them, from a quorum or from the own record, or a page of them by prefix. */
import type { Page, Receipt } from "../api.ts";
import type { Snapshot, State } from "../paxos/message.ts";
import type { AcceptorHost } from "../replica/acceptor_host.ts";
import type { Freshness } from "../replica/freshness.ts";
import type { Names } from "../replica/names.ts";
import type { Reader } from "../replica/reader.ts";
import { receiptOf } from "../engine/receipt.ts";
import type { ListRequest, ReadOptions } from "./service.ts";

export type ReadParts = {
  readonly acceptor: AcceptorHost;
  readonly reader: Reader;
  readonly names: Names;
  readonly heard: Freshness;
};

export type Found = {
  readonly key: string;
  readonly snapshot: Snapshot;
  /** The snapshot's. */
  readonly state: State;
  readonly receipt: Receipt;
};

export class Reads {
  readonly #parts: ReadParts;
  readonly #prefix: string;

  /** @param prefix of the noun's keys, with its slash */
  constructor(parts: ReadParts, prefix: string) {
    this.#parts = parts;
    this.#prefix = prefix;
  }

  async get(name: string, { stale, timeoutMs }: ReadOptions): Promise<Found & { readonly staleMs?: number }> {
    const { acceptor, reader, heard } = this.#parts;
    const key = this.#prefix + name;
    const snapshot = stale ? (await acceptor.shown(key)).snapshot : await reader.read(key, timeoutMs);
    const { state, decidedBy } = snapshot;
    const found = { key, snapshot, state, receipt: { ...receiptOf(decidedBy), path: "read" } } as const;
    const staleMs = stale ? heard.ageMs(key) : null;
    return staleMs === null ? found : { ...found, staleMs };
  }

  /** @param show what becomes an item; null: it is left out */
  async list<T>(
    { prefix, limit, cursor, timeoutMs }: ListRequest,
    show: (name: string, key: string, timeoutMs: number) => Promise<T | null>,
  ): Promise<Page<T>> {
    const range = { prefix: this.#prefix + prefix, after: this.#prefix + (cursor ?? ""), which: "live" } as const;
    const { keys } = await this.#parts.names.page({ ...range, limit: limit + 1 }, timeoutMs);
    const shown = keys.slice(0, limit);
    const items = await Promise.all(shown.map((key) => show(key.slice(this.#prefix.length), key, timeoutMs)));
    const last = shown.at(-1);
    return {
      items: items.filter((item) => item !== null),
      cursor: keys.length > limit && last !== undefined ? last.slice(this.#prefix.length) : null,
    };
  }
}
