/**
 * Watchers of a register, which has a writer of its own, and of one of the run's locks. No event is invented or out of
 * order, and once everything works again the last one is the state that stays.
 */
import type { KvValue, LockState } from "../../src/api.ts";
import type { Told } from "./asker.ts";
import { seededRandomness } from "./virtual_time.ts";
import type { Heal } from "./heal.ts";
import { type Shown, Watcher } from "./watcher.ts";
import { Clients, nameOf, type Workload, type WorkloadParts } from "./workload.ts";

const STREAM = 600;
const WATCHERS = 2;
const PAUSE_MS = 400;
const CONTENT_TYPE = "text/plain";
const FINAL: ReadonlySet<string> = new Set(["not-found", "expired-command"]);

const REGISTER: Shown = {
  ofState: ({ register }) => register?.value?.bytes ?? "none",
  ofBody: (body) => (body as KvValue | null)?.bytes ?? "none",
};
const LOCK: Shown = {
  ofState: ({ holders, queue, lastFence }) => shownLock(holders.map(({ fence }) => fence), queue.length, lastFence),
  ofBody: (body) => {
    if (body === null) return shownLock([], 0, "0");
    const { holders, waiterCount, lastFence } = body as LockState;
    return shownLock(holders.map(({ fence }) => fence), waiterCount, lastFence);
  },
};

function shownLock(fences: readonly string[], waiting: number, lastFence: string): string {
  return `held by ${fences.join() || "none"}, ${waiting} waiting, last ${lastFence}`;
}

export class WatchWorkload implements Workload {
  readonly #clients: Clients;
  readonly #name: string;
  readonly #watchers: readonly Watcher[];

  constructor(parts: WorkloadParts) {
    const { world } = parts;
    const { seed, keys } = world.plan;
    this.#clients = new Clients(parts);
    // Beside those of the registers' workload.
    this.#name = nameOf(seed, 2);
    const names = Array.from({ length: WATCHERS }, () => ["kv", this.#name, REGISTER] as const);
    const locks = keys.slice(0, 1).map((key) => ["lock", key, LOCK] as const);
    this.#watchers = [...names, ...locks].map(([noun, name, shown], i) =>
      new Watcher(world, seededRandomness(seed, STREAM + 1 + i), noun, name, shown)
    );
  }

  get counts() {
    const { counts } = this.#clients;
    const sum = (of: (watcher: Watcher) => number) => this.#watchers.reduce((all, watcher) => all + of(watcher), 0);
    return {
      ...counts,
      operations: counts.operations + sum(({ subscriptions, unanswered }) => subscriptions + unanswered),
      unknown: counts.unknown + sum(({ unanswered }) => unanswered),
      // What watchers are told is what counts.
      done: sum(({ watched }) => watched.events),
    };
  }

  get events() {
    return this.#clients.events;
  }

  faults(): readonly string[] {
    return [
      ...this.#clients.faults,
      ...this.#watchers.flatMap(({ watched, faults }) => [...watched.faults(), ...faults]),
    ];
  }

  async run(): Promise<void> {
    for (const watcher of this.#watchers) {
      // They go on when everything works again.
      watcher.run().catch((error: Error) => this.#clients.faults.push(`a watcher died: ${error.message}`));
    }
    await this.#write();
  }

  async healed(heal: Heal): Promise<void> {
    const startMs = this.#clients.now();
    await heal.inTime(
      () => startMs,
      (node, caller) => node.registers.put(this.#name, { bytes: btoa("last"), contentType: CONTENT_TYPE }, caller),
      `${this.#name} is not writable`,
    );
    for (const { watched } of this.#watchers) {
      await heal.comes(() => watched.isUpToDate, "a watcher was not told the last state");
    }
    for (const watcher of this.#watchers) watcher.stop();
  }

  async #write(): Promise<void> {
    const asker = this.#clients.asker(STREAM, FINAL);
    const { random } = asker;
    for (let i = 0; !asker.isOver; i++) {
      await asker.sleep(random.next() * PAUSE_MS);
      const deletes = random.chance(0.2);
      if (asker.isOver) return;
      const put = { bytes: btoa(`${i}`), contentType: CONTENT_TYPE };
      const told: Told<unknown> | null = deletes
        ? await asker.ask(`watched-${i}`, (node, caller) => node.registers.delete(this.#name, {}, caller))
        : await asker.ask(`watched-${i}`, (node, caller) => node.registers.put(this.#name, put, caller));
      this.#clients.count(told);
    }
  }
}
