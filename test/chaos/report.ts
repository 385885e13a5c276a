/** The table of a run, and what it means. */
import type { MixResult } from "./run_mix.ts";

/** Below this before the faults a machine is too busy for the rest to mean anything. */
export const CALM_MIN_PER_SECOND = 100;
export const HEAL_AIM_MS = 2_000;
export const SUCCESS_AIM = 0.999;
const LINES_SHOWN = 5;

export type Verdict = {
  readonly lines: readonly string[];
  /** 0: nothing wrong; 1: something is; 2: void, it would not have shown. */
  readonly exitCode: 0 | 1 | 2;
};

type Row = readonly (string | number)[];

const HEAD: Row = [
  "mix",
  "operations",
  "ops/s before",
  "grants",
  "unknown",
  "kills",
  "pauses",
  "partitions",
  "other faults",
  "lost acked",
  "fenced viol.",
  "contradictions",
  "writable p50/p99 ms",
  "granted p50/p99 ms",
  "success %",
];

export function table(results: readonly MixResult[]): string {
  const rows = [HEAD, ...results.map(row), total(results)].map((cells) => cells.map(String));
  const widths = HEAD.map((_, column) => Math.max(...rows.map((cells) => cells[column]!.length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join(" | ")} |`;
  const rule = `|${widths.map((width, i) => i === 0 ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`).join("|")}|`;
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join("\n");
}

function row(result: MixResult): Row {
  const { mix, operations, calmPerSecond, grants, unknown, counts, holderPauses, lost, heal, success } = result;
  return [
    mix,
    operations,
    calmPerSecond.toFixed(0),
    grants,
    unknown,
    counts.kills,
    counts.pauses + holderPauses,
    counts.partitions,
    others(result) || "-",
    lost.length,
    result.fencedViolations.length,
    result.contradictions.length,
    percentiles(heal.writable),
    percentiles(heal.granted),
    share(success),
  ];
}

function total(results: readonly MixResult[]): Row {
  const sum = (of: (result: MixResult) => number) => results.reduce((all, result) => all + of(result), 0);
  const all = (of: (result: MixResult) => readonly number[]) => results.flatMap(of);
  return [
    "all",
    sum(({ operations }) => operations),
    "",
    sum(({ grants }) => grants),
    sum(({ unknown }) => unknown),
    sum(({ counts }) => counts.kills),
    sum(({ counts, holderPauses }) => counts.pauses + holderPauses),
    sum(({ counts }) => counts.partitions),
    "",
    sum(({ lost }) => lost.length),
    sum(({ fencedViolations }) => fencedViolations.length),
    sum((result) => result.contradictions.length),
    percentiles(all(({ heal }) => heal.writable)),
    percentiles(all(({ heal }) => heal.granted)),
    share({ definite: sum(({ success }) => success.definite), asked: sum(({ success }) => success.asked) }),
  ];
}

function others({ counts, links, disk }: MixResult): string {
  const { lostRequests, lostResponses, delayed, repeated } = links;
  return [
    counts.rollbacks > 0 ? `${counts.rollbacks} rollbacks` : "",
    counts.fullDisks > 0 ? `${counts.fullDisks} full disks (${disk})` : "",
    lostRequests + lostResponses > 0 ? `lost ${lostRequests}+${lostResponses}` : "",
    delayed + repeated > 0 ? `late ${delayed}, twice ${repeated}` : "",
  ].filter((text) => text !== "").join(", ");
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

function percentiles(values: readonly number[]): string {
  return `${percentile(values, 0.5).toFixed(0)}/${percentile(values, 0.99).toFixed(0)}`;
}

function share({ definite, asked }: MixResult["success"]): string {
  return asked === 0 ? "-" : (100 * definite / asked).toFixed(3);
}

export function verdict(results: readonly MixResult[]): Verdict {
  const lines: string[] = [];
  let [isWrong, isVoid] = [false, false];
  for (const result of results) {
    const { mix, calmPerSecond, lost, contradictions, fencedViolations, unfencedViolations, refusedWrites } = result;
    const faults = { "lost acknowledged writes": lost, contradictions, "fenced violations": fencedViolations };
    for (const [what, list] of Object.entries(faults)) {
      if (list.length === 0) continue;
      isWrong = true;
      lines.push(`WRONG ${mix}: ${list.length} ${what}`, ...list.slice(0, LINES_SHOWN).map((line) => `  ${line}`));
    }
    if (calmPerSecond < CALM_MIN_PER_SECOND) {
      isVoid = true;
      lines.push(`VOID ${mix}: ${calmPerSecond.toFixed(0)} operations/s before the faults, not ${CALM_MIN_PER_SECOND}`);
    }
    if (result.holderPauses > 0 || mix === "pause") {
      const control = `without fence checks ${unfencedViolations.length} updates were lost, with them ` +
        `${fencedViolations.length}; ${refusedWrites} late accesses refused, ${result.holderPauses} holders paused`;
      if (unfencedViolations.length === 0) isVoid = true;
      lines.push(`${unfencedViolations.length === 0 ? "VOID" : "control"} ${mix}: ${control}`);
    }
    lines.push(...aims(result));
  }
  return { lines, exitCode: isWrong ? 1 : isVoid ? 2 : 0 };
}

function aims({ mix, heal, success }: MixResult): string[] {
  const lines: string[] = [];
  const p99 = percentile(heal.writable, 0.99);
  if (p99 > HEAL_AIM_MS) {
    lines.push(`aim missed ${mix}: writable again after ${p99.toFixed(0)} ms (p99), ${HEAL_AIM_MS} aimed at`);
  }
  if (mix === "minority-down") {
    const isMet = success.definite >= success.asked * SUCCESS_AIM;
    lines.push(
      `aim ${isMet ? "met" : "missed"} ${mix}: ${success.definite} of ${success.asked} operations had a definite ` +
        `answer, ${SUCCESS_AIM * 100} % aimed at`,
    );
  }
  return lines;
}
