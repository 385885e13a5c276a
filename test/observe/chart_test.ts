import { assertEquals } from "@std/assert";
import { chartOf, CLIENT_LANE } from "../../src/observe/chart.ts";
import type { TraceEvent } from "../../src/observe/trace.ts";
import { answered, handled, sent, traceOf } from "./samples.ts";

function rows(...traces: readonly (readonly TraceEvent[])[]): readonly string[] {
  return chartOf(traces).rows.map(({ from, to, label }) => `${from} > ${to}: ${label}`);
}

Deno.test("chart: one row for a message to several and for the like replies that follow", () => {
  const a = traceOf("a", 0, handled("a"), sent("b"), sent("c"), answered("b"), answered("c"));
  assertEquals(rows(a, traceOf("b", 1, handled("a")), traceOf("c", 1, handled("a"))), [
    "a > a: own vote: V at 0..0",
    "a > b,c: 2a Accept!(0..0, 1) V",
    "b,c > a: 2b Accepted(0..0, 1) V",
  ]);
});

Deno.test("chart: a message sent again after something else is a row of its own", () => {
  assertEquals(rows(traceOf("a", 0, sent("b"), answered("c"), sent("b"))).length, 3);
  assertEquals(rows(traceOf("a", 0, sent("b"), sent("b"))).length, 2);
});

Deno.test("chart: acknowledgements are not drawn, silence is", () => {
  assertEquals(rows(traceOf("a", 0, answered("b", { type: "learned", instance: 1 }), answered("c", null))), [
    "a > a: no answer from c to 2a Accept!(0..0, 1)",
  ]);
});

Deno.test("chart: a direct client's Accept! and its answer, requests, remarks", () => {
  const receipt = { path: "fast", instance: 1, ballot: "0..0" };
  const trace = traceOf(
    "a",
    0,
    handled(""),
    { kind: "remark", remark: "collision", by: "acceptor", instance: 1, values: ["a/n/1", "b/n/1"] },
    { kind: "request", id: "k", what: "acquire" },
    { kind: "response", id: "k", what: "acquire", outcome: "ok", receipt },
  );
  assertEquals(rows(trace), [
    `${CLIENT_LANE} > a: 2a Accept!(0..0, 1) V`,
    `a > ${CLIENT_LANE}: 2b Accepted(0..0, 1) V`,
    "a > a: collision: a holds V, refuses W",
    `${CLIENT_LANE} > a: request acquire c1`,
    `a > ${CLIENT_LANE}: response acquire c1: ok, fast 1 0..0`,
  ]);
  assertEquals(chartOf([trace]).rows[2]!.remark, "collision");
});

Deno.test("chart: times and nonces leave no mark, lanes come as asked for", () => {
  const one = [traceOf("a", 0, sent("b")), traceOf("b", 1, handled("a"))];
  const text = JSON.stringify(one).replaceAll("a/n/1", "a/other/1").replaceAll('"atMs":0', '"atMs":77');
  assertEquals(chartOf(JSON.parse(text)), chartOf(one));
  assertEquals(chartOf(one, ["c", "b", "a"]).lanes, [CLIENT_LANE, "c", "b", "a"]);
  assertEquals(chartOf([]), { lanes: [CLIENT_LANE], rows: [] });
});
