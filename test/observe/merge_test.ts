import { assertEquals } from "@std/assert";
import { mergeTraces } from "../../src/observe/merge.ts";
import { answered, handled, sent, traceOf } from "./samples.ts";

function order(traces: Parameters<typeof mergeTraces>[0]): readonly string[] {
  return mergeTraces(traces).map(({ node, kind }) => `${node} ${kind}`);
}

Deno.test("merge: a message is sent, handled, answered in this order whatever the clocks say", () => {
  for (const skewMs of [-500, 0, 500]) {
    const traces = [traceOf("a", 1_000, sent("b"), answered("b")), traceOf("b", 1_000 + skewMs, handled("a"))];
    assertEquals(order(traces), ["a sent", "b handled", "a answered"], `${skewMs}`);
  }
});

Deno.test("merge: the first like message handled is the first sent", () => {
  const a = traceOf("a", 0, sent("b"), answered("b"), sent("b"), answered("b"));
  const b = traceOf("b", -100, handled("a"), handled("a"));
  assertEquals(order([b, a]), ["a sent", "b handled", "a answered", "a sent", "b handled", "a answered"]);
});

Deno.test("merge: what does not depend on each other goes by time, then by node", () => {
  const own = handled("", { type: "read" }, { type: "view" });
  assertEquals(order([traceOf("b", 5, own), traceOf("a", 5, own), traceOf("c", 4, own)]), [
    "c handled",
    "a handled",
    "b handled",
  ]);
});

Deno.test("merge: events that contradict each other, as after losses, are all there still", () => {
  // Each handled what the other sends only afterwards.
  const traces = [traceOf("a", 0, handled("b"), sent("b")), traceOf("b", 1, handled("a"), sent("a"))];
  assertEquals(order(traces), ["a handled", "a sent", "b handled", "b sent"]);
  assertEquals(order([]), []);
});
