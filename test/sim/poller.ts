/** Long polls of one name, each through a node that it draws: what is newer as soon as it is, or that nothing was. */
import { QuorateError } from "../../src/errors.ts";
import type { WatchedNoun } from "../../src/nouns.ts";
import { OPEN, TIMEOUT_MS } from "./asker.ts";
import type { Watched } from "./check/watched.ts";
import type { Seeded } from "./virtual_time.ts";
import { follow, type Shown } from "./watcher.ts";
import type { World } from "./world.ts";

const PAUSE_MS = 100;
/** Once everything works only a wake-up ends it in time. */
const WAIT_MS = 60_000;

export class Poller {
  readonly watched: Watched;
  readonly faults: string[] = [];
  readonly #world: World;
  readonly #random: Seeded;
  readonly noun: WatchedNoun;
  readonly #name: string;
  readonly #shown: Shown;
  readonly #known: () => bigint;
  subscriptions = 0;
  unanswered = 0;
  #isDone = false;

  /** @param known the highest revision of the name that anybody was told so far */
  constructor(world: World, random: Seeded, noun: WatchedNoun, name: string, shown: Shown, known: () => bigint) {
    this.#world = world;
    this.#random = random;
    this.noun = noun;
    this.#name = name;
    this.#shown = shown;
    this.#known = known;
    this.watched = follow(world, noun, name, shown, "polling");
  }

  async run(): Promise<void> {
    while (!this.#isDone) {
      const { up } = this.#world;
      if (up.length > 0) await this.#poll(this.#random.pick(up));
      await this.#world.clock.sleep(this.#random.next() * PAUSE_MS);
    }
  }

  stop(): void {
    this.#isDone = true;
  }

  async #poll(id: string): Promise<void> {
    const after = this.watched.known;
    const knownBefore = this.#known();
    const waitMs = this.#world.isFaulty ? this.#random.pick([0, 200, 1_000]) : WAIT_MS;
    try {
      const { isNewer, body } = await this.#world.ask(
        id,
        (node) => node.watches.poll(this.noun, this.#name, after, { waitMs, timeoutMs: TIMEOUT_MS }),
      );
      this.subscriptions++;
      this.#world.digest.add(this.#world.clock.now(), `polled ${this.#name} ${after} ${isNewer}`);
      if (!isNewer) this.watched.nothingAbove(after, knownBefore);
      // A poll does not say at which revision something was deleted.
      else if (body !== null) {
        const { revision } = body as { revision: string };
        this.watched.read(BigInt(revision), this.#shown.ofBody(body), knownBefore, this.#shown.waiting?.ofBody(body));
      }
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error;
      if (OPEN.has(error.code)) this.unanswered++;
      else this.faults.push(`polling ${this.#name} at ${id}: ${error.code}`);
    }
  }
}
