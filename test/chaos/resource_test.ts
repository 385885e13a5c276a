import { assertEquals } from "@std/assert";
import { lostUpdates, Resource } from "./resource.ts";

/** A holder reads, stands still until the next one has come and gone, and writes. */
function lateWrite(resource: Resource): (boolean | null)[] {
  const base = resource.read("x", "1")!;
  const next = resource.read("x", "2")!;
  return [resource.write("x", "2", next), resource.write("x", "1", base)];
}

Deno.test("resource: without the guard a late write undoes another; with it, it is refused", () => {
  const [guarded, unguarded] = [new Resource({ guarded: true }), new Resource({ guarded: false })];
  assertEquals(lateWrite(unguarded), [true, true]);
  assertEquals(lostUpdates(unguarded.writes), ["x: fence 1 wrote 1 over 1"]);
  assertEquals(lateWrite(guarded), [true, false]);
  assertEquals([lostUpdates(guarded.writes), guarded.refused], [[], 1]);
});

Deno.test("resource: a read counts as an access: what is based on an older one is refused after it", () => {
  const guarded = new Resource({ guarded: true });
  const base = guarded.read("x", "1")!;
  guarded.read("x", "2");
  assertEquals([guarded.write("x", "1", base), guarded.read("x", "1"), guarded.highest("x")], [false, null, 2n]);
});

Deno.test("resource: the guard cannot help if two holders have one fence, and the check finds that", () => {
  const guarded = new Resource({ guarded: true });
  const [one, two] = [guarded.read("x", "1")!, guarded.read("x", "1")!];
  assertEquals([guarded.write("x", "1", one), guarded.write("x", "1", two)], [true, true]);
  assertEquals(lostUpdates(guarded.writes).length, 1);
  assertEquals(lostUpdates([...guarded.writes, { key: "y", fence: "1", base: 0 }]).length, 1);
});
