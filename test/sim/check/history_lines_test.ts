import { assertEquals, assertThrows } from "@std/assert";
import { decodeHistory, encodeHistory, type HistoryEvent } from "./history_lines.ts";

const EVENTS: readonly HistoryEvent[] = [
  { process: "c1", key: "k", op: "put", input: { value: "a" }, output: {}, callMs: 1, returnMs: 2.5, revision: "1025" },
  { process: "c2", key: "k", op: "put", input: { value: "b" }, output: "unknown", callMs: 2, returnMs: null },
  { process: "c1", key: "l", op: "acquire", input: {}, output: {}, callMs: 3, returnMs: 4, fence: "2049", node: "a" },
];

Deno.test("history lines: what was written is read, empty lines or not", () => {
  assertEquals(decodeHistory(encodeHistory(EVENTS)), EVENTS);
  assertEquals(decodeHistory(`\n${encodeHistory(EVENTS)}\n\n`), EVENTS);
  assertEquals(decodeHistory(""), []);
});

Deno.test("history lines: what is no event is refused with its line", () => {
  const good = encodeHistory(EVENTS.slice(0, 1));
  const bad: [unknown, string][] = [
    ["[]", "it is no object"],
    [{ ...EVENTS[0], process: 1 }, "process is no text"],
    [{ ...EVENTS[0], input: null }, "input is no object"],
    [{ ...EVENTS[0], output: "lost" }, "output is no object"],
    [{ ...EVENTS[0], callMs: "1" }, "callMs is no number"],
    [{ ...EVENTS[0], returnMs: 0 }, "returnMs is no number from callMs on"],
    [{ ...EVENTS[0], returnMs: null }, "returnMs is no number"],
    [{ ...EVENTS[1], returnMs: 3 }, "what is unknown has not returned"],
    [{ ...EVENTS[0], revision: 7 }, "revision is no text"],
  ];
  for (const [event, why] of bad) {
    const line = typeof event === "string" ? event : JSON.stringify(event);
    assertThrows(() => decodeHistory(`${good}${line}\n`), Error, `line 2 is no event: ${why}`);
  }
  assertThrows(() => decodeHistory("{"), Error, "line 1 is no event");
});
