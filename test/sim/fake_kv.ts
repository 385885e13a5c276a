/**
 * A database for the simulator, with what the shared store uses of Deno KV: any number of clients, every call there and back
 * in virtual time, and every way in which a call of a remote one may end. Deterministic, and for nothing but simulation.
 */
import type { SharedKv } from "../../src/store/shared_store_options.ts";
import type { Seeded, VirtualClock } from "./virtual_time.ts";

/**
 * How one commit ends: with an error, with `ok: false` (as when the client tried again what had succeeded at first), or
 * never; applied before, not at all, or `late`: long after its caller has given up.
 */
export const COMMIT_FAULTS = [
  "error-applied",
  "error-lost",
  "refused-applied",
  "refused-lost",
  "hang-applied",
  "hang-lost",
  "hang-late",
] as const;
export const READ_FAULTS = ["read-error", "read-hang"] as const;
export type KvFault = typeof COMMIT_FAULTS[number] | typeof READ_FAULTS[number];

export type KvCounts = {
  /** Commits of which their client heard an error, or that a check had failed where none had. */
  unknownCommits: number;
  /** Commits and reads of which nobody ever heard. */
  hungCalls: number;
  /** Commits refused by a check, because another client had come first. */
  conflicts: number;
};

/** What one commit writes, by row; null: the row is deleted. */
export type Sets = readonly (readonly [key: Deno.KvKey, value: Uint8Array | null])[];

/** Sees the calls of one client at the moments at which its process may die with a difference. */
export type KvWatch = {
  /** Rows were read, and nobody has heard of it. */
  read(keys: readonly Deno.KvKey[]): void;
  /** Called when a commit is sent. */
  commit(sets: Sets): CommitWatch;
};
export type CommitWatch = {
  /** Its checks hold and it is about to be applied; whoever dies in this moment has not sent it. */
  ready(): void;
  /** It was applied, whether or not anybody lives to hear of it. */
  committed(): void;
  /** An error, or `ok: false`, is about to be heard. */
  doubtful(): void;
};

/** How long a commit that is applied late takes, from when it is sent. */
const LATE_MIN_MS = 500;
const LATE_MAX_MS = 8_000;
const TRAVEL_MS = 2;

type Row = { readonly key: Deno.KvKey; readonly value: Uint8Array; readonly versionstamp: string };

/** Outlives its clients. */
export class FakeDatabase {
  readonly counts: KvCounts = { unknownCommits: 0, hungCalls: 0, conflicts: 0 };
  /** How much longer each call takes. */
  slowMs = 0;
  readonly #clock: VirtualClock;
  readonly #random: Seeded;
  readonly #rows = new Map<string, Row>();
  #faults: KvFault[] = [];
  #versions = 0;

  constructor(clock: VirtualClock, random: Seeded) {
    this.#clock = clock;
    this.#random = random;
  }

  connect(watch: KvWatch): FakeKv {
    return new FakeKv(this, watch);
  }

  /** The next call that can ends so. */
  failNext(fault: KvFault): void {
    this.#faults.push(fault);
  }

  heal(): void {
    this.#faults = [];
    this.slowMs = 0;
  }

  get(key: Deno.KvKey): Deno.KvEntryMaybe<unknown> {
    const row = this.#rows.get(JSON.stringify(key));
    return row === undefined
      ? { key, value: null, versionstamp: null }
      : { key, value: row.value.slice(), versionstamp: row.versionstamp };
  }

