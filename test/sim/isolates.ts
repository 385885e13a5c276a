/**
 * Processes that serve one member together, each for as long as it lives, on a database that all of them share. Messages
 * to the member go to one of those that are alive; what any of them commits is the member's.
 */
import type { BallotStore, NodeId, Randomness, StoredRecord, Transport } from "../../src/ports.ts";
import { IDENTITY_ROW, marksRow, stateRow } from "../../src/store/key_space.ts";
import { decodeIdentity, decodeRecord } from "../../src/store/rows.ts";
import { recalled } from "../../src/store/shared_marks.ts";
import { openSharedStore } from "../../src/store/shared_store.ts";
import type { Shared } from "../replica/memory_cluster.ts";
import { FakeDatabase, type FakeKv, type KvCounts, type KvWatch, type Sets } from "./fake_kv.ts";
import type { Plan } from "./plan.ts";
import { isolatesOf, memberOf } from "./processes.ts";
import { type MachineClock, type Seeded, seededRandomness, type VirtualClock } from "./virtual_time.ts";

/** Streams of randomness. */
const DATABASES = 20;
const DATABASES_ANEW = 30;
const TRIES_TO_MAKE = 20;
const ROUTES = 40;

/** What happens to a process of a shared store, at the moments at which it may die with a difference. */
export type RecordStep = readonly [key: string, record: StoredRecord];

export type IsolateWatch = {
  /** A record was read, or what a commit came to is in doubt; nothing was done about it. */
  reached(point: "read" | "doubt"): void;
  /** Steps as an AtomicWatch has them; `committed` also of what arrives when its process is no more. */
  atomic(moment: "ready" | "committed", steps: () => readonly RecordStep[]): void;
};

export type IsolateParts = {
  readonly plan: Plan;
  readonly clock: VirtualClock;
  readonly random: Randomness;
  /** The clock of a process, for this life of it. */
  machine(process: string): MachineClock;
  /** Called for each life of a process. */
  watch(process: string): IsolateWatch;
  isUp(process: string): boolean;
};

export class Isolates implements Shared {
  readonly #parts: IsolateParts;
  readonly #databases: Map<string, FakeDatabase>;
  readonly #clients = new Map<string, FakeKv>();
  readonly #routes: Seeded;

