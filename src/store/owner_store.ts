/**
 * The owner store: one process has the Deno KV file to itself, keeps records in memory and commits in groups. What a commit
 * changed goes into its log, a row for all; a record is written whole when it is new, and when the log is to be made shorter.
 * All updates that wait when a commit ends go together into the next atomic (PROTOCOL.md §3, "Durable step").
 */
import type { AcceptorRecord } from "../paxos/message.ts";
import { barring } from "../paxos/barring.ts";
import {
  type BallotStore,
  DamagedRecord,
  type Found,
  type StepResult,
  type StoredRecord,
  StoreError,
  type Which,
} from "../ports.ts";
import { atEndOfTurn } from "../end_of_turn.ts";
import { AtomicRoom } from "./atomic_room.ts";
import type { FileLock } from "./file_lock.ts";
import { Flushes } from "./flushes.ts";
import { assertKey, ballotRow, listKeys, stateRow } from "./key_space.ts";
import { asStoreError, closeKv, within } from "./kv_calls.ts";
import { apartKeys, isApart, together } from "./import_rows.ts";
import type { Ledger } from "./ledger.ts";
import { type Entry, RecordCache } from "./record_cache.ts";
import { again, play, written } from "./part.ts";
import type { RecordLog } from "./record_log.ts";
import { decodeRecord, writtenAt } from "./rows.ts";
import { StoreWide } from "./store_wide.ts";
import type { Part, Waiter } from "./updates.ts";

/** Records written whole at a time to make the log shorter. */
const SHORTEN_AT_ONCE = 8;
/** Commits that have to succeed after one that failed before records are written whole again; twice as many each time. */
const [PAUSE_MIN, PAUSE_MAX] = [16, 4096];

/** Use `openOwnerStore`. */
export class OwnerStore extends StoreWide implements BallotStore {
  readonly isShared = false;
  readonly #kv: Deno.Kv;
  readonly #path: string;
  readonly #ledger: Ledger;
  readonly #log: RecordLog;
  readonly #lock: FileLock | null;
  readonly #deadlineMs: number;
  readonly #cache: RecordCache<Waiter>;
  /** Loaded entries with a queue and no commit under way, in order of arrival. */
  readonly #ready = new Set<Entry<Waiter>>();
  readonly #flushes = new Flushes();
  #pumping = false;
  #closing: Promise<void> | null = null;
  #whenIdle: (() => void) | null = null;
  /** Since a commit failed: what it added to the log, if anything, is not known. */
  #isBehind = false;
  #settling: Promise<void> | null = null;
  /** Being written whole, or found damaged. */
  readonly #shortening = new Set<string>();
  /** On a disk that is full small rows may still fit: whoever waits for those must not fail with what can wait. */
  #pauseCommits = 0;
  #pausedFor = 0;
  /** Keys of which a vote may have been lost that others know of: what is on disk is barred when it is read. */
  readonly #unsure: Set<string>;

  constructor(
    kv: Deno.Kv,
    path: string,
    ledger: Ledger,
    log: RecordLog,
    lock: FileLock | null,
    deadlineMs: number,
    cachedKeys: number,
  ) {
    super(ledger);
    this.#kv = kv;
    this.#path = path;
    this.#ledger = ledger;
    this.#log = log;
    this.#lock = lock;
    this.#deadlineMs = deadlineMs;
    this.#cache = new RecordCache(cachedKeys);
    // Only of what is in the log is it said that an update leads; of what nobody's store has, of nothing.
    this.#unsure = new Set(ledger.endedWell || ledger.identity === null ? [] : log.keys());
  }

  update<R>(key: string, step: (record: AcceptorRecord | null) => StepResult<R>): Promise<R> {
    return this.#queued(key, () => step, {});
  }

  mend<R>(key: string, step: (found: Found) => StepResult<R>): Promise<R> {
    const mending = (entry: Entry<Waiter>) => (record: AcceptorRecord | null) =>
      step({ record, damage: record === null ? entry.damage : null, version: null });
    return this.#queued(key, mending, { mends: true });
  }

  peek(key: string): StoredRecord | null | undefined {
    return this.#closing === null && this.#ledger.isOurs ? this.#cache.resting(key)?.record : undefined;
  }

  leads(key: string): boolean {
    const { suspect, identity } = this.#ledger;
    const isSure = !suspect && identity !== null && !this.#isBehind && this.#log.has(key);
    return isSure && this.peek(key) !== undefined;
  }

