/**
 * The same port in memory, for tests and the simulator: commits happen at points one can schedule, fail on
 * request, and outlive a crash on a `MemoryDisk`. Shares no commit code with the owner store, so the contract
 * suite compares two ways of doing it.
 */
import { assert } from "../assert.ts";
import { compareKeys } from "../key_order.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { AcceptorRecord } from "../paxos/message.ts";
import { barring } from "../paxos/barring.ts";
import type { BallotStore, EpochsRow, Found, Identity, KeptEpochs, Mark, StepResult, Which } from "../ports.ts";
import { type StoredRecord, StoreError } from "../ports.ts";
import { assertFollows } from "./epochs_row.ts";
import { assertKey } from "./key_space.ts";
import { Marks } from "./marks.ts";
import {
  type AtomicStep,
  type AtomicWatch,
  type DiskMeta,
  MemoryDisk,
  type MemoryImage,
  ReadRecords,
} from "./memory_records.ts";
import { soundOnly } from "./sound_only.ts";
import { assertFits, type IdentityRow } from "./rows.ts";

export { type AtomicStep, type AtomicWatch, MemoryDisk, type MemoryImage };

/** How one atomic fails: a check says no; or nothing is heard of it, applied or not. */
export type Fault = "conflict" | "unknown-applied" | "unknown-lost";

export type MemoryStoreOptions = {
  readonly disk?: MemoryDisk;
  /** A new id for each open. Default: counts. */
  readonly run?: () => string;
  /** Resolves when the disk gets to the next atomic. Default: a microtask. */
  readonly schedule?: () => Promise<void>;
  /** May crash the store it watches. Default: nobody. */
  readonly watch?: AtomicWatch;
};

/** Rejects with StoreError while another store is open on the disk. */
export async function openMemoryStore(options: MemoryStoreOptions = {}): Promise<MemoryBallotStore> {
  const { disk = new MemoryDisk(), run = countRuns, schedule = () => Promise.resolve(), watch = () => {} } = options;
  if (disk.owner !== null) throw new StoreError("this disk is in use by another store");
  const store = new MemoryBallotStore(disk, run(), schedule, watch);
  disk.owner = store;
  await store.boot();
  return store;
}

let runs = 0;
function countRuns(): string {
  return `run-${++runs}`;
}

type Waiter = {
  /** Null for a flush, which has no step and waits for the atomic alone. */
  readonly change: { readonly key: string; readonly step: (found: Found) => StepResult<unknown> } | null;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: unknown) => void;
  refusals: number;
};

type Batch = {
  readonly steps: readonly AtomicStep[];
  readonly writes: ReadonlyMap<string, string>;
  readonly waiters: readonly { readonly waiter: Waiter; readonly reply: unknown }[];
};

const REFUSALS_MAX = 5;

export class MemoryBallotStore implements BallotStore {
  readonly isShared = false;
  /** The next atomic fails so, once. */
  failNext: Fault | null = null;
  readonly disk: MemoryDisk;
  readonly #run: string;
  readonly #schedule: () => Promise<void>;
  readonly #watch: AtomicWatch;
  readonly #read = new ReadRecords();
  #identity: IdentityRow | null = null;
  #pending: IdentityRow | null = null;
  #epochs: KeptEpochs | null = null;
  #seals: KeptEpochs | null = null;
  #confirmsLife = false;
  #boot = 0;
  #seq = 0;
  #spoken = 0;
  #confirmed = false;
  #marks: Marks;
  #quarantined: string | null;
  #dirty = false;
  /** As of the owner store. */
  readonly #unsure: Set<string>;
  readonly #barred = new WeakMap<Found, Found>();
  #waiting: Waiter[] = [];
  #pump: Promise<void> | null = null;
  #closed = false;
  #crashed = false;

  /** Use `openMemoryStore`. */
  constructor(disk: MemoryDisk, run: string, schedule: () => Promise<void>, watch: AtomicWatch) {
    this.disk = disk;
    this.#run = run;
    this.#schedule = schedule;
    this.#watch = watch;
    const meta = disk.meta === null ? null : JSON.parse(disk.meta) as DiskMeta;
    if (meta !== null) this.#take(meta);
    this.#marks = new Marks(meta?.marks);
    this.#quarantined = meta?.quarantined ?? null;
    this.#unsure = new Set(meta?.ended === true ? [] : disk.records.keys());
  }

