/**
 * What a platform does to the processes of an acceptor: at random points one of them is killed, and another started in its
 * place. Never the last one that takes requests.
 */
import { pause, type RealCluster } from "./real_cluster.ts";

/** Between two deaths, up to this much longer each time. */
const EVERY_MS = 200;
const VARIES_MS = 300;
const TRIES_MAX = 5;
/** Starts at a time: those that serve need a processor too. */
const STARTS_MAX = 2;

export class Reaper {
  kills = 0;
  readonly #cluster: RealCluster;
  readonly #random: () => number;
  /** Acceptors of which a process is on its way up. */
  readonly #returning = new Map<string, Promise<void>>();
  readonly #reaping: Promise<void>;
  #goesOn = true;

  /** Goes on until it is stopped. */
  constructor(cluster: RealCluster, random: () => number) {
    this.#cluster = cluster;
    this.#random = random;
    this.#reaping = this.#reap();
    // Whoever stops it hears of its failure.
    this.#reaping.catch(() => {});
  }

  /** Resolves when all are up again; rejects if one was not to be started. */
  async stop(): Promise<void> {
    this.#goesOn = false;
    await this.#reaping;
    await Promise.all(this.#returning.values());
  }

  async #reap(): Promise<void> {
    while (this.#goesOn) {
      await pause(EVERY_MS + this.#random() * VARIES_MS);
      const whole = this.#cluster.ids.filter((id) => !this.#returning.has(id));
      const id = whole[Math.floor(this.#random() * whole.length)];
      if (id === undefined || this.#returning.size >= STARTS_MAX || !this.#goesOn) continue;
      const which = Math.floor(this.#random() * this.#cluster.requestsOf(id).length);
      await this.#cluster.killIsolate(id, which);
      this.kills++;
      const returning = this.#start(id, which).then(() => void this.#returning.delete(id));
      returning.catch(() => {});
      this.#returning.set(id, returning);
    }
  }

  /** One that finds no database ends by itself, and another is started. */
  async #start(id: string, which: number): Promise<void> {
    for (let tries = 1;; tries++) {
      try {
        return await this.#cluster.startIsolate(id, which);
      } catch (error) {
        if (tries === TRIES_MAX) throw error;
        await this.#cluster.killIsolate(id, which);
      }
    }
  }
}
