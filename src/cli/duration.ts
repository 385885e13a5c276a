/** Durations that commands are given. */
import { durationIn } from "../duration.ts";
import { UsageError } from "./report.ts";

/** In ms, as `durationIn`. Throws UsageError for what is none. */
export function durationMs(text: string): number {
  const ms = durationIn(text);
  if (ms === null) throw new UsageError(`"${text}" is no duration; write it as 30s, 5m or 1500 for ms`);
  return ms;
}
