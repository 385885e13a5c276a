/** What was measured, as a table, as JSON, and as a chart: ratios of medians of one run. */
import { median, type Sample } from "./measure.ts";

export type Cell = {
  readonly load: string;
  readonly n: number;
  readonly workers: number;
  /** By system, in the order they were measured. */
  readonly samples: Readonly<Record<string, readonly Sample[]>>;
};

export type Run = {
  readonly at: string;
  readonly machine: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly leftOut: readonly string[];
  readonly cells: readonly Cell[];
};

/** As in `Sample`; what nobody knows is NaN. */
type Figures = { readonly [name in keyof Sample]: number };

export function mediansOf(samples: readonly Sample[]): Figures {
  const of = (pick: (sample: Sample) => number) => median(samples.map(pick));
  return {
    perSecond: of(({ perSecond }) => perSecond),
    p50Ms: of(({ p50Ms }) => p50Ms),
    p99Ms: of(({ p99Ms }) => p99Ms),
    cpuUs: of(({ cpuUs }) => cpuUs ?? NaN),
    memory: of(({ memory }) => memory ?? NaN),
  };
}

/** `own` against each other system: above 1 it does more a second. */
export function ratiosOf(cell: Cell, own: string): readonly { readonly other: string; readonly ratio: Figures }[] {
  const mine = mediansOf(cell.samples[own] ?? []);
  return Object.keys(cell.samples).filter((name) => name !== own).map((other) => {
    const theirs = mediansOf(cell.samples[other]!);
    const ratio = {
      perSecond: mine.perSecond / theirs.perSecond,
      p50Ms: mine.p50Ms / theirs.p50Ms,
      p99Ms: mine.p99Ms / theirs.p99Ms,
      cpuUs: mine.cpuUs / theirs.cpuUs,
      memory: mine.memory / theirs.memory,
    };
    return { other, ratio };
  });
}

/** One line a cell and system, Markdown. */
export function tableOf({ cells }: Pick<Run, "cells">, own: string): string {
  const head =
    "| load | n | workers | against | rate | p50 | p99 | CPU | memory |\n|---|---|---|---|---|---|---|---|---|";
  const lines = cells.flatMap((cell) =>
    ratiosOf(cell, own).map(({ other, ratio }) => {
      const figures = [ratio.perSecond, ratio.p50Ms, ratio.p99Ms, ratio.cpuUs, ratio.memory].map(times).join(" | ");
      return `| ${cell.load} | ${cell.n} | ${cell.workers} | ${other} | ${figures} |`;
    })
  );
  return [head, ...lines].join("\n");
}

function times(ratio: number): string {
  return Number.isFinite(ratio) ? `${ratio.toFixed(2)}×` : "–";
}

const BAR = { height: 18, gap: 8, left: 330, width: 360, most: 3 } as const;

/** Rates of `own` as bars; the line is where it does as much as the other. */
export function chartOf(run: Pick<Run, "cells">, own: string): string {
  const bars = run.cells.flatMap((cell) =>
    ratiosOf(cell, own).map(({ other, ratio: { perSecond } }) => ({
      label: `${cell.load}, n=${cell.n}, ${cell.workers} workers, against ${other}`,
      ratio: perSecond,
    }))
  );
  const x = (ratio: number) => BAR.left + BAR.width * Math.min(ratio, BAR.most) / BAR.most;
  const height = bars.length * (BAR.height + BAR.gap) + BAR.gap;
  const lines = bars.map(({ label, ratio }, i) => {
    const y = BAR.gap + i * (BAR.height + BAR.gap);
    const mid = y + BAR.height - 5;
    return `<text x="${BAR.left - 8}" y="${mid}" text-anchor="end">${label}</text>` +
      `<rect x="${BAR.left}" y="${y}" width="${(x(ratio) - BAR.left).toFixed(1)}" height="${BAR.height}"/>` +
      `<text x="${(x(ratio) + 6).toFixed(1)}" y="${mid}">${times(ratio)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 ${height}" font-family="sans-serif" font-size="12">` +
    `<style>text{fill:#333}rect{fill:#3b7dd8}line{stroke:#c33}</style>${lines.join("")}` +
    `<line x1="${x(1)}" x2="${x(1)}" y1="0" y2="${height}"/></svg>\n`;
}