  constructor(parts: IsolateParts) {
    const { plan, clock } = parts;
    this.#parts = parts;
    this.#routes = seededRandomness(plan.seed, ROUTES);
    this.#databases = new Map(
      plan.shared.map((id, i) => [id, new FakeDatabase(clock, seededRandomness(plan.seed, DATABASES + i))]),
    );
  }

  get counts(): KvCounts {
    const counts: KvCounts = { unknownCommits: 0, hungCalls: 0, conflicts: 0 };
    for (const database of this.#databases.values()) {
      counts.unknownCommits += database.counts.unknownCommits;
      counts.hungCalls += database.counts.hungCalls;
      counts.conflicts += database.counts.conflicts;
    }
    return counts;
  }

  /** Makes each database its member's. */
  async init(): Promise<void> {
    for (const id of this.#databases.keys()) await this.#init(id);
  }

  /** In place of a member's database there is a new one, made its own. */
  async lose(id: NodeId): Promise<void> {
    const { plan, clock } = this.#parts;
    const stream = DATABASES_ANEW + plan.shared.indexOf(id);
    this.#databases.set(id, new FakeDatabase(clock, seededRandomness(plan.seed, stream)));
    // Its calls fail as any do; somebody who makes it goes on until it is made.
    for (let tries = 1;; tries++) {
      try {
        return await this.#init(id);
      } catch (error) {
        if (tries === TRIES_TO_MAKE) throw error;
      }
    }
  }

  isQuarantined(id: NodeId): boolean {
    const { value } = this.#databases.get(id)!.get(IDENTITY_ROW);
    return value !== null && decodeIdentity(value, id).quarantined !== undefined;
  }

  async #init(id: NodeId): Promise<void> {
    const { clock, random } = this.#parts;
    const silent: KvWatch = {
      read: () => {},
      commit: () => ({ ready: () => {}, committed: () => {}, doubtful: () => {} }),
    };
    const kv = this.#databases.get(id)!.connect(silent).asKv();
    const store = await openSharedStore({ kv, name: id, run: random.id(), clock, random });
    if (store.identity() === null) await store.init({ cluster: "test", id, incarnation: random.id(), config: "{}" });
    await store.close();
  }

  database(id: NodeId): FakeDatabase | null {
    return this.#databases.get(id) ?? null;
  }

  /** The last commit of `peer` that the member durably knows of; null if it has its store to itself. */
  heardOf(id: NodeId, peer: NodeId): number | null {
    const database = this.#databases.get(id);
    if (database === undefined) return null;
    const rows = database.list(marksRow("").slice(0, -1), undefined, Infinity);
    return recalled(rows.map(({ value }) => value), {}, peer)?.seq ?? 0;
  }

  heal(): void {
    for (const database of this.#databases.values()) database.heal();
  }

  of(id: NodeId): readonly string[] {
    return isolatesOf(this.#parts.plan, id);
  }

  memberOf(process: string): NodeId {
    return memberOf(process);
  }

  /** One that is alive; where none is, one that refuses. */
  pick(id: NodeId): string {
    const all = this.of(id);
    const alive = all.filter((process) => this.#parts.isUp(process));
    return alive.length > 0 ? this.#routes.pick(alive) : all[0]!;
  }

  transport(inner: Transport): Transport {
    return {
      send: (to, message) => inner.send(this.#addressOf(to), message),
      rttMs: (to) => Math.max(...(this.#databases.has(to) ? this.of(to) : [to]).map((process) => inner.rttMs(process))),
      close: () => inner.close(),
    };
  }

  #addressOf(id: NodeId): string {
    return this.#databases.has(id) ? this.pick(id) : id;
  }

  async open(process: string): Promise<BallotStore> {
    const { random, machine, watch } = this.#parts;
    const id = memberOf(process);
    const database = this.#databases.get(id)!;
    const plays = new Map<string, RecordStep[]>();
    // What still arrives at a database that was lost is nobody's any more.
    const isThere = () => this.#databases.get(id) === database;
    const kv = database.connect(watchOf(database, plays, watch(process), isThere));
    this.#clients.set(process, kv);
    const run = random.id();
    const store = await openSharedStore({ kv: kv.asKv(), name: process, run, clock: machine(process), random });
    if (!isThere()) {
      await store.close();
      throw new Error(`the database of ${process} was lost while it started`);
    }
    const update = store.update.bind(store);
    // Each step of a commit is answered for, not only the last one, which is all that the rows show.
    store.update = (key, step) =>
      update(key, (record) => {
        const next = step(record);
        if (next.record !== null) plays.set(key, [...plays.get(key) ?? [], [key, next.record]]);
        return next;
      });
    return store;
  }

  crash(process: string): void {
    this.#clients.get(process)?.crash();
  }
}

function watchOf(
  database: FakeDatabase,
  plays: Map<string, RecordStep[]>,
  watch: IsolateWatch,
  isThere: () => boolean,
): KvWatch {
  return {
    read(rows) {
      const key = keyOf(rows);
      if (key === null) return;
      // Whatever was played on an older record was not committed, or is already known.
      plays.delete(key);
      watch.reached("read");
    },
    commit(sets) {
      const key = keyOf(sets.map(([row]) => row));
      const earlier = key === null ? [] : (plays.get(key) ?? []).slice(0, -1);
      if (key !== null) plays.delete(key);
      const steps = () => key === null ? [] : [...earlier, [key, recordIn(database, key, sets)] as const];
      return {
        ready: () => watch.atomic("ready", steps),
        committed: () => isThere() && watch.atomic("committed", steps),
        doubtful: () => watch.reached("doubt"),
      };
    },
  };
}

function keyOf(rows: readonly Deno.KvKey[]): string | null {
  const [, key] = rows.find(([kind]) => kind === "r") ?? [];
  return typeof key === "string" ? key : null;
}

/** What the rows hold, or will once these are written. */
function recordIn(database: FakeDatabase, key: string, sets: Sets): StoredRecord {
  const [ballot, state] = [["r", key], stateRow(key)].map((row) =>
    sets.find(([name]) => `${name}` === `${row}`)?.[1] ?? database.get(row).value
  );
  return decodeRecord(key, ballot, state)!;
}
