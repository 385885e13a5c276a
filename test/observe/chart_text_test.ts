import { assert, assertEquals } from "@std/assert";
import type { Chart } from "../../src/observe/chart.ts";
import { textChart } from "../../src/observe/chart_text.ts";

const LANES = ["client", "a", "b", "c"];

Deno.test("text: arrows to the right, to the left, both ways, past a lane; own steps and remarks", () => {
  const chart: Chart = {
    lanes: LANES,
    rows: [
      { from: ["client"], to: ["b"], label: "request" },
      { from: ["b"], to: ["a", "c"], label: "Accept!" },
      { from: ["a", "c"], to: ["b"], label: "Accepted" },
      { from: ["b"], to: ["b"], label: "decided" },
      { from: ["c"], to: ["c"], label: "collision", remark: "collision" },
      { from: ["b"], to: ["client"], label: "response" },
    ],
  };
  assertEquals(textChart(chart).split("\n"), [
    " client     a       b       c",
    "    X-------------->|       |     request",
    "    |       |<------X------>|     Accept!",
    "    |       X------>|<------X     Accepted",
    "    |       |       o       |     decided",
    "    |       |       |       !     !! collision",
    "    |<--------------X       |     response",
    "",
  ]);
});

Deno.test("text: five nodes and the client fit 120 columns, whatever a label says", () => {
  const lanes = ["client", "a", "b", "c", "d", "e"];
  const lines = textChart({ lanes, rows: [{ from: ["a"], to: ["e"], label: "x".repeat(500) }] }).split("\n");
  assertEquals(lines[1]!.length, 120);
  assert(lines[1]!.endsWith("x..."));
});

Deno.test("text: long names have wide lanes", () => {
  const name = "n".repeat(20);
  const [head, line] = textChart({ lanes: ["client", name], rows: [{ from: ["client"], to: [name], label: "m" }] })
    .split("\n");
  assert(head!.includes(` ${name}`));
  assertEquals(line!.indexOf(">|"), head!.indexOf(name) + 9);
});
