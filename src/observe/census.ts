/** Who holds and who waits, of the names that this process has seen move: of the others it says nothing until they do. */
import { CENSUS_MAX_NAMES } from "../limits.ts";
import { type Occupied, occupiedOf } from "../machine/changes.ts";
import { nounOf, type WatchedNoun } from "../nouns.ts";
import type { State } from "../paxos/message.ts";
import { Remembered } from "../remembered.ts";

/** Since when, by this process's own clock, the first hold and the first waiter are the first. */
type Entry = Occupied & { readonly noun: WatchedNoun; readonly heldMs: number; readonly waitedMs: number };

export type Counted = {
  readonly held: ReadonlyMap<WatchedNoun, number>;
  readonly waiting: ReadonlyMap<WatchedNoun, number>;
  readonly oldestHoldMs: number;
  readonly oldestWaitMs: number;
  readonly sessions: number;
};

export class Census {
  readonly #now: () => number;
  readonly #names: Remembered<Entry>;

  constructor(now: () => number, most: number = CENSUS_MAX_NAMES) {
    this.#now = now;
    this.#names = new Remembered(most);
  }

  moved(key: string, state: State): void {
    const occupied = occupiedOf(state);
    if (occupied === null) return this.#names.delete(key);
    const noun = nounOf(key);
    if (noun === null) return;
    const known = this.#names.get(key);
    const now = this.#now();
    this.#names.set(key, {
      ...occupied,
      noun,
      heldMs: known?.firstHold === occupied.firstHold ? known.heldMs : now,
      waitedMs: known?.firstWaiter === occupied.firstWaiter ? known.waitedMs : now,
    });
  }

  count(): Counted {
    const now = this.#now();
    const held = new Map<WatchedNoun, number>();
    const waiting = new Map<WatchedNoun, number>();
    let [oldestHoldMs, oldestWaitMs, sessions] = [0, 0, 0];
    for (const entry of this.#names.values()) {
      if (entry.isSession) sessions++;
      if (entry.held > 0) oldestHoldMs = Math.max(oldestHoldMs, now - entry.heldMs);
      if (entry.waiting > 0) oldestWaitMs = Math.max(oldestWaitMs, now - entry.waitedMs);
      held.set(entry.noun, (held.get(entry.noun) ?? 0) + entry.held);
      waiting.set(entry.noun, (waiting.get(entry.noun) ?? 0) + entry.waiting);
    }
    return { held, waiting, oldestHoldMs, oldestWaitMs, sessions };
  }
}