  #queued<R>(
    key: string,
    stepOn: (entry: Entry<Waiter>) => (record: AcceptorRecord | null) => StepResult<R>,
    { isWhole = false, mends = false }: { readonly isWhole?: boolean; readonly mends?: boolean },
  ): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      this.assertUsable();
      assertKey(key);
      const entry = this.#cache.use(key);
      const step = stepOn(entry);
      const settle = { resolve: resolve as (reply: unknown) => void, reject };
      entry.queue.push({ step, ...settle, isWhole, mends, refusals: 0, run: null });
      if (!entry.loaded) this.#load(entry);
      else if (!entry.flying) {
        // Alone on a committed record: a step that changes nothing is answered without waiting for anybody's
        // commit, and one that does is encoded while another commit is under way.
        if (entry.queue.length === 1) play(entry);
        this.#enqueue(entry);
      }
    });
  }

  async keys(prefix: string, after: string, limit: number, which: Which = "all"): Promise<readonly string[]> {
    this.assertUsable();
    // A commit of unknown outcome might add a key after it was listed.
    await this.#settle();
    return await within(this.#deadlineMs, this.#path, listKeys(this.#kv, prefix, after, limit, which));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // What was accepted before is finished: somebody may wait for it.
    if (!this.#isIdle) await new Promise<void>((resolve) => this.#whenIdle = resolve);
    // Marks are evidence against others; losing them when asked to close would be a pity but no fault.
    await this.settled().catch(() => {});
    if (this.#unsure.size === 0) await this.#ledger.end().catch(() => {});
    await closeKv(this.#kv, this.#deadlineMs, this.#path);
    this.#lock?.release();
  }

  protected override assertUsable(): void {
    if (this.#closing !== null) throw new StoreError(`${this.#path}: this store is closed`);
    this.#ledger.assertOurs();
  }

  /** No update and no flush is under way. */
  get #isIdle(): boolean {
    return this.#cache.inUse === 0 && this.#flushes.isEmpty;
  }

  #rested(): void {
    if (this.#whenIdle !== null && this.#isIdle) this.#whenIdle();
  }

  protected override async settled(): Promise<void> {
    const upTo = this.#ledger.asked;
    if (this.#ledger.durable >= upTo) return;
    const flushed = this.#flushes.wait(upTo);
    this.#kick();
    await flushed;
  }

  async #load(entry: Entry<Waiter>): Promise<void> {
    if (entry.loading) return;
    entry.loading = true;
    let version: string | null = null;
    try {
      // Before that, a commit of unknown outcome may still change what is read here.
      await this.#settle();
      const rows = this.#kv.getMany<[unknown, unknown]>([ballotRow(entry.key), stateRow(entry.key)]);
      const [ballot, state] = await within(this.#deadlineMs, this.#path, rows);
      version = ballot.versionstamp;
      const found = decodeRecord(entry.key, ballot.value, state.value);
      const base = isApart(found) ? await this.#together(entry.key, found) : found;
      const newest = this.#log.newest(entry.key, base, writtenAt(ballot.value));
      entry.record = newest !== null && this.#unsure.has(entry.key) ? barring(newest) : newest;
      entry.version = version;
      entry.damage = null;
      entry.loaded = true;
    } catch (error) {
      const mending = error instanceof DamagedRecord ? entry.queue.filter(({ mends }) => mends) : [];
      reject(entry.queue.filter((waiter) => !mending.includes(waiter)), asStoreError(this.#path, error));
      entry.queue = mending;
      if (mending.length > 0) {
        entry.record = null;
        entry.version = version;
        entry.damage = (error as DamagedRecord).message;
        entry.loaded = true;
      }
    }
    entry.loading = false;
    this.#enqueue(entry);
  }

  async #together(key: string, record: StoredRecord): Promise<StoredRecord> {
    const rows = await within(this.#deadlineMs, this.#path, this.#kv.getMany<unknown[]>([...apartKeys(key)]));
    return together(key, record, rows.map(({ value }) => value));
  }

  /** After an entry's queue, or what it may do with it, changed. */
  #enqueue(entry: Entry<Waiter>): void {
    if (entry.queue.length === 0) {
      this.#ready.delete(entry);
      // It must never be taken for no record.
      if (entry.damage !== null && !entry.flying) entry.loaded = false;
      this.#cache.rest(entry);
      this.#rested();
    } else if (!entry.loaded) {
      this.#load(entry);
    } else {
      this.#ready.add(entry);
      this.#kick();
    }
  }

  /** Starts the pump after all who came in this turn had their say, so that what they ask for shares one commit. */
  #kick(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    atEndOfTurn(() => this.#pump());
  }

  async #pump(): Promise<void> {
    while (this.#ready.size > 0 || !this.#flushes.isEmpty) {
      if (this.#ledger.suspect || this.#isBehind) {
        try {
          await this.#settle();
        } catch (error) {
          this.#rejectAll(error);
          break;
        }
      }
      const parts = this.#assemble();
      this.#finishFlushes();
      if (parts.length === 0 && this.#flushes.isEmpty) continue;
      await this.#commit(parts);
      await new Promise<void>(atEndOfTurn);
    }
    this.#pumping = false;
  }

  /** Runs the steps that wait and takes as many keys as one atomic holds. */
  #assemble(): Part[] {
    const parts: Part[] = [];
    const room = new AtomicRoom();
    for (const entry of this.#ready) {
      const played = play(entry);
      const part = played?.json === null || this.#log.isFull ? played && written(played, this.#ledger.seq + 1) : played;
      if (part === null) {
        if (played !== null) this.#lost(entry);
        this.#enqueue(entry);
        continue;
      }
      if (!room.takes(part)) break;
      parts.push(part);
    }
    return parts;
  }

  async #commit(parts: readonly Part[]): Promise<void> {
    // Later updates of these keys queue up anew and wait for this commit.
    const waiters = parts.map(({ entry }) => {
      const taken = entry.queue;
      entry.queue = [];
      entry.flying = true;
      this.#ready.delete(entry);
      return taken;
    });
    const upTo = this.#ledger.asked;
    let version: string | null = null;
    let failure: unknown = null;
    try {
      const log = this.#log.write(
        this.#ledger.seq + 1,
        parts.flatMap(({ entry: { key }, json }) => json === null ? [] : [{ key, json }]),
        parts.flatMap(({ entry: { key }, json }) => json === null ? [key] : []),
      );
      version = await this.#ledger.commit({
        // Whoever else writes a record's rows writes the ballot row.
        checks: parts.flatMap(({ entry: { key, version }, rows }) =>
          rows === null ? [] : [{ key: ballotRow(key), versionstamp: version }]
        ),
        sets: [...parts.flatMap(({ rows }) => rows ?? []), ...log.sets],
        deletes: log.deletes,
        live: parts.flatMap(({ live }) => live ?? []),
      });
      if (version !== null) log.done();
    } catch (error) {
      failure = error;
    }
    this.#isBehind ||= version === null;
    for (const [index, { entry, record, rows }] of parts.entries()) {
      const taken = waiters[index] ?? [];
      entry.flying = false;
      if (version !== null) {
        entry.record = record;
        entry.damage = null;
        // What it is barred from is on disk with it.
        this.#unsure.delete(entry.key);
        if (rows !== null) entry.version = version;
        // As whatever its log had of it: it can be written whole again, if it was damaged.
        if (rows !== null) this.#shortening.delete(entry.key);
        for (const waiter of taken) waiter.resolve(waiter.run?.result.reply);
      } else {
        this.#lost(entry);
        if (failure !== null) reject(taken, failure);
        else entry.queue.unshift(...again(taken, this.#path));
      }
      this.#enqueue(entry);
    }
    if (failure !== null) this.#flushes.failed(failure, upTo);
    this.#finishFlushes();
    if (version === null) {
      this.#pauseCommits = Math.min(PAUSE_MAX, Math.max(PAUSE_MIN, 2 * this.#pauseCommits));
      this.#pausedFor = this.#pauseCommits;
    } else if (this.#pausedFor > 0) {
      this.#pausedFor--;
    } else {
      if (parts.some(({ json }) => json === null)) this.#pauseCommits = 0;
      this.#shorten();
    }
  }

  /** Finds out how a commit that failed has ended, and what the log says since. */
  #settle(): Promise<void> {
    if (!this.#ledger.suspect && !this.#isBehind) return Promise.resolve();
    const settled = async () => {
      await this.#ledger.settle();
      await within(this.#deadlineMs, this.#path, this.#log.readOn());
      this.#isBehind = false;
    };
    return this.#settling ??= settled().finally(() => this.#settling = null);
  }

  #shorten(): void {
    // What was put back is left as it was found, for whoever looks into it.
    if (this.#closing !== null || this.#ledger.quarantined !== null) return;
    const most = SHORTEN_AT_ONCE + this.#shortening.size;
    // What is unsure is written whole too, with its bar: else it would be barred anew each time the store is opened.
    for (const key of [...this.#log.oldest(most), ...this.#unsure.values().take(most)]) {
      if (this.#shortening.has(key)) continue;
      this.#shortening.add(key);
      // One that is damaged stays as it is: its rows and what the log has of it are all that is left of it.
      const whole = this.#queued(key, () => (record) => ({ record, reply: null }), { isWhole: true });
      whole.then(() => this.#shortening.delete(key), (error) => {
        if (!(error instanceof DamagedRecord)) this.#shortening.delete(key);
        // One that can never be written must not stand before the others.
        if (this.#unsure.delete(key)) this.#unsure.add(key);
      });
    }
  }

  #finishFlushes(): void {
    this.#flushes.done(this.#ledger.durable);
    this.#rested();
  }

  #rejectQueue(entry: Entry<Waiter>, error: unknown): void {
    reject(entry.queue, error);
    entry.queue = [];
    this.#lost(entry);
  }

  /** What this process believes of the key is no longer known to be so, and what it has said of it may not be on disk. */
  #lost(entry: Entry<Waiter>): void {
    entry.loaded = false;
    if (this.#log.has(entry.key)) this.#unsure.add(entry.key);
  }

  #rejectAll(error: unknown): void {
    for (const entry of [...this.#ready]) {
      this.#rejectQueue(entry, error);
      this.#enqueue(entry);
    }
    this.#flushes.failed(error, Infinity);
    this.#rested();
  }
}

function reject(waiters: readonly Waiter[], error: unknown): void {
  for (const waiter of waiters) waiter.reject(error);
}
