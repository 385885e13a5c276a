/**
 * A record of this node's own that is damaged, or has stopped, and what takes its place. From before it is looked at until then
 * its acceptor says nothing of the key: a vote cast meanwhile would be lost with the record (PROTOCOL.md §9, "Repair").
 */
import { QuorateError } from "../errors.ts";
import type { AcceptorRecord, Snapshot } from "../paxos/message.ts";
import { snapshotOf } from "../paxos/record.ts";
import type { StoreHealth } from "./store_health.ts";
import type { OpenUpdates } from "./open_updates.ts";
import type { BallotStore, Found } from "../ports.ts";
import type { SentMessage, SentReply } from "../members/message.ts";
import type { KeptRecords } from "./kept_records.ts";
import type { Stopped } from "./stopped.ts";

export type OwnRecord =
  | { readonly type: "sound"; readonly snapshot: Snapshot }
  | { readonly type: "stopped"; readonly reason: string; readonly snapshot: Snapshot }
  | { readonly type: "damaged"; readonly reason: string };
/** Resolves with true once the record stands in place of the wrong one, with false where that has changed meanwhile. */
export type Install = (record: AcceptorRecord) => Promise<boolean>;

export type MendingParts = {
  readonly store: BallotStore;
  readonly kept: KeptRecords;
  readonly stopped: Stopped;
  readonly fresh: (key: string) => AcceptorRecord;
  /** Called once it is durable. */
  readonly installed: (key: string, record: AcceptorRecord) => void;
  readonly health: StoreHealth;
  /** What it writes is one of these. */
  readonly open: OpenUpdates;
};

export class Mending {
  readonly #parts: MendingParts;
  readonly #shut = new Set<string>();

  constructor(parts: MendingParts) {
    this.#parts = parts;
  }

  isShut(key: string): boolean {
    return this.#shut.has(key);
  }

  /** The answer as whoever repairs its own record needs it: that has to know whose are wrong too, and whose node is only away. */
  told(message: SentMessage, reply: Promise<SentReply>): Promise<SentReply> {
    if (message.type !== "read") return reply;
    return reply.catch((error) => {
      if (!this.#parts.stopped.has(message.key)) throw error;
      return { type: "stopped", reason: "its record is damaged" } as const;
    });
  }

  /** Rejects with `not-ready` if the store fails. */
  async look(key: string): Promise<OwnRecord> {
    return this.#ownOf(key, await this.#found(key));
  }

  /** `run` for a record that is wrong; of one that is sound it is returned. Rejects with `not-ready` where another such run is under way. */
  async mend<T>(
    key: string,
    run: (own: Exclude<OwnRecord, { type: "sound" }>, install: Install) => Promise<T>,
  ): Promise<T | { readonly type: "sound"; readonly snapshot: Snapshot }> {
    const before = await this.look(key);
    if (before.type === "sound") return before;
    if (this.#shut.has(key)) throw new QuorateError("not-ready", "its record is being repaired here already");
    this.#shut.add(key);
    try {
      // Looked at anew: what was seen before may have voted since.
      const found = await this.#found(key);
      const own = this.#ownOf(key, found);
      return own.type === "sound" ? own : await run(own, (record) => this.#install(key, found, record));
    } finally {
      this.#shut.delete(key);
    }
  }

  async #install(key: string, found: Found, record: AcceptorRecord): Promise<boolean> {
    const { store, health, kept, installed, open } = this.#parts;
    const refusal = open.begin();
    if (refusal !== null) throw refusal;
    const isIn = await store.mend(key, (now) => {
      const own = this.#ownOf(key, now);
      const isAsFound = now.version === found.version && own.type !== "sound";
      // As far as it can be read it says itself how far it went.
      const isAbove = own.type === "damaged" || (own.type === "stopped" && own.snapshot.instance < record.instance);
      return isAsFound && isAbove ? { record: kept.kept(record, null), reply: true } : { record: null, reply: false };
    }).catch((error) => {
      throw health.told(error);
    }).finally(() => open.end());
    if (isIn) installed(key, record);
    return isIn;
  }

  #found(key: string): Promise<Found> {
    return this.#parts.store.mend(key, (found) => ({ record: null, reply: found })).catch((error) => {
      throw this.#parts.health.told(error);
    });
  }

  #ownOf(key: string, { record, damage }: Found): OwnRecord {
    if (damage !== null) return { type: "damaged", reason: damage };
    if (record === null) return { type: "sound", snapshot: snapshotOf(this.#parts.fresh(key)) };
    if (!this.#parts.kept.isWhole(record)) return { type: "damaged", reason: "its state is not what its hash is of" };
    const snapshot = snapshotOf(record);
    return record.stopped === undefined
      ? { type: "sound", snapshot }
      : { type: "stopped", reason: record.stopped, snapshot };
  }
}
