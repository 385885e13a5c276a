/**
 * The shared store: any number of processes serve one acceptor on one database, each for as long as it lives. Every step
 * reads the record, runs and commits by check-and-set; nothing is taken over from one update to the next (PROTOCOL.md §3,
 * "Durable step"). Of a commit whose outcome is not known the row itself tells: each write bears an id of its own.
 */
import type { NodeId } from "../paxos/ballot.ts";
import {
  type BallotStore,
  type Clock,
  type EpochsRow,
  type Found,
  type Identity,
  type Mark,
  type Randomness,
  SHARED_RUN,
  type StepResult,
  type StoredRecord,
  StoreError,
  type Which,
} from "../ports.ts";
import {
  assertKey,
  ballotRow,
  firstSeenRow,
  IDENTITY_ROW,
  listMarks,
  marksRow,
  META_ROW,
  stateRow,
} from "./key_space.ts";
import { asStoreError, closeKv, givenUp, within } from "./kv_calls.ts";
import { enter, LiveIndex } from "./live_index.ts";
import { Marks } from "./marks.ts";
import { assertFits, decodeIdentity, decodeMarks, encodeIdentity, encodeMarks, encodeRecord } from "./rows.ts";
import type { IdentityRow } from "./rows.ts";
import type { SharedKv, SharedStoreOptions } from "./shared_store_options.ts";
import { isSameRow, readRows, RowReader, type Rows } from "./shared_rows.ts";
import { soundOnly } from "./sound_only.ts";
import { recalled, withNews } from "./shared_marks.ts";

/** Commits that one update tries while others change the record under it. */
const TRIES_MAX = 20;
/** Before another try, uniform from 0 to this, twice as much each time up to the most: losers must not march in step. */
const PAUSE_MS = 4;
const PAUSE_MAX_MS = 250;
/** How often a database that belongs to nobody is looked at again, for the init that another process may have done. */
const LOOK_AGAIN_MS = 1_000;
const REASON_MAX_CHARS = 1_000;

type Waiter = {
  readonly step: (found: Found) => StepResult<unknown>;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: unknown) => void;
};
type Answers = readonly (readonly [waiter: Waiter, reply: unknown])[];

