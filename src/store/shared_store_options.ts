/** What a shared store is opened with. */
import type { Clock, Randomness } from "../ports.ts";

/** What is used of a database. Reads are strong ones; none of `watch`, `sum` and the database's own expiry. */
export type SharedKv = Pick<Deno.Kv, "getMany" | "atomic" | "list" | "close">;

export type SharedStoreOptions = {
  readonly kv: SharedKv;
  /** For errors; no secret. */
  readonly name: string;
  /** Unlike that of any other process that serves this database. */
  readonly run: string;
  readonly clock: Clock;
  readonly random: Randomness;
  /** After this long without an answer from the database the outcome of a call counts as unknown: its client never gives up. */
  readonly callMs?: number;
  /** Called where a commit found its record changed by another process. */
  readonly onConflict?: () => void;
  /** After this long an update gives up. */
  readonly updateMs?: number;
};