  /** Counts this open durably, if the disk has an identity. */
  async boot(): Promise<void> {
    if (this.#identity === null) return;
    this.#boot++;
    await this.#ask<void>(null);
  }

  /** The process dies: nothing not yet committed happens, and nobody hears of anything any more. */
  crash(): void {
    this.#crashed = true;
    this.#closed = true;
    if (this.disk.owner === this) this.disk.owner = null;
  }

  async update<R>(key: string, step: (record: AcceptorRecord | null) => StepResult<R>): Promise<R> {
    this.#assertOpen();
    assertKey(key);
    return await this.#ask<R>({ key, step: soundOnly(step) });
  }

  async mend<R>(key: string, step: (found: Found) => StepResult<R>): Promise<R> {
    this.#assertOpen();
    assertKey(key);
    return await this.#ask<R>({ key, step });
  }

  peek(key: string): StoredRecord | null | undefined {
    const isAtRest = !this.#closed && this.#pump === null;
    const { record, damage } = isAtRest ? this.#onDisk(key) : this.#read.of(key, undefined);
    return isAtRest && damage === null ? record : undefined;
  }

  leads(key: string): boolean {
    return this.#waiting.length === 0 && this.disk.records.has(key) && this.peek(key) !== undefined;
  }

  async keys(prefix: string, after: string, limit: number, which: Which = "all"): Promise<readonly string[]> {
    this.#assertOpen();
    await Promise.resolve();
    const { records } = this.disk;
    return [...records.keys()]
      .filter((key) => key.startsWith(prefix) && compareKeys(key, after) > 0)
      .filter((key) => which === "all" || this.#read.of(key, records.get(key)).record?.live !== false)
      .sort(compareKeys)
      .slice(0, Math.max(0, limit));
  }

  identity(): Identity | null {
    if (this.#identity === null) return null;
    const { cluster, id, incarnation } = this.#identity;
    return { cluster, id, incarnation, boot: this.#boot, run: this.#run };
  }

  async init(
    identity: { readonly cluster: string; readonly id: NodeId; readonly incarnation: string; readonly config: string },
    epochs?: EpochsRow,
  ): Promise<Identity> {
    this.#assertOpen();
    if (this.#identity !== null || this.#pending !== null) throw new StoreError("this store already has an identity");
    const { cluster, id, incarnation, config } = identity;
    if (epochs !== undefined) this.#asks(epochs);
    this.#pending = { cluster, id, incarnation, config, confirmed: false };
    try {
      await this.#ask<void>(null);
    } finally {
      this.#pending = null;
    }
    const written = this.identity();
    assert(written !== null, "a committed init leaves an identity");
    return written;
  }

  lifeConfirmed(): boolean | null {
    return this.#identity === null ? false : this.#identity.confirmed ?? null;
  }

  async confirmLife(): Promise<void> {
    this.#assertOpen();
    if (this.#identity === null) throw new StoreError("this store belongs to nobody");
    if (this.#identity.confirmed === true) return;
    this.#confirmsLife = true;
    await this.#ask<void>(null);
  }

  config(): string | null {
    return this.#identity?.config ?? null;
  }

  epochs(): KeptEpochs | null {
    return this.#epochs;
  }

  async seal(row: KeptEpochs): Promise<void> {
    this.#assertOpen();
    if (this.#identity === null) throw new StoreError("this store belongs to nobody");
    this.#asks(row);
    await this.#ask<void>(null);
  }

  #asks(row: KeptEpochs): void {
    assertFollows(this.#seals ?? this.#epochs, row);
    this.#seals = row;
  }

  seq(): number {
    return this.#seq;
  }

  spokenSeq(): number {
    return this.#spoken;
  }

  async confirm(): Promise<void> {
    this.#assertOpen();
    this.#confirmed = true;
    await this.#ask<void>(null);
  }

  note(peer: NodeId, mark: Mark): void {
    if (this.#marks.note(peer, mark)) this.#dirty = true;
  }

  marks(): Readonly<Record<NodeId, Mark>> {
    return this.#marks.all();
  }

  recall(peer: NodeId): Promise<Mark | null> {
    return Promise.resolve(this.marks()[peer] ?? null);
  }

  async flush(): Promise<void> {
    this.#assertOpen();
    // A commit under way may have been built before the last note.
    if (this.#dirty || this.#pump !== null) await this.#ask<void>(null);
  }

  async probe(): Promise<boolean> {
    this.#assertOpen();
    await this.#ask<void>(null);
    return true;
  }

  async quarantine(reason: string): Promise<void> {
    this.#assertOpen();
    if (this.#quarantined === null) {
      this.#quarantined = reason.slice(0, 1_000);
      this.#dirty = true;
    }
    await this.flush();
  }

  quarantined(): string | null {
    return this.#quarantined;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#dirty) this.#ask<void>(null).catch(() => {});
    this.#closed = true;
    await this.#pump;
    if (this.disk.owner !== this) return;
    const { meta } = this.disk;
    if (meta !== null && this.#unsure.size === 0) this.disk.meta = { ...JSON.parse(meta), ended: true };
    this.disk.owner = null;
  }

  #onDisk(key: string): Found {
    const found = this.#read.of(key, this.disk.records.get(key));
    if (found.record === null || !this.#unsure.has(key)) return found;
    const barred = this.#barred.get(found) ?? { ...found, record: barring(found.record) };
    this.#barred.set(found, barred);
    return barred;
  }

  #assertOpen(): void {
    if (this.#closed) throw new StoreError("this store is closed");
  }

  #ask<R>(change: Waiter["change"]): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      this.#waiting.push({ change, resolve: resolve as (reply: unknown) => void, reject, refusals: 0 });
      this.#pump ??= Promise.resolve().then(() => this.#work());
    });
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#crashed) {
      const batch = this.#gather();
      if (batch.waiters.length > 0) await this.#commit(batch);
    }
    // In the same turn as the last look at the queue, so that nobody is left waiting in it.
    this.#pump = null;
  }

  /** Runs all waiting steps in order, each on what the ones before left of its key. */
  #gather(): Batch {
    const steps: AtomicStep[] = [];
    const writes = new Map<string, string>();
    const waiters: { waiter: Waiter; reply: unknown }[] = [];
    for (const waiter of this.#waiting.splice(0)) {
      if (waiter.change === null) {
        waiters.push({ waiter, reply: undefined });
        continue;
      }
      const { key, step } = waiter.change;
      try {
        const found = writes.has(key) ? this.#read.of(key, writes.get(key)) : this.#onDisk(key);
        const { record, reply } = step(found);
        if (record !== null) {
          const text = JSON.stringify(record);
          assertFits(key, record, text);
          writes.set(key, text);
          steps.push([key, this.#read.of(key, text).record!]);
        }
        if (writes.has(key)) waiters.push({ waiter, reply });
        else waiter.resolve(reply);
      } catch (error) {
        this.#unsure.add(key);
        waiter.reject(error);
      }
    }
    return { steps, writes, waiters };
  }

  async #commit({ steps, writes, waiters }: Batch): Promise<void> {
    const known = this.#identity ?? this.#pending;
    const identity = known !== null && this.#confirmsLife ? { ...known, confirmed: true } : known;
    const seals = this.#seals;
    const epochs = seals ?? this.#epochs;
    const meta: DiskMeta = {
      identity,
      ...(epochs === null ? {} : { epochs }),
      seq: this.#seq + 1,
      spoken: this.#confirmed ? this.#seq + 1 : this.#spoken,
      boot: this.#identity === null && identity !== null ? 1 : this.#boot,
      run: this.#run,
      marks: this.#marks.all(),
      quarantined: this.#quarantined,
    };
    this.#dirty = false;
    this.#watch("ready", steps);
    await this.#schedule();
    if (this.#crashed) return;
    const fault = this.failNext;
    this.failNext = null;
    if (fault === null || fault === "unknown-applied") {
      for (const [key, text] of writes) this.disk.records.set(key, text);
      // What they are barred from is on disk with them.
      for (const key of writes.keys()) this.#unsure.delete(key);
      this.disk.meta = meta;
      this.#take(meta);
      if (this.#seals === seals) this.#seals = null;
      this.#watch("committed", steps);
      if (this.#crashed) return;
    } else {
      this.#dirty = true;
    }
    if (fault !== null) { for (const key of writes.keys()) this.#unsure.add(key); }
    if (fault === null) { for (const { waiter, reply } of waiters) waiter.resolve(reply); }
    else if (fault === "conflict") this.#again(waiters.map(({ waiter }) => waiter));
    else for (const { waiter } of waiters) waiter.reject(new StoreError("outcome of a commit unknown"));
  }

  #again(waiters: readonly Waiter[]): void {
    for (const waiter of waiters) {
      waiter.refusals++;
      if (waiter.refusals >= REFUSALS_MAX) waiter.reject(new StoreError("the record was changed under this store"));
    }
    // Behind what came meanwhile: whoever made the check fail has been faster.
    this.#waiting.push(...waiters.filter((waiter) => waiter.refusals < REFUSALS_MAX));
  }

  /** Takes over what only the disk knows. */
  #take(meta: DiskMeta): void {
    this.#identity = meta.identity;
    this.#epochs = meta.epochs ?? null;
    this.#boot = meta.boot;
    this.#seq = meta.seq;
    this.#spoken = meta.spoken;
  }
}
