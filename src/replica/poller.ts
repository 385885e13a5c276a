/** Looking at keys again and again, as many at a time as a node can do beside its other work; more than that take turns. */
import type { BallotStore, Clock, Randomness } from "../ports.ts";

/** Keys looked at in a round, unless fewer are asked for. */
const ROUND_MAX_KEYS = 256;
const AT_ONCE = 16;

export type PollerParts = { readonly clock: Clock; readonly random: Randomness };

/** Keys that begin with `prefix`, in byte order, after `after`, at most `limit`; `more`: there may be further ones. */
export type KeysOf = (
  prefix: string,
  after: string,
  limit: number,
) => Promise<{ readonly keys: readonly string[]; readonly more: boolean }>;

/** Those of the own store. */
export function ownKeys(store: BallotStore): KeysOf {
  return async (prefix, after, limit) => {
    const keys = await store.keys(prefix, after, limit);
    return { keys, more: keys.length === limit };
  };
}

/** What to look at: one key, or all that begin so, from `after` on. */
export type Target = { readonly key: string } | { readonly prefix: string; readonly after: string };

export type Pace = {
  /** Looked at in a round. */
  readonly maxKeys?: number;
  /** Between two rounds of one turn, where the one before took so long. Default: as between turns. */
  readonly restMs?: (tookMs: number) => number;
};

export class Poller {
  readonly #parts: PollerParts;
  readonly #everyMs: number;
  readonly #look: (key: string) => Promise<void>;
  readonly #targets: () => readonly Target[];
  readonly #keysOf: KeysOf;
  readonly #maxKeys: number;
  readonly #restMs: ((tookMs: number) => number) | null;
  #cancel: (() => void) | null = null;
  /** What this turn has not come to yet. */
  #left: Target[] = [];

  /**
   * @param everyMs between two rounds, up to twice this, so that nodes do not all look at once
   * @param targets asked at the start of each turn; each target once. Where there are none it ends, until started again
   */
  constructor(
    parts: PollerParts,
    everyMs: number,
    targets: () => readonly Target[],
    look: (key: string) => Promise<void>,
    keysOf: KeysOf,
    { maxKeys = ROUND_MAX_KEYS, restMs }: Pace = {},
  ) {
    this.#parts = parts;
    this.#everyMs = everyMs;
    this.#targets = targets;
    this.#look = look;
    this.#keysOf = keysOf;
    this.#maxKeys = maxKeys;
    this.#restMs = restMs ?? null;
  }

  start(): void {
    this.#after(this.#everyMs * (1 + this.#parts.random.next()));
  }

  #after(ms: number): void {
    this.#cancel ??= this.#parts.clock.after(ms, () => this.#round());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#left = [];
  }

  async #round(): Promise<void> {
    const cancelled = this.#cancel;
    const { clock } = this.#parts;
    const sinceMs = clock.now();
    let isIdle = false;
    let restMs: number | null = null;
    try {
      if (this.#left.length === 0) this.#left = [...this.#targets()];
      isIdle = this.#left.length === 0;
      await lookAtAll(await this.#nextKeys(), this.#look);
      if (this.#left.length > 0) restMs = this.#restMs?.(clock.now() - sinceMs) ?? null;
    } catch {
      // The store failed, which the node says elsewhere, or no quorum answers now.
    }
    // Nobody wants it any more, or somebody does anew and has started a round of their own.
    if (this.#cancel !== cancelled) return;
    this.#cancel = null;
    // What is wanted since this round began found it under way, and started none.
    if (restMs !== null) this.#after(restMs);
    else if (!isIdle || this.#targets().length > 0) this.start();
  }

  async #nextKeys(): Promise<string[]> {
    const keys = new Set<string>();
    while (keys.size < this.#maxKeys) {
      const target = this.#left.shift();
      if (target === undefined) break;
      if ("key" in target) {
        keys.add(target.key);
        continue;
      }
      const found = await this.#keysOf(target.prefix, target.after, this.#maxKeys - keys.size);
      for (const key of found.keys) keys.add(key);
      const last = found.keys.at(-1);
      if (last !== undefined && found.more) this.#left.unshift({ prefix: target.prefix, after: last });
    }
    return [...keys];
  }
}

/** Some at a time; resolves when all were looked at. */
export async function lookAtAll(keys: readonly string[], look: (key: string) => Promise<void>): Promise<void> {
  const left = [...keys];
  const one = async () => {
    for (let key = left.pop(); key !== undefined; key = left.pop()) await look(key);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}
