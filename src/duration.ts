/** Durations as people write them. */
const UNITS_MS: Readonly<Record<string, number>> = { "": 1, ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** In ms: `1500`, `1500ms`, `1.5s`, `5m`, `24h`, `7d`; null: it is none. */
export function durationIn(text: string): number | null {
  const [, amount, unit = ""] = /^([0-9]{1,12}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  return amount === undefined ? null : Math.round(Number(amount) * UNITS_MS[unit]!);
}
