/** What the routes call to watch, without HTTP: streams of events, and long polls. */
import type { Receipt } from "../api.ts";
import type { WatchedNoun } from "../nouns.ts";

export type WatchEvent = {
  /** `resync`: what the watcher knew so far may have changed in ways this watch will not tell. */
  readonly type: "changed" | "deleted" | "resync";
  /** One name's revision; `node.boot.n` for prefixes. */
  readonly id: string;
  /** What a GET of the name answers; null where a `resync` is about a prefix. */
  readonly body: object | null;
};
/** Called for each event, in order; the same event object goes to all who watch the same. */
export type Push = (event: WatchEvent) => void;
export type Stop = () => void;

/** Names that begin so, or, with `exact`, this one. */
export type NameRange = { readonly prefix: string; readonly exact: boolean };

/** A poll's answer, as of a read that a quorum confirmed; `body` is null where the thing is deleted. */
export type Polled = { readonly isNewer: boolean; readonly body: object | null; readonly receipt: Receipt };

export interface WatchService {
  /**
   * The state of a name as soon as its revision is above `after`, or what it is at the end of `waitMs` or when the caller
   * is gone. Rejects with `no-quorum`.
   */
  poll(
    noun: WatchedNoun,
    name: string,
    after: bigint,
    options: { readonly waitMs: number; readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Polled>;
  /**
   * Events of one name, the first with its state unless its revision is `after`. Resolves once that is pushed; rejects
   * with `no-quorum`. Whether a session is the caller's is for the caller to ask first.
   */
  watch(noun: WatchedNoun, name: string, after: bigint | null, timeoutMs: number, push: Push): Promise<Stop>;
  /**
   * Events of all names in these ranges. `after` is the id of the last event seen; if this node cannot go on from there
   * the first event is `resync`. Of sessions it tells those of `subject` only. Rejects with `not-ready`.
   */
  watchRanges(
    noun: WatchedNoun,
    ranges: readonly NameRange[],
    after: string | null,
    push: Push,
    subject?: string,
  ): Promise<Stop>;
}
