import { assert, assertEquals } from "@std/assert";
import { svgChart } from "../../src/observe/chart_svg.ts";

const count = (text: string, part: string) => text.split(part).length - 1;

Deno.test("svg: a line for each lane and arrow, a dot for each own step, the label of each row", () => {
  const svg = svgChart({
    lanes: ["client", "a", "b", "c"],
    rows: [
      { from: ["a"], to: ["b", "c"], label: "Accept!" },
      { from: ["b"], to: ["b"], label: "collision", remark: "collision" },
    ],
  });
  assert(svg.startsWith("<svg ") && svg.endsWith("</svg>\n"));
  assertEquals(count(svg, "<line "), 4 + 2);
  assertEquals(count(svg, "<circle "), 1);
  assert(svg.includes(">Accept!</text>") && svg.includes(">!! collision</text>"));
});

Deno.test("svg: nothing in a label or a name is markup", () => {
  const evil = `"><script>&`;
  const svg = svgChart({ lanes: [evil], rows: [{ from: [evil], to: [evil], label: evil }] });
  assertEquals(count(svg, "<script"), 0);
  assertEquals(count(svg, "&#60;script&#62;&#38;"), 2);
});
