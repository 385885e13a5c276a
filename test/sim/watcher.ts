/**
 * Watches one name through a node that it draws, and goes on from the last revision through another when that node dies,
 * says nothing, or at times for no reason.
 */
import { QuorateError } from "../../src/errors.ts";
import type { KeyState } from "../../src/machine/state.ts";
import { KEY_PREFIXES, type WatchedNoun } from "../../src/nouns.ts";
import type { Stop, WatchEvent } from "../../src/service/watch_service.ts";
import { OPEN, TIMEOUT_MS } from "./asker.ts";
import { Watched } from "./check/watched.ts";
import type { Seeded } from "./virtual_time.ts";
import type { World } from "./world.ts";

const PAUSE_MS = 100;

/** What a reader can see, but for estimates of time: from a state, and from the body of an event. */
export type Shown = {
  readonly ofState: (state: KeyState) => string;
  readonly ofBody: (body: object | null) => string;
  /** How many wait, of what may be waited for. */
  readonly waiting?: {
    readonly ofState: (state: KeyState) => number;
    readonly ofBody: (body: object | null) => number;
  };
};

/** What is told of a name, against what disks commit of it. */
export function follow(world: World, noun: WatchedNoun, name: string, shown: Shown, how: string): Watched {
  const key = KEY_PREFIXES[noun] + name;
  const watched = new Watched(`${how} ${key}`, shown.ofBody(null));
  world.observers.add((committedKey, state) => {
    if (committedKey === key) {
      watched.committed(BigInt(state.revision), shown.ofState(state), shown.waiting?.ofState(state));
    }
  });
  return watched;
}

export class Watcher {
  readonly watched: Watched;
  readonly faults: string[] = [];
  readonly #world: World;
  readonly #random: Seeded;
  readonly noun: WatchedNoun;
  readonly #name: string;
  readonly #shown: Shown;
  subscriptions = 0;
  unanswered = 0;
  #isDone = false;

  constructor(world: World, random: Seeded, noun: WatchedNoun, name: string, shown: Shown) {
    this.#world = world;
    this.#random = random;
    this.noun = noun;
    this.#name = name;
    this.#shown = shown;
    this.watched = follow(world, noun, name, shown, "watching");
  }

  /** Until it is stopped. */
  async run(): Promise<void> {
    const { clock } = this.#world;
    while (!this.#isDone) {
      const { up } = this.#world;
      if (up.length > 0) await this.#watchAt(this.#random.pick(up));
      await clock.sleep(this.#random.next() * PAUSE_MS);
    }
  }

  stop(): void {
    this.#isDone = true;
  }

  async #watchAt(id: string): Promise<void> {
    let isOver = false;
    const push = (event: WatchEvent) => isOver || this.#told(event);
    const died = this.#world.deathOf(id);
    let stop: Stop = () => {};
    try {
      stop = await this.#world.ask(
        id,
        (node) => node.watches.watch(this.noun, this.#name, this.watched.revision, TIMEOUT_MS, push),
      );
      this.subscriptions++;
      // Once everything works it stays where it is: what is told then must come by itself.
      const leaves = stay(this.#world, id, 500 + this.#random.next() * 2_000, () => this.#isDone);
      await Promise.race([died, leaves]);
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error;
      if (OPEN.has(error.code)) this.unanswered++;
      else this.faults.push(`watching ${this.#name} at ${id}: ${error.code}`);
    } finally {
      isOver = true;
      stop();
    }
  }

  #told({ type, id, body }: WatchEvent): void {
    // Nobody may watch a decided state vanish.
    if (type === "resync") this.faults.push(`watching ${this.#name}: told to begin anew at ${id}`);
    else {
      const told = type === "deleted" ? null : body;
      this.watched.told(BigInt(id), this.#shown.ofBody(told), this.#shown.waiting?.ofBody(told));
    }
    this.#world.digest.add(this.#world.clock.now(), `told ${this.#name} ${id}`);
  }
}

/** A node that may not move its record any more, or hears of nothing, tells nothing new: its clients are to go elsewhere. */
export async function stay(world: World, id: string, atLeastMs: number, isDone: () => boolean): Promise<void> {
  const { clock } = world;
  const isUseless = () => world.isQuarantined(id) || world.changes.hasLeft(id);
  await clock.sleep(atLeastMs);
  while (!world.isFaulty && !isDone() && !isUseless()) await clock.sleep(PAUSE_MS);
}
