/**
 * Watching: what was decided, as this node learns it (PROTOCOL.md §5). Every event is a decided state, in the order of its
 * revisions, and all but the first are of the own record, in memory at least, or of a read quorum where that record has stopped;
 * of changes in quick succession the last is always told, those before it may not be. The first is at least as new as every
 * write that was answered before the watch began.
 */
import { GRANTS_PER_INSTANCE } from "../limits.ts";
import { keyState } from "../machine/state.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { Snapshot, State } from "../paxos/message.ts";
import { catchUp, type CatchUpParts } from "./catch_up.ts";
import { goneBody, KEY_PREFIXES, nounOf, nounOfKey, type WatchedNoun } from "../nouns.ts";
import { isVisibleTo, type NounViews } from "../service/views/nouns.ts";
import type { NameRange, Polled, Push, Stop, WatchEvent, WatchService } from "../service/watch_service.ts";
import { receiptOf } from "../engine/receipt.ts";
import { Recent } from "./recent.ts";
import type { BallotStore } from "../ports.ts";
import type { Poller, Target } from "../replica/poller.ts";
import { SharedStorePoller } from "../replica/shared_store_poller.ts";

export type WatchParts = CatchUpParts & {
  readonly store: BallotStore;
  readonly views: NounViews;
  /** Default: the first. */
  readonly epoch?: number;
};

/** A change as both kinds of watchers are told it; bodies are made once, for the first who needs one. */
type Change = {
  readonly revision: bigint;
  readonly asRevision: () => WatchEvent;
  readonly asNumbered: () => WatchEvent;
};

type NameWatcher = {
  readonly push: Push;
  /** The revision told last; null until the first read is done. */
  told: bigint | null;
  /** The newest seen before that. */
  early: Change | null;
};
type RangeWatcher = {
  readonly push: Push;
  readonly noun: WatchedNoun;
  readonly ranges: readonly NameRange[];
  readonly subject: string | null;
  /** Changes during the start, the last of each key; null afterwards. */
  early: Map<string, Change> | null;
};

export class Watching implements WatchService {
  readonly #parts: WatchParts;
  readonly #me: NodeId;
  readonly #names = new Map<string, Set<NameWatcher>>();
  readonly #ranges = new Set<RangeWatcher>();
  readonly #recent = new Recent();
  readonly #catchUp: Pick<Poller, "start" | "stop">;
  /** Shared stores only. */
  readonly #sharedStore: SharedStorePoller | null;