/** Reads whose database it is. Rejects with StoreError, and has then closed it. */
export async function openSharedStore(options: SharedStoreOptions): Promise<BallotStore> {
  const store = new SharedStore(options);
  try {
    await store.probe();
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

class SharedStore implements BallotStore {
  readonly isShared = true;
  readonly #kv: SharedKv;
  readonly #name: string;
  readonly #run: string;
  readonly #clock: Clock;
  readonly #random: Randomness;
  readonly #callMs: number;
  readonly #updateMs: number;
  readonly #onConflict: () => void;
  /** As last read; null: nobody's. */
  #identity: IdentityRow | null = null;
  /** The row that says so: every update reads it, and it is hardly ever another. */
  #identityRow: Uint8Array | null = null;
  #lookedAtMs = 0;
  #writes = 0;
  /** What this process has heard of peers; what others have is in the rows. */
  readonly #marks = new Marks();
  /** Updates of one key go one after another, those that wait together in one commit: twins bring conflicts enough. */
  readonly #lanes = new Map<string, Waiter[]>();
  readonly #working = new Set<Promise<void>>();
  readonly #index: LiveIndex;
  readonly #rows = new RowReader();
  #closing: Promise<void> | null = null;

  constructor({ kv, name, run, clock, random, callMs = 2_000, updateMs = 5_000, onConflict }: SharedStoreOptions) {
    this.#kv = kv;
    this.#name = name;
    this.#run = run;
    this.#clock = clock;
    this.#random = random;
    this.#callMs = callMs;
    this.#updateMs = updateMs;
    this.#onConflict = onConflict ?? (() => {});
    this.#index = new LiveIndex(kv, (task) => this.#within(task));
  }

  async update<R>(key: string, step: (record: StoredRecord | null) => StepResult<R>): Promise<R> {
    return await this.mend(key, soundOnly(step));
  }

  async mend<R>(key: string, step: (found: Found) => StepResult<R>): Promise<R> {
    this.#assertOpen();
    assertKey(key);
    return await new Promise<R>((resolve, reject) => {
      const waiter = { step, resolve: resolve as (reply: unknown) => void, reject };
      const lane = this.#lanes.get(key);
      if (lane !== undefined) return void lane.push(waiter);
      this.#lanes.set(key, [waiter]);
      const working = this.#work(key).finally(() => this.#working.delete(working));
      this.#working.add(working);
    });
  }

  /** A twin may write before. */
  leads(): boolean {
    return false;
  }

  /** Other processes may have written since this one last read. */
  peek(): undefined {
    return undefined;
  }

  async keys(prefix: string, after: string, limit: number, which: Which = "all"): Promise<readonly string[]> {
    this.#assertOpen();
    return await this.#index.keys(prefix, after, limit, which);
  }

  identity(): Identity | null {
    if (this.#identity === null) {
      this.#lookSoon();
      return null;
    }
    const { cluster, id, incarnation } = this.#identity;
    return { cluster, id, incarnation, boot: 0, run: SHARED_RUN };
  }

  lifeConfirmed(): boolean | null {
    if (this.#identity === null) return false;
    const { confirmed = null } = this.#identity;
    // Another process may have brought it about.
    if (confirmed !== true) this.#lookSoon();
    return confirmed;
  }

  async confirmLife(): Promise<void> {
    this.#assertOpen();
    await this.#change(IDENTITY_ROW, (value) => {
      const known = this.#adopt(value);
      if (known === null) throw new StoreError(`${this.#name}: this store belongs to nobody`);
      return known.confirmed === true ? null : encodeIdentity({ ...known, confirmed: true });
    });
  }

  config(): string | null {
    return this.#identity?.config ?? null;
  }

  epochs(): null {
    return null;
  }

  /** An epoch is left while no process still votes in it, and here nobody knows of all processes. */
  seal(): Promise<void> {
    return Promise.reject(new StoreError(`${this.#name}: members cannot be changed while one is on a shared database`));
  }

  async init(identity: Parameters<BallotStore["init"]>[0], epochs?: EpochsRow): Promise<Identity> {
    this.#assertOpen();
    if (epochs !== undefined) await this.seal();
    const { cluster, id, incarnation, config } = identity;
    const row: IdentityRow = { cluster, id, incarnation, config, confirmed: false };
    await this.#change(IDENTITY_ROW, (value) => {
      const known = this.#adopt(value);
      // An incarnation is of one init alone: what bears it is this one's, though its answer was lost.
      if (known !== null && known.incarnation !== incarnation) {
        throw new StoreError(`${this.#name}: this store already has an identity`);
      }
      return known === null ? encodeIdentity(row) : null;
    });
    return { cluster, id, incarnation, boot: 0, run: SHARED_RUN };
  }

  /** Commits of many processes have no order that all of them know. */
  seq(): number {
    return 0;
  }

  spokenSeq(): number {
    return 0;
  }

  /** There is no start to be confirmed: a rollback of a shared store is not found out (PROTOCOL.md §9). */
  confirm(): Promise<void> {
    return Promise.resolve();
  }

  note(peer: NodeId, mark: Mark): void {
    this.#marks.note(peer, mark);
  }

  marks(): Readonly<Record<NodeId, Mark>> {
    return this.#marks.all();
  }

  async recall(peer: NodeId): Promise<Mark | null> {
    this.#assertOpen();
    return recalled(await this.#within(listMarks(this.#kv)), this.#marks.all(), peer);
  }

  async flush(): Promise<void> {
    this.#assertOpen();
    await this.#change(marksRow(""), (value) => {
      const heard = withNews(decodeMarks(value), this.#marks.all());
      return heard && encodeMarks(heard);
    });
  }

  async quarantine(reason: string): Promise<void> {
    this.#assertOpen();
    const quarantined = reason.slice(0, REASON_MAX_CHARS);
    await this.#change(IDENTITY_ROW, (value) => {
      const known = this.#adopt(value);
      return known === null || known.quarantined !== undefined ? null : encodeIdentity({ ...known, quarantined });
    });
  }

  quarantined(): string | null {
    return this.#identity?.quarantined ?? null;
  }

  close(): Promise<void> {
    this.#index.close();
    this.#closing ??= Promise.all(this.#working).then(() =>
      closeKv(this.#kv, this.#callMs, this.#name, (ms, run) => this.#clock.after(ms, run))
    );
    return this.#closing;
  }

  /** Reads whose database it is: whoever owns a database pays for writes that say nothing. */
  async probe(): Promise<boolean> {
    this.#lookedAtMs = this.#clock.now();
    const rows = this.#kv.getMany<[unknown, unknown]>([IDENTITY_ROW, META_ROW]);
    const [identity, meta] = await this.#within(rows);
    // Its owner counts commits and trusts its memory; it must not find that others have been here.
    if (meta.value !== null) throw new StoreError(`${this.#name}: written by a node that had it to itself`);
    this.#adopt(identity.value);
    return false;
  }

  #lookSoon(): void {
    if (this.#closing !== null || this.#clock.now() - this.#lookedAtMs < LOOK_AGAIN_MS) return;
    this.probe().catch(() => {});
  }

  async #work(key: string): Promise<void> {
    for (;;) {
      const waiters = this.#lanes.get(key)!;
      if (waiters.length === 0) return void this.#lanes.delete(key);
      // Whoever comes from here on has to see what is committed from here on.
      this.#lanes.set(key, []);
      try {
        for (const [waiter, reply] of await this.#settle(key, waiters)) waiter.resolve(reply);
      } catch (error) {
        for (const waiter of waiters) waiter.reject(asStoreError(this.#name, error));
      }
    }
  }

  /** Runs the steps until they are durable, or it is known that nothing can be said of them. */
  async #settle(key: string, waiters: readonly Waiter[]): Promise<Answers> {
    const startMs = this.#clock.now();
    const attempts = new Map<string, Answers>();
    let unknown: StoreError | null = null;
    for (let tries = 0;; tries++) {
      const entries = await this.#within(readRows(this.#kv, key)).catch((error: StoreError) => unknown = error);
      if (entries instanceof StoreError) {
        // Nothing was sent yet: whoever asked may ask again at once. Else something may be learned of what was, in time.
        if (attempts.size === 0) throw entries;
      } else {
        this.#adopt(entries[0].value);
        const rows = this.#rows.of(key, entries);
        // Also where the database said that a check had failed: it may have tried again what had succeeded at first.
        const applied = attempts.get(rows.writeId ?? "");
        if (applied !== undefined) return applied;
        const isLate = this.#clock.now() - startMs >= this.#updateMs;
        if (tries >= TRIES_MAX || isLate) throw givenUp(this.#name, unknown, tries);
        const end = await this.#try(key, waiters, rows, attempts);
        if (end.type === "done") return end.answers;
        unknown = end.unknown;
      }
      if (this.#clock.now() - startMs >= this.#updateMs) throw givenUp(this.#name, unknown, tries);
      await this.#pause(tries);
    }
  }

  async #try(
    key: string,
    waiters: readonly Waiter[],
    rows: Rows,
    attempts: Map<string, Answers>,
  ): Promise<
    { readonly type: "done"; readonly answers: Answers } | { readonly type: "again"; unknown: StoreError | null }
  > {
    const writeId = `${this.#run}.${++this.#writes}`;
    const { answers, record } = this.#play(key, waiters, rows);
    if (record === null) return { type: "done", answers };
    const { ballot, state, firstSeen, live: change } = encodeRecord(key, record, rows, { writeId });
    // What the index has of a damaged one is not known.
    const live = rows.damage === null ? change : record.live ?? true;
    // A database that is another's, or nobody's any more, must not get a vote: its row is checked in every commit.
    const atomic = this.#kv.atomic().check(...rows.checks).set(ballotRow(key), ballot);
    for (const [row, value] of [[stateRow(key), state], [firstSeenRow(key), firstSeen]] as const) {
      if (value === "none") atomic.delete(row);
      else if (value !== null) atomic.set(row, value);
    }
    if (live !== null) enter(atomic, key, live);
    // News of peers rides in the commit that may rest on it (PROTOCOL.md §9).
    const heard = withNews(rows.heard, this.#marks.all());
    if (heard !== null) atomic.set(marksRow(key), encodeMarks(heard));
    attempts.set(writeId, answers);
    try {
      const { ok } = await this.#within(atomic.commit());
      if (!ok) this.#onConflict();
      return ok ? { type: "done", answers } : { type: "again", unknown: null };
    } catch (error) {
      return { type: "again", unknown: error as StoreError };
    }
  }

  /** Each step on what the one before left; one that throws fails its own update alone. `record` is null if none wrote. */
  #play(key: string, waiters: readonly Waiter[], committed: Found) {
    let record: StoredRecord | null = null;
    const answers: [Waiter, unknown][] = [];
    for (const waiter of waiters) {
      try {
        const next = waiter.step(record === null ? committed : { ...committed, record, damage: null });
        if (next.record !== null) {
          if (this.#identity?.quarantined !== undefined) {
            throw new StoreError(`quarantined: ${this.#identity.quarantined}`);
          }
          assertFits(key, next.record, JSON.stringify(next.record));
          record = next.record;
        }
        answers.push([waiter, next.reply]);
      } catch (error) {
        waiter.reject(error);
      }
    }
    return { answers, record };
  }

  /** Throws StoreError if it was somebody else's before, or is lost: this process then says nothing of it. */
  #adopt(value: unknown): IdentityRow | null {
    if (isSameRow(value, this.#identityRow)) return this.#identity;
    const row = value === null ? null : decodeIdentity(value, this.#name);
    if (this.#identity !== null && row?.incarnation !== this.#identity.incarnation) {
      throw new StoreError(`${this.#name}: the database does not hold the identity of this member any more`);
    }
    this.#identityRow = value instanceof Uint8Array ? value : null;
    return this.#identity = row;
  }

  /** By check-and-set until `next` has nothing more to write. */
  async #change(key: Deno.KvKey, next: (value: unknown) => Uint8Array | null): Promise<void> {
    for (let tries = 0; tries <= TRIES_MAX; tries++) {
      const [{ value, versionstamp }] = await this.#within(this.#kv.getMany<[unknown]>([key]));
      const row = next(value);
      if (row === null) return;
      const atomic = this.#kv.atomic().check({ key, versionstamp }).set(key, row);
      // Whatever it says: the next look tells what there is.
      await this.#within(atomic.commit()).catch(() => {});
      await this.#pause(tries);
    }
    throw givenUp(this.#name, null, TRIES_MAX);
  }

  #pause(tries: number): Promise<void> {
    const ms = this.#random.next() * Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** tries);
    return new Promise((resolve) => this.#clock.after(ms, resolve));
  }

  #within<T>(task: Promise<T>): Promise<T> {
    return within(this.#callMs, this.#name, task, (ms, run) => this.#clock.after(ms, run));
  }

  #assertOpen(): void {
    if (this.#closing !== null) throw new StoreError("this store is closed");
  }
}
