import { assert, assertEquals } from "@std/assert";
import { COMMANDS_PER_VALUE, VALUE_MAX_BYTES } from "../../src/limits.ts";
import { batchValues, fitting } from "../../src/paxos/batch.ts";
import type { Value } from "../../src/paxos/message.ts";
import { classic, command, directValue, frozen, machine, valueOf } from "./samples.ts";

const CLAIM: Value = { ...valueOf("c"), claims: [{ id: "hold", by: "z" }] };

function batch(collided: readonly Value[]): Value | null {
  return batchValues(machine, "new", "a", frozen(collided));
}

Deno.test("all commands of all values, in the machine's order, whatever order the values came in", () => {
  const values = [valueOf("b"), directValue("x"), valueOf("a")];
  const expected = { id: "new", proposer: "a", commands: [command("a1"), command("b1"), command("x")] };
  assertEquals(batch(values), expected);
  assertEquals(batch(values.toReversed()), expected);
});

Deno.test("nothing collided, nothing to propose", () => {
  assertEquals(batch([]), null);
});

Deno.test("a claim never joins a batch: it goes alone, as it was, and only if nothing else waits", () => {
  assertEquals(batch([CLAIM, valueOf("b")])?.commands, [command("b1")]);
  assertEquals(batch([CLAIM, valueOf("b")])?.claims, undefined);
  assertEquals(batch([CLAIM]), CLAIM);
});

Deno.test("a change of mode is kept, that of a claim left out is not", () => {
  assertEquals(batch([valueOf("a"), valueOf("b", 1, { nextMode: classic("b") })])?.nextMode, classic("b"));
  assertEquals(batch([valueOf("a"), { ...CLAIM, nextMode: classic("b") }])?.nextMode, undefined);
});

Deno.test("a batch fits one value, by number and by weight; the first command always fits", () => {
  const many = Array.from({ length: COMMANDS_PER_VALUE + 5 }, (_, i) => command(`${i}`));
  assertEquals(fitting(many), many.slice(0, COMMANDS_PER_VALUE));
  const heavy = Array.from({ length: 8 }, (_, i) => command(`${i}${"x".repeat(4_000)}`));
  const fit = fitting(heavy);
  assert(fit.length > 0 && fit.length < heavy.length);
  assertEquals(fit, heavy.slice(0, fit.length));
  assert(new TextEncoder().encode(JSON.stringify(fit)).length <= VALUE_MAX_BYTES);
  const wide = Array.from({ length: 8 }, (_, i) => command(`${i}${"€".repeat(4_000)}`));
  assert(new TextEncoder().encode(JSON.stringify(fitting(wide))).length <= VALUE_MAX_BYTES);
  assertEquals(fitting([command("x".repeat(VALUE_MAX_BYTES))]).length, 1);
  assertEquals(fitting([]), []);
});
