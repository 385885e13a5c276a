/** A chart as SVG, of the same model as the text; alone in a file, without scripts or fonts of its own. */
import type { Chart, ChartRow } from "./chart.ts";

const LANE_PX = 72;
const ROW_PX = 22;
const TOP_PX = 34;
const LABEL_PX = 620;

export function svgChart({ lanes, rows }: Chart): string {
  const x = (lane: string) => LANE_PX / 2 + lanes.indexOf(lane) * LANE_PX;
  const widthPx = lanes.length * LANE_PX + LABEL_PX;
  const heightPx = TOP_PX + (rows.length + 1) * ROW_PX;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${widthPx} ${heightPx}" width="${widthPx}" height="${heightPx}"` +
    ` font-family="monospace" font-size="12">`,
    `<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">` +
    `<path d="M0 0L8 4L0 8z"/></marker></defs>`,
    `<rect width="100%" height="100%" fill="white"/>`,
    ...lanes.map((lane) => head(lane, x(lane), heightPx)),
    ...rows.map((row, i) => drawn(row, x, TOP_PX + (i + 1) * ROW_PX, lanes.length * LANE_PX)),
    "</svg>",
  ];
  return parts.join("\n") + "\n";
}

function head(lane: string, x: number, heightPx: number): string {
  return `<text x="${x}" y="20" text-anchor="middle" font-weight="bold">${escaped(lane)}</text>` +
    `<line x1="${x}" y1="28" x2="${x}" y2="${heightPx - 6}" stroke="silver"/>`;
}

function drawn(row: ChartRow, x: (lane: string) => number, y: number, labelX: number): string {
  const colour = row.remark === undefined ? "black" : "crimson";
  const label = `<text x="${labelX}" y="${y + 4}" fill="${colour}">${row.remark === undefined ? "" : "!! "}${
    escaped(row.label)
  }</text>`;
  const arrows = row.from.flatMap((from) =>
    row.to.map((to) =>
      from === to
        ? `<circle cx="${x(from)}" cy="${y}" r="4" fill="${colour}"/>`
        : `<line x1="${x(from)}" y1="${y}" x2="${x(to)}" y2="${y}" stroke="${colour}" marker-end="url(#head)"/>`
    )
  );
  return [...arrows, label].join("");
}

function escaped(text: string): string {
  return text.replace(/[<>&"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
