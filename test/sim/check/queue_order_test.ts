import { assert, assertEquals } from "@std/assert";
import { QueueOrder } from "./queue_order.ts";

/** States of instances 1, 2, …: who holds it, then who waits. */
function faults(...states: readonly (readonly [holding: string, waiting: string])[]): readonly string[] {
  const order = new QueueOrder();
  states.forEach(([holding, waiting], i) => {
    order.seen("k", { instance: i + 1, holding: [...holding], waiting: [...waiting], cooling: false });
  });
  return order.faults();
}

Deno.test("queue order: grants from the front, places that lapse or leave, several at once", () => {
  assertEquals(faults(["a", ""], ["a", "bcd"], ["b", "cd"], ["b", "d"], ["d", ""], ["", ""]), []);
  assertEquals(faults(["a", "bc"], ["bc", "d"]), []);
  assertEquals(faults(["a", "bcd"], ["c", "d"]), []);
});

Deno.test("queue order: overtaking, a change of order, and a wake-up that is lost, are found", () => {
  assert(faults(["a", "bc"], ["c", "b"])[0]!.includes("c was served before b"));
  assert(faults(["a", "bc"], ["a", "cb"])[0]!.includes("waited in this order"));
  assert(faults(["a", "bc"], ["a", "xbc"])[0]!.includes("waited in this order"));
  assert(faults(["a", "b"], ["", "b"])[0]!.includes("it is free, and b still wait"));
});

Deno.test("queue order: a cooling period keeps it from being free; older states come late", () => {
  const order = new QueueOrder();
  order.seen("k", { instance: 5, holding: [], waiting: ["b"], cooling: true });
  order.seen("k", { instance: 4, holding: [], waiting: ["b"], cooling: false });
  assertEquals(order.faults(), []);
});
