/** What waits in an owner store, and what an atomic is made of. */
import type { AcceptorRecord } from "../paxos/message.ts";
import type { StepResult } from "../ports.ts";
import type { RecordWrite } from "./ledger.ts";
import type { Entry } from "./record_cache.ts";
import type { RecordRows } from "./rows.ts";

export type Step = (record: AcceptorRecord | null) => StepResult<unknown>;

export type Waiter = {
  readonly step: Step;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** Commits refused so far with this update in them. */
  refusals: number;
  /** The step's last run, good as long as it would see the same again. */
  run: Run | null;
};

export type Run = {
  readonly base: AcceptorRecord | null;
  readonly saw: AcceptorRecord | null;
  readonly result: StepResult<unknown>;
  /** What to write so that disk goes from `base` to the result; null if the step wrote nothing. */
  readonly rows: RecordRows | null;
};

/** One key's share of an atomic. */
export type Part = {
  readonly entry: Entry<Waiter>;
  readonly record: AcceptorRecord;
  readonly write: RecordWrite;
  readonly bytes: number;
  readonly keyBytes: number;
};

export type Flush = { readonly upTo: number; readonly resolve: () => void; readonly reject: (error: unknown) => void };
