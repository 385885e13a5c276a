/**
 * The store-wide half of an owner store: every atomic but those that build the index goes through here, is numbered (`seq`) and carries
 * identity, marks and quarantine (PROTOCOL.md §9). One atomic at a time; the caller sees to that.
 */
import type { NodeId } from "../paxos/ballot.ts";
import { type EpochsRow, type Identity, type KeptEpochs, type Mark, StoreError } from "../ports.ts";
import { asStoreError, within } from "./kv_calls.ts";
import { assertFollows, decodeEpochs, encodeEpochs } from "./epochs_row.ts";
import { EPOCHS_ROW, IDENTITY_ROW, INDEXED_ROW, META_ROW, NOTHING } from "./key_space.ts";
import { enter } from "./live_index.ts";
import { Marks } from "./marks.ts";
import { decodeIdentity, decodeMeta, encodeIdentity, encodeMeta, type IdentityRow, type MetaRow } from "./rows.ts";

/** What an atomic does besides what the ledger itself has to write. */
export type Writes = {
  readonly checks: readonly { readonly key: Deno.KvKey; readonly versionstamp: string | null }[];
  /** Null: there is to be no such row. */
  readonly sets: readonly (readonly [key: Deno.KvKey, value: Uint8Array | null])[];
  readonly deletes: readonly Deno.KvKey[];
  /** Whether the index of live records is to have each. */
  readonly live: readonly { readonly key: string; readonly is: boolean }[];
};
const NOTHING_MORE: Writes = { checks: [], sets: [], deletes: [], live: [] };

export class Ledger {
  readonly #kv: Deno.Kv;
  readonly #path: string;
  readonly #run: string;
  readonly #deadlineMs: number;
  #identity: IdentityRow | null = null;
  #shown: { readonly row: IdentityRow; readonly identity: Identity } | null = null;
  #boot = 0;
  #seq = 0;
  #spoken = 0;
  #confirmed = false;
  /** Versionstamp of the meta row as this process last wrote or read it. */
  #version: string | null = null;
  #marks = new Marks();
  #quarantined: string | null = null;
  /** An identity that init asked for and no atomic has written yet. */
  #pending: IdentityRow | null = null;
  #epochs: KeptEpochs | null = null;
  /** Asked for, and no atomic has written it yet. */
  #seals: KeptEpochs | null = null;
  #confirmsLife = false;
  #endedWell = false;
  #isEnding = false;
  /** Counts changes asked for, and those of them that are durable. */
  #asked = 0;
  #durable = 0;
  /** To be noted in the next atomic: every live record is in the index. */
  #indexed = false;
  #suspect = false;
  #settling: Promise<void> | null = null;
  #lost: StoreError | null = null;

  private constructor(kv: Deno.Kv, path: string, run: string, deadlineMs: number) {
    this.#kv = kv;
    this.#path = path;
    this.#run = run;
    this.#deadlineMs = deadlineMs;
  }

  /** Reads the store; one that has an identity is booted: boot + 1 and the new `run`, in one atomic. */
  static async open(kv: Deno.Kv, path: string, run: string, deadlineMs: number): Promise<Ledger> {
    const ledger = new Ledger(kv, path, run, deadlineMs);
    const meta = await ledger.#read();
    ledger.#boot = meta?.boot ?? 0;
    ledger.#spoken = meta?.spoken ?? 0;
    ledger.#endedWell = meta?.ended === true;
    ledger.#marks = new Marks(meta?.marks);
    ledger.#quarantined = meta?.quarantined ?? null;
    if (ledger.#identity !== null) {
      if (meta === null) throw new StoreError(`${path}: the meta row is missing`);
      ledger.#boot += 1;
      if ((await ledger.commit()) === null) throw new StoreError(`${path}: in use by another process`);
    }
    return ledger;
  }

  get seq(): number {
    return this.#seq;
  }

  /** Whether the process before lost nothing that it had begun to write, as this store was opened. */
  get endedWell(): boolean {
    return this.#endedWell;
  }

