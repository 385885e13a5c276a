/**
 * Learn reaches every node, unless whoever decided died before it was sent (PROTOCOL.md §5). Where somebody watches,
 * that must not go unseen: what is watched is read from a quorum now and then, and the own record brought up to it.
 */
import type { AcceptorHost } from "./acceptor_host.ts";
import type { Learning } from "./learning.ts";
import type { BallotStore, Clock, Randomness } from "./ports.ts";
import type { Reader } from "./reader.ts";

/** Between two rounds, up to twice this, so that nodes do not all ask at once. */
const ROUND_MS = 5_000;
/** Keys read in a round; with more than that watched they take turns. */
const ROUND_MAX_KEYS = 256;
const AT_ONCE = 16;
const READ_WITHIN_MS = 2_000;

export type CatchUpParts = {
  readonly acceptor: AcceptorHost;
  readonly reader: Reader;
  readonly learning: Learning;
  readonly store: BallotStore;
  readonly clock: Clock;
  readonly random: Randomness;
  /** Sees to it that leases of the key end when they run out. */
  readonly expire: (key: string) => void;
};

/** What to bring up to date: one key, or all known to this node that begin so, from `after` on. */
export type Target = { readonly key: string } | { readonly prefix: string; readonly after: string };

export class CatchUp {
  readonly #parts: CatchUpParts;
  readonly #watched: () => readonly Target[];
  #cancel: (() => void) | null = null;
  /** What this turn has not come to yet. */
  #left: Target[] = [];

  /** @param watched asked at the start of each turn; each target once */
  constructor(parts: CatchUpParts, watched: () => readonly Target[]) {
    this.#parts = parts;
    this.#watched = watched;
  }

  start(): void {
    const { clock, random } = this.#parts;
    this.#cancel ??= clock.after(ROUND_MS * (1 + random.next()), () => this.#round());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#left = [];
  }

  async #round(): Promise<void> {
    const cancelled = this.#cancel;
    try {
      const keys = await this.#nextKeys();
      const one = async () => {
        for (let key = keys.pop(); key !== undefined; key = keys.pop()) await this.#look(key);
      };
      await Promise.all(Array.from({ length: AT_ONCE }, one));
    } catch {
      // The store failed; the node says so elsewhere.
    }
    // Nobody watches any more, or somebody does anew and has started a round of their own.
    if (this.#cancel !== cancelled) return;
    this.#cancel = null;
    this.start();
  }

  async #nextKeys(): Promise<string[]> {
    if (this.#left.length === 0) this.#left = [...this.#watched()];
    const keys = new Set<string>();
    while (keys.size < ROUND_MAX_KEYS) {
      const target = this.#left.shift();
      if (target === undefined) break;
      if ("key" in target) {
        keys.add(target.key);
        continue;
      }
      const room = ROUND_MAX_KEYS - keys.size;
      const found = await this.#parts.store.keys(target.prefix, target.after, room);
      for (const key of found) keys.add(key);
      const last = found.at(-1);
      if (last !== undefined && found.length === room) this.#left.unshift({ prefix: target.prefix, after: last });
    }
    return [...keys];
  }

  async #look(key: string): Promise<void> {
    const { acceptor, reader, learning } = this.#parts;
    try {
      const newest = await reader.read(key, READ_WITHIN_MS);
      const { snapshot } = await acceptor.view(key);
      if (newest.instance > snapshot.instance) await learning.install(key, newest);
      this.#parts.expire(key);
    } catch {
      // No quorum now; a later round gets it.
    }
  }
}
