/**
 * Watchers of two registers, which have a writer of their own, and of one of the run's locks: by name, by prefix, by long
 * polls. No event is invented or out of order, no read or poll is behind what anybody was told before, and once everything
 * works again the last state that each knows is the one that stays.
 */
import type { KvValue, LockState } from "../../src/api.ts";
import type { WatchedNoun } from "../../src/nouns.ts";
import type { Told } from "./asker.ts";
import { Poller } from "./poller.ts";
import { PrefixWatcher } from "./prefix_watcher.ts";
import { seededRandomness } from "./virtual_time.ts";
import type { Heal } from "./heal.ts";
import type { Watched } from "./check/watched.ts";
import { type Shown, Watcher } from "./watcher.ts";
import { nameOf, NounWorkload, type WorkloadParts } from "./workload.ts";

const STREAM = 600;
const WATCHERS = 2;
const PAUSE_MS = 400;
const CONTENT_TYPE = "text/plain";
/** What a node missed, and nobody writes any more, it finds out within so long. */
const CATCH_UP_MS = 11_000;
const FINAL: ReadonlySet<string> = new Set(["not-found", "expired-command"]);

const REGISTER: Shown = {
  ofState: ({ register }) => register?.value?.bytes ?? "none",
  ofBody: (body) => (body as KvValue | null)?.value ?? "none",
};
const LOCK: Shown = {
  ofState: ({ holders, lastFence }) => shownLock(holders.map(({ fence }) => fence), lastFence),
  ofBody: (body) => {
    if (body === null) return shownLock([], "0");
    const { holders, lastFence } = body as LockState;
    return shownLock(holders.map(({ fence }) => fence), lastFence);
  },
  waiting: {
    ofState: ({ queue }) => queue.length,
    ofBody: (body) => (body as LockState | null)?.waiterCount ?? 0,
  },
};

function shownLock(fences: readonly string[], lastFence: string): string {
  return `held by ${fences.join() || "none"}, last ${lastFence}`;
}

export class WatchWorkload extends NounWorkload {
  /** Below one prefix. The first is written until the end, the other rarely. */
  readonly #names: readonly [string, string];
  readonly #watchers: readonly (Watcher | Poller)[];
  readonly #ofPrefix: PrefixWatcher;

  constructor(parts: WorkloadParts) {
    super(parts);
    const { world } = parts;
    const { seed, keys } = world.plan;
    // Beside those of the registers' workload.
    const prefix = `${nameOf(seed, 2)}/`;
    this.#names = [`${prefix}often`, `${prefix}rarely`];
    let stream = STREAM;
    const next = () => seededRandomness(seed, ++stream);
    const names = Array.from({ length: WATCHERS }, () => ["kv", this.#names[0], REGISTER] as const);
    const locks = keys.slice(0, 1).map((key) => ["lock", key, LOCK] as const);
    const watchers = [...names, ...locks].map(([noun, name, shown]) => new Watcher(world, next(), noun, name, shown));
    this.#ofPrefix = new PrefixWatcher(world, next(), prefix, this.#names, REGISTER);
    const pollers = [...names.slice(0, 1), ...locks].map(([noun, name, shown]) =>
      new Poller(world, next(), noun, name, shown, () => this.#known(noun))
    );
    this.#watchers = [...watchers, ...pollers];
  }

  /** The highest revision that any was told, of the register written often or of the lock. */
  #known(noun: WatchedNoun): bigint {
    const all = this.#watchers.filter((watcher) => watcher.noun === noun).map(({ watched }) => watched);
    if (noun === "kv") all.push(this.#ofPrefix.watched.get(this.#names[0])!);
    return all.reduce((most, { known }) => known > most ? known : most, 0n);
  }

  override get counts() {
    const { counts } = this.clients;
    const all = [...this.#watchers, this.#ofPrefix];
    const sum = (of: (watcher: typeof all[number]) => number) => all.reduce((total, watcher) => total + of(watcher), 0);
    return {
      ...counts,
      operations: counts.operations + sum(({ subscriptions, unanswered }) => subscriptions + unanswered),
      unknown: counts.unknown + sum(({ unanswered }) => unanswered),
      // What watchers are told is what counts.
      done: this.#watched.reduce((total, { events }) => total + events, 0),
    };
  }

  override faults(): readonly string[] {
    return [
      ...this.clients.faults,
      ...[...this.#watchers, this.#ofPrefix].flatMap(({ faults }) => faults),
      ...this.#watched.flatMap((watched) => watched.faults()),
    ];
  }

  get #watched(): readonly Watched[] {
    return [...this.#watchers.map(({ watched }) => watched), ...this.#ofPrefix.watched.values()];
  }

  override async run(): Promise<void> {
    for (const watcher of [...this.#watchers, this.#ofPrefix]) {
      // They go on when everything works again.
      watcher.run().catch((error: Error) => this.clients.faults.push(`a watcher died: ${error.message}`));
    }
    await this.#write();
  }

  override async healed(heal: Heal): Promise<void> {
    const startMs = this.clients.now();
    const [often, rarely] = this.#names;
    await heal.inTime(
      () => startMs,
      (node, caller) => node.registers.put(often, { bytes: btoa("last"), contentType: CONTENT_TYPE }, caller),
      `${often} is not writable`,
    );
    const ofPrefix = this.#ofPrefix.watched;
    for (const watched of [...this.#watchers.map((watcher) => watcher.watched), ofPrefix.get(often)!]) {
      await heal.comes(() => watched.isUpToDate, "a watcher was not told the last state");
    }
    await this.clients.world.clock.sleep(CATCH_UP_MS / this.clients.world.slowest);
    await heal.comes(() => ofPrefix.get(rarely)!.isUpToDate, "a watcher of a prefix never learned of a state");
    for (const watcher of [...this.#watchers, this.#ofPrefix]) watcher.stop();
  }

  async #write(): Promise<void> {
    const asker = this.clients.asker(STREAM, FINAL);
    const { random } = asker;
    for (let i = 0; !asker.isOver; i++) {
      await asker.sleep(random.next() * PAUSE_MS);
      const [deletes, isRare] = [random.chance(0.2), random.chance(0.2)];
      const name = this.#names[isRare ? 1 : 0];
      if (asker.isOver) return;
      const put = { bytes: btoa(`${i}`), contentType: CONTENT_TYPE };
      const told: Told<unknown> | null = deletes
        ? await asker.ask(`watched-${i}`, (node, caller) => node.registers.delete(name, {}, caller))
        : await asker.ask(`watched-${i}`, (node, caller) => node.registers.put(name, put, caller));
      this.clients.count(told);
    }
  }
}