  /** The last atomic: says that whatever was begun is written. Rejects with StoreError if that is not known. */
  async end(): Promise<void> {
    // A store that is nobody's has lost nothing, and says nothing.
    if (this.#suspect || this.#identity === null) return;
    this.#isEnding = true;
    await this.commit();
  }

  get spoken(): number {
    return this.#spoken;
  }

  /** From the next atomic on, commits count as spoken of. */
  confirm(): void {
    this.#confirmed = true;
    this.#asked++;
  }

  /** The next flush writes, whatever was asked for. */
  touch(): void {
    this.#asked++;
  }

  /** It is asked for with every message: the same object as long as it says the same. */
  get identity(): Identity | null {
    const row = this.#identity;
    if (row === null) return null;
    if (this.#shown?.row !== row || this.#shown.identity.boot !== this.#boot) {
      const { cluster, id, incarnation } = row;
      this.#shown = { row, identity: { cluster, id, incarnation, boot: this.#boot, run: this.#run } };
    }
    return this.#shown.identity;
  }

  get lifeConfirmed(): boolean | null {
    return this.#identity === null ? false : this.#identity.confirmed ?? null;
  }

  /** From the next atomic on, this incarnation is one that others have on record. Throws StoreError if there is none. */
  confirmLife(): void {
    if (this.#identity === null) throw new StoreError(`${this.#path}: this store belongs to nobody`);
    if (this.#identity.confirmed === true) return;
    this.#confirmsLife = true;
    this.#asked++;
  }

  get config(): string | null {
    return this.#identity?.config ?? null;
  }

  get quarantined(): string | null {
    return this.#quarantined;
  }

  /** Number of changes asked for so far; they are durable once `durable` reaches it. */
  get asked(): number {
    return this.#asked;
  }

  get durable(): number {
    return this.#durable;
  }

  marks(): Record<NodeId, Mark> {
    return this.#marks.all();
  }

  note(peer: NodeId, mark: Mark): void {
    if (this.#marks.note(peer, mark)) this.#asked++;
  }

  /** Every live record is in the index: the next atomic says so. */
  noteIndexed(): void {
    this.#indexed = true;
  }

  /** The first reason stays. */
  quarantine(reason: string): void {
    if (this.#quarantined !== null) return;
    this.#quarantined = reason;
    this.#asked++;
  }

  /** Makes the next atomic write this identity. Throws StoreError if there is one. */
  setIdentity(identity: IdentityRow, epochs: EpochsRow | null): void {
    if (this.#identity !== null || this.#pending !== null) {
      throw new StoreError(`${this.#path}: this store already has an identity`);
    }
    encodeIdentity(identity);
    if (epochs !== null) this.#asks(epochs);
    this.#pending = identity;
    this.#asked++;
  }

  /** After a failed `setIdentity`: nothing more is tried; whether it was written shows once settled. */
  dropPendingIdentity(): void {
    this.#pending = null;
    this.#seals = null;
  }

  get epochs(): KeptEpochs | null {
    return this.#epochs;
  }

  /** Makes the next atomic write this. Throws StoreError if it does not go on from what was asked for last. */
  seal(row: KeptEpochs): void {
    if (this.#identity === null) throw new StoreError(`${this.#path}: this store belongs to nobody`);
    this.#asks(row);
    this.#asked++;
  }

  #asks(row: KeptEpochs): void {
    assertFollows(this.#seals ?? this.#epochs, row);
    encodeEpochs(row);
    this.#seals = row;
  }

  /**
   * One atomic. Its versionstamp, or null if a check failed and nothing was written.
   * Throws StoreError if the outcome is unknown. After either, `settle` before the next.
   */
  async commit({ checks, sets, deletes, live } = NOTHING_MORE): Promise<string | null> {
    this.assertOurs();
    const asked = this.#asked;
    const identity = this.#pending;
    const boot = identity === null ? this.#boot : 1;
    const confirmed = this.#confirmsLife && this.#identity !== null ? { ...this.#identity, confirmed: true } : null;
    const seals = this.#seals;
    const seq = this.#seq + 1;
    const meta: MetaRow = {
      seq,
      spoken: this.#confirmed ? seq : this.#spoken,
      boot,
      run: this.#run,
      marks: this.#marks.all(),
      quarantined: this.#quarantined,
      ...(this.#isEnding ? { ended: true } : {}),
      ...(seals === null && this.#epochs === null ? {} : { sealed: true }),
    };
    let result: Deno.KvCommitResult | Deno.KvCommitError;
    try {
      // The check on the meta row makes atomics of this store a chain: one that hangs past its deadline can no
      // longer be applied once a later one is, and a second owner's first write stops this one's next.
      const atomic = this.#kv.atomic()
        .check({ key: META_ROW, versionstamp: this.#version })
        .set(META_ROW, encodeMeta(meta));
      if (identity !== null) {
        atomic.check({ key: IDENTITY_ROW, versionstamp: null }).set(IDENTITY_ROW, encodeIdentity(identity));
      }
      // The chain of the meta row says that nobody else has written it since it was read.
      if (confirmed !== null) atomic.set(IDENTITY_ROW, encodeIdentity(confirmed));
      if (seals !== null) atomic.set(EPOCHS_ROW, encodeEpochs(seals));
      if (this.#indexed) atomic.set(INDEXED_ROW, NOTHING);
      if (checks.length > 0) atomic.check(...checks);
      for (const [key, value] of sets) value === null ? atomic.delete(key) : atomic.set(key, value);
      for (const key of deletes) atomic.delete(key);
      for (const { key, is } of live) enter(atomic, key, is);
      result = await within(this.#deadlineMs, this.#path, atomic.commit());
    } catch (error) {
      this.#suspect = true;
      const { message, fault } = asStoreError(this.#path, error);
      throw new StoreError(`outcome of a commit unknown: ${message}`, { cause: error, fault });
    }
    if (!result.ok) {
      this.#suspect = true;
      return null;
    }
    this.#version = result.versionstamp;
    this.#seq = seq;
    this.#spoken = meta.spoken;
    this.#boot = boot;
    this.#durable = asked;
    this.#indexed = false;
    if (identity !== null) {
      this.#identity = identity;
      this.#pending = null;
    }
    if (seals !== null) {
      this.#epochs = seals;
      if (this.#seals === seals) this.#seals = null;
    }
    if (confirmed !== null) {
      this.#identity = confirmed;
      this.#confirmsLife = false;
    }
    return result.versionstamp;
  }

  /** True if what is on disk is not known: settle before reading or writing anything. */
  get suspect(): boolean {
    return this.#suspect;
  }

  /** After a failed commit: finds out how it ended and sees to it that it can no longer end otherwise. */
  settle(): Promise<void> {
    this.assertOurs();
    if (!this.#suspect) return Promise.resolve();
    this.#settling ??= this.#fence().finally(() => this.#settling = null);
    return this.#settling;
  }

  async #fence(): Promise<void> {
    const before = this.#version;
    const meta = await this.#read();
    // Neither as this process left it nor what its failed commit would have written.
    if (this.#version !== before && meta?.run !== this.#run) {
      this.#lost = new StoreError(`${this.#path}: another process has taken this store over`, {
        fault: "another process has taken over the store of this node",
      });
      throw this.#lost;
    }
    if (this.#identity !== null) {
      this.#boot = meta?.boot ?? this.#boot;
      this.#pending = null;
    }
    // Reading alone proves nothing while the failed commit may still be on its way. This write
    // changes the meta row's version, which that commit checks.
    if ((await this.commit()) === null) {
      throw new StoreError(`${this.#path}: a commit that had timed out was applied late; ask again`);
    }
    this.#suspect = false;
  }

  /** Reads identity and meta from disk; sets what only the disk knows. */
  async #read(): Promise<MetaRow | null> {
    const [identity, meta, epochs] = await within(
      this.#deadlineMs,
      this.#path,
      this.#kv.getMany<[unknown, unknown, unknown]>([IDENTITY_ROW, META_ROW, EPOCHS_ROW]),
    );
    this.#identity = identity.value === null ? null : decodeIdentity(identity.value, this.#path);
    const row = meta.value === null ? null : decodeMeta(meta.value, this.#path);
    this.#epochs = decodeEpochs(epochs.value);
    // Without its row a sealed epoch would be in force again.
    if (row?.sealed === true && this.#epochs === null) {
      throw new StoreError(`${this.#path}: the row of epochs is missing`);
    }
    this.#seq = row?.seq ?? 0;
    this.#version = meta.versionstamp;
    return row;
  }

  /** False for ever once another process owns the store. */
  get isOurs(): boolean {
    return this.#lost === null;
  }

  /** Throws StoreError for ever once another process owns the store. */
  assertOurs(): void {
    if (this.#lost !== null) throw this.#lost;
  }
}
