/** Durations as people write them. */
import { UsageError } from "./report.ts";

const UNITS_MS: Readonly<Record<string, number>> = { "": 1, ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** In ms: `1500`, `1500ms`, `1.5s`, `5m`, `24h`, `7d`. Throws UsageError for anything else. */
export function durationMs(text: string): number {
  const [, amount, unit = ""] = /^([0-9]{1,12}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  if (amount === undefined) throw new UsageError(`"${text}" is no duration; write it as 30s, 5m or 1500 for ms`);
  return Math.round(Number(amount) * UNITS_MS[unit]!);
}
