/** What waits in an owner store, and what an atomic is made of. */
import type { AcceptorRecord } from "../paxos/message.ts";
import type { Move, StepResult } from "../ports.ts";
import type { Entry } from "./record_cache.ts";

export type Step = (record: AcceptorRecord | null) => StepResult<unknown>;

export type Waiter = {
  readonly step: Step;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** The record is to be written whole, whatever the step makes of it. */
  readonly isWhole: boolean;
  /** Its step knows what to make of a damaged record. */
  readonly mends: boolean;
  /** Commits refused so far with this update in them. */
  refusals: number;
  /** The step's last run, good as long as it would see the same again. */
  run: Run | null;
};

export type Run = {
  readonly base: AcceptorRecord | null;
  readonly saw: AcceptorRecord | null;
  readonly result: StepResult<unknown>;
  /** What moves `base` on to the result; null if something else does, or the step wrote nothing. */
  readonly moves: readonly Move[] | null;
  /** The entry of the log by which disk goes from `base` to the result; null: it is to be written whole, or not at all. */
  readonly json: string | null;
};

/** One key's share of an atomic. */
export type Part = {
  readonly entry: Entry<Waiter>;
  readonly record: AcceptorRecord;
  /** Its entry of the log; null: it is written whole. */
  readonly json: string | null;
  /** Whether the index of live records is to have it; null: it says so already. */
  readonly live: { readonly key: string; readonly is: boolean } | null;
  /** Its rows, once it is known in which commit they are written; null for one that is to be none. */
  readonly rows: readonly (readonly [key: Deno.KvKey, value: Uint8Array | null])[] | null;
  readonly bytes: number;
  readonly keyBytes: number;
};
