/** Pages of a backup: every key that a quorum lists, each as a read of its own has it. There is no moment of all of them. */
import type { BackupRecord } from "../backup/backup_file.ts";
import { compareKeys } from "../key_order.ts";
import { BACKUP_PAGE_BYTES, BACKUP_PAGE_KEYS } from "../limits.ts";
import { KEY_PREFIXES } from "../nouns.ts";
import { wholeHashOf } from "../machine/machine.ts";
import type { Origin } from "../ports.ts";
import type { Machine } from "../paxos/message.ts";
import type { Names } from "../replica/names.ts";
import type { Reader } from "../replica/reader.ts";
import type { BackupPage } from "./service.ts";

const READS_AT_ONCE = 16;
/** One after the other: members list keys by prefix. */
const PREFIXES = Object.values(KEY_PREFIXES).sort(compareKeys);

export class Backups {
  readonly #names: Names;
  readonly #reader: Reader;
  readonly #machine: Machine;
  readonly #restored: number;
  readonly #origin: () => Promise<Origin>;

  constructor({ names, reader, machine, restored, origin }: {
    readonly names: Names;
    readonly reader: Reader;
    readonly machine: Machine;
    readonly restored: number;
    readonly origin: () => Promise<Origin>;
  }) {
    this.#names = names;
    this.#reader = reader;
    this.#machine = machine;
    this.#restored = restored;
    this.#origin = origin;
  }

  /**
   * Keys after `after` in byte order, also those that only have fences and instances left: without them a restored cluster
   * would grant their fences again. Rejects with `no-quorum` if one of them cannot be read within `timeoutMs`.
   */
  async page(after: string, timeoutMs: number): Promise<BackupPage> {
    const found = await this.#found(after, timeoutMs);
    // Whoever has read something has met a quorum by then.
    return { restored: this.#restored, origin: await this.#origin(), ...found };
  }

  async #found(after: string, timeoutMs: number): Promise<Pick<BackupPage, "items" | "cursor">> {
    const at = PREFIXES.findIndex((prefix) => after.startsWith(prefix) || compareKeys(after, prefix) < 0);
    const prefix = PREFIXES[at];
    if (prefix === undefined) return { items: [], cursor: null };
    const range = { prefix, after, limit: BACKUP_PAGE_KEYS, which: "all" } as const;
    const { keys, more } = await this.#names.page(range, timeoutMs);
    const items: BackupRecord[] = [];
    let bytes = 0;
    for (let from = 0; from < keys.length; from += READS_AT_ONCE) {
      const some = await Promise.all(keys.slice(from, from + READS_AT_ONCE).map((key) => this.#read(key, timeoutMs)));
      items.push(...some.filter((record) => record !== null));
      bytes += some.reduce((sum, record) => sum + (record === null ? 0 : JSON.stringify(record.state).length), 0);
      const last = keys[from + some.length - 1]!;
      if (bytes >= BACKUP_PAGE_BYTES && from + some.length < keys.length) return { items, cursor: last };
    }
    return { items, cursor: (more ? keys.at(-1) : PREFIXES[at + 1]) ?? null };
  }

  /** Null: nothing was ever decided of it. */
  async #read(key: string, timeoutMs: number): Promise<BackupRecord | null> {
    const { instance, state, decidedBy } = await this.#reader.read(key, timeoutMs);
    // One that was restored has been decided too, in another cluster.
    if (decidedBy === null && this.#machine.hash(state) === this.#machine.hash(this.#machine.init(state.mode))) {
      return null;
    }
    return { key, instance, hash: wholeHashOf(this.#machine, state), state };
  }
}