  /** Those that begin with `prefix`, from `start` on, in order. */
  list(prefix: Deno.KvKey, start: Deno.KvKey | undefined, limit: number): readonly Deno.KvEntry<unknown>[] {
    return [...this.#rows.values()]
      .filter(({ key }) => key.length > prefix.length && prefix.every((part, i) => part === key[i]))
      .filter(({ key }) => start === undefined || compareRows(key, start) >= 0)
      .sort((a, b) => compareRows(a.key, b.key))
      .slice(0, limit)
      .map(({ key, value, versionstamp }) => ({ key, value: value.slice(), versionstamp }));
  }

  holds(checks: readonly Deno.AtomicCheck[]): boolean {
    return checks.every(({ key, versionstamp }) =>
      (this.#rows.get(JSON.stringify(key))?.versionstamp ?? null) === versionstamp
    );
  }

  apply(sets: Sets): void {
    const versionstamp = String(++this.#versions).padStart(20, "0");
    for (const [key, value] of sets) {
      const name = JSON.stringify(key);
      if (value === null) this.#rows.delete(name);
      else this.#rows.set(name, { key, value: value.slice(), versionstamp });
    }
  }

  take(kind: "commit" | "read"): KvFault | null {
    const faults: readonly string[] = kind === "commit" ? COMMIT_FAULTS : READ_FAULTS;
    const at = this.#faults.findIndex((fault) => faults.includes(fault));
    return at < 0 ? null : this.#faults.splice(at, 1)[0]!;
  }

  travel(): Promise<void> {
    return this.#clock.sleep(this.#random.next() * TRAVEL_MS + this.slowMs / 2);
  }

  /** Whether what a process sent before it died still arrives. */
  arrives(): boolean {
    return this.#random.chance(0.5);
  }

  later(run: () => void): void {
    this.#clock.after(LATE_MIN_MS + this.#random.next() * (LATE_MAX_MS - LATE_MIN_MS), run);
  }
}

/** One client. Its process may die: then nothing is heard here any more, and what was sent may still arrive. */
export class FakeKv {
  readonly #database: FakeDatabase;
  readonly #watch: KvWatch;
  #isDead = false;

  constructor(database: FakeDatabase, watch: KvWatch) {
    this.#database = database;
    this.#watch = watch;
  }

  asKv(): SharedKv {
    return {
      getMany: (keys: readonly Deno.KvKey[]) => this.#getMany(keys),
      list: (selector: ListSelector, options: { readonly limit: number }) => this.#list(selector, options.limit),
      atomic: () => new FakeAtomic((checks, sets) => this.#commit(checks, sets)),
      close: () => {},
    } as unknown as SharedKv;
  }

  crash(): void {
    this.#isDead = true;
  }

  async #getMany(keys: readonly Deno.KvKey[]): Promise<readonly Deno.KvEntryMaybe<unknown>[]> {
    const { found, fault } = await this.#read(() => keys.map((key) => this.#database.get(key)));
    if (fault === "read-error") throw new Error("connection lost");
    this.#watch.read(keys);
    return this.#isDead ? await never() : found;
  }

  async *#list({ prefix, start }: ListSelector, limit: number): AsyncGenerator<Deno.KvEntry<unknown>> {
    const { found, fault } = await this.#read(() => this.#database.list(prefix, start, limit));
    if (fault === "read-error") throw new Error("connection lost");
    yield* found;
  }

  async #read<T>(look: () => T): Promise<{ readonly found: T; readonly fault: KvFault | null }> {
    if (this.#isDead) return await never();
    await this.#database.travel();
    const fault = this.#database.take("read");
    if (fault === "read-hang") return await this.#hang();
    const found = look();
    await this.#database.travel();
    return this.#isDead ? await never() : { found, fault };
  }

  async #commit(
    checks: readonly Deno.AtomicCheck[],
    sets: Sets,
  ): Promise<{ readonly ok: boolean; readonly versionstamp?: string }> {
    const database = this.#database;
    if (this.#isDead) return await never();
    const moments = this.#watch.commit(sets);
    await database.travel();
    if (this.#isDead && !database.arrives()) return await never();
    const fault = database.take("commit");
    const apply = () => {
      const isAlive = !this.#isDead;
      if (!database.holds(checks)) return false;
      moments.ready();
      if (isAlive && this.#isDead) return false;
      database.apply(sets);
      moments.committed();
      return true;
    };
    if (fault === "hang-late") database.later(apply);
    const isLost = fault === "error-lost" || fault === "refused-lost" || fault === "hang-lost" || fault === "hang-late";
    const ok = !isLost && apply();
    if (fault?.startsWith("hang")) return await this.#hang();
    await database.travel();
    if (this.#isDead) return await never();
    if (fault !== null) database.counts.unknownCommits++;
    else if (!ok) database.counts.conflicts++;
    if (fault !== null || !ok) moments.doubtful();
    if (this.#isDead) return await never();
    if (fault === "error-applied" || fault === "error-lost") throw new Error("disk I/O error");
    return { ok: ok && fault === null };
  }

  async #hang(): Promise<never> {
    this.#database.counts.hungCalls++;
    return await never();
  }
}

class FakeAtomic {
  readonly #commit: (checks: readonly Deno.AtomicCheck[], sets: Sets) => Promise<unknown>;
  readonly #checks: Deno.AtomicCheck[] = [];
  readonly #sets: (readonly [Deno.KvKey, Uint8Array | null])[] = [];

  constructor(commit: (checks: readonly Deno.AtomicCheck[], sets: Sets) => Promise<unknown>) {
    this.#commit = commit;
  }

  check(...checks: readonly Deno.AtomicCheck[]): this {
    this.#checks.push(...checks);
    return this;
  }

  set(key: Deno.KvKey, value: Uint8Array): this {
    this.#sets.push([key, value.slice()]);
    return this;
  }

  delete(key: Deno.KvKey): this {
    this.#sets.push([key, null]);
    return this;
  }

  commit(): Promise<unknown> {
    return this.#commit(this.#checks, this.#sets);
  }
}

type ListSelector = { readonly prefix: Deno.KvKey; readonly start?: Deno.KvKey };

function never(): Promise<never> {
  return new Promise(() => {});
}

const encoder = new TextEncoder();

/** Part by part: numbers by size, text by the bytes of its UTF-8 form. */
function compareRows(a: Deno.KvKey, b: Deno.KvKey): number {
  for (const [i, part] of a.entries()) {
    const other = b[i];
    if (other === undefined) return 1;
    if (part === other) continue;
    if (typeof part === "number" && typeof other === "number") return part - other;
    return compareBytes(encoder.encode(String(part)), encoder.encode(String(other)));
  }
  return a.length - b.length;
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, i) => byte !== b[i]);
  return at < 0 ? a.length - b.length : a[at]! - (b[at] ?? -1);
}