  constructor(parts: WatchParts) {
    this.#parts = parts;
    this.#me = parts.acceptor.rules.me;
    this.#catchUp = catchUp(parts, () => this.#targets());
    this.#sharedStore = parts.store.isShared ? new SharedStorePoller(parts, () => this.#targets()) : null;
    if (this.#sharedStore !== null) parts.acceptor.onListen(() => this.#sharedStore?.start());
    parts.acceptor.onAnyMove((key, snapshot, from) => this.#moved(key, snapshot, from));
  }

  /** How many watch now. */
  get watchers(): number {
    let count = this.#ranges.size;
    for (const watchers of this.#names.values()) count += watchers.size;
    return count;
  }

  close(): void {
    this.#catchUp.stop();
    this.#sharedStore?.stop();
  }

  async poll(
    noun: WatchedNoun,
    name: string,
    after: bigint,
    { waitMs, timeoutMs, signal }: {
      readonly waitMs: number;
      readonly timeoutMs: number;
      readonly signal?: AbortSignal;
    },
  ): Promise<Polled> {
    const { reader, clock } = this.#parts;
    const key = KEY_PREFIXES[noun] + name;
    if (waitMs > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const gone = () => resolve();
      const cancel = clock.after(waitMs, gone);
      signal?.addEventListener("abort", gone, { once: true });
      if (signal?.aborted) gone();
      let stop = () => {};
      try {
        stop = await this.watch(noun, name, after, timeoutMs, () => resolve());
        await promise;
      } finally {
        stop();
        cancel();
        signal?.removeEventListener("abort", gone);
      }
    }
    // Read at the end, so that "nothing newer" too is as of the moment it is said.
    const snapshot = await reader.read(key, timeoutMs);
    const body = this.#parts.views[noun](name, key, snapshot.state);
    const receipt = { ...receiptOf(snapshot.decidedBy), path: "read" } as const;
    return { isNewer: revisionOf(snapshot) !== after, body, receipt };
  }

  async watch(noun: WatchedNoun, name: string, after: bigint | null, timeoutMs: number, push: Push): Promise<Stop> {
    const key = KEY_PREFIXES[noun] + name;
    const watcher: NameWatcher = { push, told: null, early: null };
    const watchers = this.#names.get(key) ?? new Set();
    this.#names.set(key, watchers.add(watcher));
    this.#start();
    const stop = () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#names.get(key) === watchers) this.#names.delete(key);
    };
    try {
      // A node that must not speak of its own record, as one that was rolled back, would fall silent after the first event.
      await this.#parts.acceptor.shown(key);
      // Listening first and reading then: what is decided between the two is in one of them.
      const read = this.#change(key, await this.#parts.reader.read(key, timeoutMs), 0);
      const first = watcher.early !== null && watcher.early.revision > read.revision ? watcher.early : read;
      watcher.told = first.revision;
      watcher.early = null;
      this.#parts.expire(key);
      // As in a cluster that was restored: this name never was where the watcher believes it to be.
      if (after !== null && after > first.revision) push({ ...first.asRevision(), type: "resync" });
      else if (after === null || after < first.revision) push(first.asRevision());
      return stop;
    } catch (error) {
      stop();
      throw error;
    }
  }

  async watchRanges(
    noun: WatchedNoun,
    ranges: readonly NameRange[],
    after: string | null,
    push: Push,
    subject: string | null = null,
  ): Promise<Stop> {
    const { acceptor } = this.#parts;
    const watcher: RangeWatcher = { push, noun, ranges, subject, early: new Map() };
    const resync: WatchEvent = { type: "resync", id: this.#idOf(this.#recent.count), body: null };
    const missed = this.#missedSince(after)?.filter(({ key }) => isInRange(watcher, key)) ?? null;
    this.#ranges.add(watcher);
    this.#start();
    const stop = () => {
      this.#ranges.delete(watcher);
    };
    try {
      const views = await Promise.all((missed ?? []).map(({ key }) =>
        acceptor.shown(key).catch((error) => {
          if (acceptor.stopped.has(key)) return null;
          throw error;
        })
      ));
      // Also where nothing was missed: a node that must not speak of its record cannot tell of its changes.
      if (views.length === 0) await acceptor.shown(KEY_PREFIXES[noun]);
      // Before the `resync`: what is there by now is what the watcher reads when told so, and only the rest is news.
      await Promise.all(ranges.map(({ prefix }) => this.#sharedStore?.meet(KEY_PREFIXES[noun] + prefix)));
      // Where the name's record has stopped here, it cannot be said what it missed.
      if (missed === null || views.includes(null)) push(resync);
      else {missed.forEach(({ key, n }, i) => {
          const { snapshot } = views[i]!;
          if (watcher.early!.has(key) || !isVisibleTo(noun, subject, snapshot.state)) return;
          push(this.#change(key, snapshot, n).asNumbered());
        });}
      for (const change of watcher.early!.values()) push(change.asNumbered());
      watcher.early = null;
      return stop;
    } catch (error) {
      stop();
      throw error;
    }
  }

  /** Costs nothing but a note where nobody watches. */
  #moved(key: string, snapshot: Snapshot, from: number): void {
    const noun = nounOf(key);
    // Renewals of places move a record too, and no reader sees them.
    if (noun === null || !isChangedSince(snapshot, from)) return;
    const n = this.#recent.note(key);
    const named = this.#names.get(key);
    if (named === undefined && this.#ranges.size === 0) return;
    // A holder that died is news, and where nobody else wants the thing only its watchers are there to find it out.
    const ranged = [...this.#ranges].filter((watcher) => isWatched(watcher, key, snapshot.state));
    if (named !== undefined || ranged.length > 0) this.#parts.expire(key);
    const change = this.#change(key, snapshot, n);
    for (const watcher of [...named ?? []]) {
      if (watcher.told === null) watcher.early = change;
      else if (change.revision > watcher.told) {
        watcher.told = change.revision;
        watcher.push(change.asRevision());
      }
    }
    for (const watcher of ranged) {
      if (watcher.early === null) watcher.push(change.asNumbered());
      else {
        watcher.early.delete(key);
        watcher.early.set(key, change);
      }
    }
  }

  #change(key: string, snapshot: Snapshot, n: number): Change {
    const { noun, name } = nounOfKey(key)!;
    const revision = revisionOf(snapshot);
    const event = once(() => {
      const body = this.#parts.views[noun](name, key, snapshot.state);
      return {
        type: body === null ? "deleted" : "changed",
        id: `${revision}`,
        body: body ?? goneBody(noun, name, `${revision}`),
      } as const;
    });
    return {
      revision,
      asRevision: event,
      asNumbered: once(() => ({ ...event(), id: this.#idOf(n) })),
    };
  }

  #idOf(n: number): string {
    return `${this.#me}.${this.#run}.${n}`;
  }

  /** Who counts: another node that begins in the same process counts anew, and does so in another epoch. */
  get #run(): string {
    const { epoch = 0 } = this.#parts;
    return epoch === 0 ? `${this.#boot}` : `${this.#boot}e${epoch}`;
  }

  get #boot(): number {
    return this.#parts.store.identity()?.boot ?? 0;
  }

  #missedSince(after: string | null): readonly { readonly key: string; readonly n: number }[] | null {
    const [, node, run, n] = /^([^.]+)\.([1-9][0-9]*(?:e[1-9][0-9]*)?)\.(0|[1-9][0-9]{0,14})$/.exec(after ?? "") ?? [];
    // A shared store is at boot 0 for ever: nobody can tell one process that counts from another.
    if (n === undefined || node !== this.#me || run !== this.#run) return null;
    return this.#recent.since(Number(n));
  }

  #targets(): readonly Target[] {
    const targets = new Map<string, Target>();
    for (const key of this.#names.keys()) targets.set(`=${key}`, { key });
    for (const { noun, ranges } of this.#ranges) {
      for (const { prefix, exact } of ranges) {
        const key = KEY_PREFIXES[noun] + prefix;
        if (exact) targets.set(`=${key}`, { key });
        else targets.set(key, { prefix: key, after: "" });
      }
    }
    return [...targets.values()];
  }

  /**
   * What is started ends by itself when a round finds nobody. Ended with the last stream, it would never come to a round where
   * each stream is cut off sooner than one lasts, as proxies do.
   */
  #start(): void {
    this.#catchUp.start();
    this.#sharedStore?.start();
  }
}

function isWatched(watcher: RangeWatcher, key: string, state: State): boolean {
  return isInRange(watcher, key) && isVisibleTo(watcher.noun, watcher.subject, state);
}

function isInRange({ noun, ranges }: RangeWatcher, key: string): boolean {
  const kind = KEY_PREFIXES[noun];
  if (!key.startsWith(kind)) return false;
  const name = key.slice(kind.length);
  return ranges.some(({ prefix, exact }) => exact ? name === prefix : name.startsWith(prefix));
}

function isChangedSince(snapshot: Snapshot, from: number): boolean {
  const { revision } = keyState(snapshot.state);
  // Where the numbers are exact, as nearly always.
  const least = from * GRANTS_PER_INSTANCE;
  if (Number.isSafeInteger(least) && Number.isSafeInteger(Number(revision))) return Number(revision) >= least;
  return revisionOf(snapshot) >= BigInt(from) * BigInt(GRANTS_PER_INSTANCE);
}

function revisionOf({ state }: Snapshot): bigint {
  return BigInt(keyState(state).revision);
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => (made ??= { value: make() }).value;
}
