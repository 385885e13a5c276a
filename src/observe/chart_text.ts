/** A chart in text: lanes across, time down, arrows between them, what they say at the right. */
import type { Chart, ChartRow } from "./chart.ts";

const COLUMNS_MAX = 120;
const LANE_MIN = 8;
/** `X` sends, `>` and `<` arrive, `o` is a step of its own, `!` a remark. */
const SENDER = "X";

/** At most 120 columns wide for five nodes; a label that does not fit is cut. */
export function textChart({ lanes, rows }: Chart): string {
  const width = Math.max(LANE_MIN, ...lanes.map((lane) => lane.length + 2));
  const column = (lane: string) => Math.floor(width / 2) + lanes.indexOf(lane) * width;
  const names = lanes.map((lane) => centred(lane, width)).join("").trimEnd();
  const lines = rows.map((row) => {
    const label = `${row.remark === undefined ? "" : "!! "}${row.label}`;
    return clipped(`${drawn(row, lanes, column, width)}  ${label}`);
  });
  return [names, ...lines].join("\n") + "\n";
}

function drawn(row: ChartRow, lanes: readonly string[], column: (lane: string) => number, width: number): string {
  const line = Array.from({ length: lanes.length * width }, () => " ");
  for (const lane of lanes) line[column(lane)] = "|";
  const from = row.from.map(column);
  const to = row.to.map(column);
  if (from.length === 1 && to.length === 1 && from[0] === to[0]) {
    line[from[0]!] = row.remark === undefined ? "o" : "!";
    return line.join("");
  }
  for (let at = Math.min(...from, ...to); at <= Math.max(...from, ...to); at++) line[at] = "-";
  for (const at of to) line[at] = "|";
  for (const at of from) line[at] = SENDER;
  for (const at of to) {
    if (from.some((sender) => sender < at)) line[at - 1] = ">";
    if (from.some((sender) => sender > at)) line[at + 1] = "<";
  }
  return line.join("");
}

function centred(name: string, width: number): string {
  const before = Math.max(0, Math.floor(width / 2) - Math.floor(name.length / 2));
  return (" ".repeat(before) + name).padEnd(width);
}

function clipped(line: string): string {
  return line.length <= COLUMNS_MAX ? line : `${line.slice(0, COLUMNS_MAX - 3)}...`;
}
