/** The flags that `lock`, `elect` and `semaphore` have alike. */
import { TTL_DEFAULT_MS, TTL_MAX_MS, TTL_MIN_MS } from "../limits.ts";
import type { Common } from "./cluster.ts";
import { durationMs } from "./duration.ts";
import { UsageError } from "./report.ts";

export type HoldFlags = Common & {
  readonly nonblock?: true;
  readonly wait?: string;
  readonly conflictExitCode: string;
  readonly ttl?: string;
  readonly grace?: string;
};

export type HoldTimes = {
  readonly ttl: number;
  /** Infinity: for ever. */
  readonly wait: number;
  readonly graceMs: number;
};

const GRACE_DEFAULT_MS = 5_000;
/** A hold is renewed when a third of it has passed, and this much is for renewals that fail. */
const GRACE_MAX_SHARE = 1 / 3;

/** Throws UsageError. */
export function holdTimes(flags: HoldFlags): HoldTimes {
  const ttl = flags.ttl === undefined ? TTL_DEFAULT_MS : durationMs(flags.ttl);
  if (ttl < TTL_MIN_MS || ttl > TTL_MAX_MS) throw new UsageError(`--ttl is ${TTL_MIN_MS} ms to ${TTL_MAX_MS} ms`);
  const graceMax = Math.floor(ttl * GRACE_MAX_SHARE);
  const graceMs = flags.grace === undefined ? Math.min(GRACE_DEFAULT_MS, graceMax) : durationMs(flags.grace);
  if (graceMs > graceMax) throw new UsageError(`--grace is at most a third of --ttl, which is ${graceMax} ms`);
  if (flags.nonblock && flags.wait !== undefined) throw new UsageError("--nonblock and --wait exclude each other");
  const wait = flags.nonblock ? 0 : flags.wait === undefined ? Infinity : durationMs(flags.wait);
  return { ttl, graceMs, wait };
}

/** Throws UsageError. */
export function exitCodeIn(text: string, flag: string): number {
  const code = /^[0-9]{1,3}$/.test(text) ? Number(text) : 256;
  if (code > 255) throw new UsageError(`${flag} is a number from 0 to 255`);
  return code;
}

/** A whole number from 1 on. Throws UsageError. */
export function countIn(text: string, flag: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new UsageError(`${flag} is a whole number from 1 on`);
  return Number(text);
}
