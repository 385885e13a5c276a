/**
 * Watches the registers below a prefix through a node that it draws, and goes on from the last event there or elsewhere.
 * Told to begin anew it reads them all: what it knows then, and is told from then on, must never lack anything for good.
 */
import { QuorateError } from "../../src/errors.ts";
import type { KvValue } from "../../src/api.ts";
import type { Stop, WatchEvent } from "../../src/service/watch_service.ts";
import { OPEN, TIMEOUT_MS } from "./asker.ts";
import type { Watched } from "./check/watched.ts";
import type { Seeded } from "./virtual_time.ts";
import { follow, type Shown, stay } from "./watcher.ts";
import type { World } from "./world.ts";

const PAUSE_MS = 100;

export class PrefixWatcher {
  readonly watched: ReadonlyMap<string, Watched>;
  readonly faults: string[] = [];
  readonly #world: World;
  readonly #random: Seeded;
  readonly #prefix: string;
  readonly #shown: Shown;
  subscriptions = 0;
  unanswered = 0;
  #isDone = false;
  /** The last event, whoever told it. */
  #last: { readonly node: string; readonly id: string } | null = null;

  /** @param names all there are below the prefix */
  constructor(world: World, random: Seeded, prefix: string, names: readonly string[], shown: Shown) {
    this.#world = world;
    this.#random = random;
    this.#prefix = prefix;
    this.#shown = shown;
    this.watched = new Map(names.map((name) => [name, follow(world, "kv", name, shown, `watching ${prefix}, of it`)]));
  }

  async run(): Promise<void> {
    while (!this.#isDone) {
      const { up } = this.#world;
      const known = up.find((id) => id === this.#last?.node);
      if (up.length > 0) {
        await this.#watchAt(known !== undefined && this.#random.chance(0.5) ? known : this.#random.pick(up));
      }
      await this.#world.clock.sleep(this.#random.next() * PAUSE_MS);
    }
  }

  stop(): void {
    this.#isDone = true;
  }

  async #watchAt(id: string): Promise<void> {
    let isOver = false;
    let isAnew = false;
    const push = (event: WatchEvent) => {
      if (isOver) return;
      if (event.type === "resync") isAnew = true;
      this.#told(id, event);
    };
    const died = this.#world.deathOf(id);
    const ranges = [{ prefix: this.#prefix, exact: false }];
    let stop: Stop = () => {};
    try {
      stop = await this.#world.ask(
        id,
        (node) => node.watches.watchRanges("kv", ranges, this.#last?.id ?? null, push),
      );
      this.subscriptions++;
      if (isAnew) await Promise.all([...this.watched].map(([name, watched]) => this.#read(id, name, watched)));
      await Promise.race([died, stay(this.#world, id, 500 + this.#random.next() * 2_000, () => this.#isDone)]);
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error;
      if (OPEN.has(error.code)) this.unanswered++;
      else this.faults.push(`watching ${this.#prefix} at ${id}: ${error.code}`);
      // What it was to read it has not read.
      if (isAnew) this.#last = null;
    } finally {
      isOver = true;
      stop();
    }
  }

  #told(node: string, { type, id, body }: WatchEvent): void {
    this.#last = { node, id };
    this.#world.digest.add(this.#world.clock.now(), `told ${this.#prefix} ${type} ${id}`);
    if (type === "resync") {
      for (const watched of this.watched.values()) watched.begin();
      return;
    }
    const { key, revision } = body as KvValue;
    const watched = this.watched.get(key);
    if (watched === undefined) this.faults.push(`watching ${this.#prefix}: told of ${key}`);
    else watched.told(BigInt(revision), this.#shown.ofBody(type === "deleted" ? null : body));
  }

  async #read(id: string, name: string, watched: Watched): Promise<void> {
    const knownBefore = watched.known;
    try {
      const get = { stale: false, timeoutMs: TIMEOUT_MS };
      const { body } = await this.#world.ask(id, (node) => node.registers.get(name, get));
      watched.read(BigInt(body.revision), this.#shown.ofBody(body), knownBefore);
    } catch (error) {
      if (!(error instanceof QuorateError) || error.code !== "not-found") throw error;
      watched.read(BigInt(String(error.facts.more?.["revision"])), this.#shown.ofBody(null), knownBefore);
    }
  }
}
