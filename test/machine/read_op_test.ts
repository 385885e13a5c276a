import { assertEquals } from "@std/assert";
import { readOp } from "../../src/machine/read_op.ts";
import { KeyLog, machine } from "./key_log.ts";

const acquire = { type: "acquire", holder: "h", mode: "shared", ttlMs: 1, lockDelayMs: 0, atMs: 0 };

Deno.test("what is no op is null, whatever it is", () => {
  const junk: unknown[] = [null, undefined, 7, "acquire", [], {}, { type: "fly" }, { type: 7 }, { type: "acquire" }];
  for (
    const [field, value] of [["ttlMs", 0], ["ttlMs", 1.5], ["ttlMs", NaN], ["mode", "both"], ["holder", 7]] as const
  ) {
    junk.push({ ...acquire, [field]: value });
  }
  junk.push({ ...acquire, wait: {} }, { ...acquire, wait: "a" }, { ...acquire, metadata: 7 }, { ...acquire, atMs: -1 });
  junk.push({ type: "renew", fence: 1025 }, { type: "renew", fence: "1;x" }, { type: "renew", fence: "1", ttlMs: 0 });
  junk.push({ type: "release", fence: "1025" }, { type: "force", atMs: 1 }, { type: "leave", atMs: 1 });
  junk.push({ type: "keep-places", places: [7] }, { type: "keep-places", places: "x" });
  for (const op of junk) assertEquals(readOp(op), null, JSON.stringify(op));
});

Deno.test("fields come out in one order, and unknown ones not at all", () => {
  const { type, holder, ...rest } = { ...acquire, metadata: "m", wait: { node: "b", more: 1 }, extra: 1 };
  const shuffled = { ...rest, holder, type };
  const expected = '{"type":"acquire","holder":"h","mode":"shared","ttlMs":1,"wait":{"node":"b"},"lockDelayMs":0,' +
    '"metadata":"m","atMs":0}';
  assertEquals(JSON.stringify(readOp(shuffled)), expected);
});

Deno.test("an unknown op in a value says so and changes nothing; the rest of the value is applied", () => {
  const log = new KeyLog();
  const fly = { subject: "s", id: "x", born: 1, op: { type: "fly" } };
  const [first, second] = log.decide([fly, log.ask("h")]);
  assertEquals([first?.outcome, second?.outcome], ["unknown-op", "granted"]);
  assertEquals(log.hold.fence, "1025");
  assertEquals(machine.resultOf(log.state, fly), { outcome: "unknown-op" });
});
