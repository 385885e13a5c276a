import { assertEquals } from "@std/assert";
import { Census } from "../../src/observe/census.ts";
import { emptyState, type KeyState } from "../../src/machine/state.ts";

const FREE = emptyState({ kind: "prepare" });
// deno-lint-ignore no-explicit-any -- only what is counted is filled in
const held = (...fences: string[]): any => fences.map((fence) => ({ fence }));
// deno-lint-ignore no-explicit-any -- the same
const queue = (...ids: string[]): any => ids.map((id) => [id]);
const state = (parts: Partial<KeyState>): KeyState => ({ ...FREE, ...parts });

Deno.test("census: who holds and waits by noun, and since when the first of each is the first", () => {
  let now = 0;
  const census = new Census(() => now);
  census.moved("lock/a", state({ holders: held("1"), queue: queue("x", "y") }));
  census.moved("semaphore/s", state({ holders: held("1", "2") }));
  now = 1_000;
  // A renewal, and one more that waits.
  census.moved("lock/a", state({ holders: held("1"), queue: queue("x", "y", "z") }));
  now = 3_000;
  const counted = census.count();
  assertEquals([...counted.held], [["semaphore", 2], ["lock", 1]]);
  assertEquals([...counted.waiting], [["semaphore", 0], ["lock", 3]]);
  assertEquals([counted.oldestHoldMs, counted.oldestWaitMs, counted.sessions], [3_000, 3_000, 0]);
  census.moved("lock/a", state({ holders: held("2"), queue: queue("y", "z") }));
  census.moved("semaphore/s", FREE);
  now = 3_500;
  const later = census.count();
  assertEquals([...later.held], [["lock", 1]]);
  assertEquals([later.oldestHoldMs, later.oldestWaitMs], [500, 500]);
});

Deno.test("census: sessions that live are counted, those that ended are not, and what is no noun's neither", () => {
  const census = new Census(() => 0);
  // deno-lint-ignore no-explicit-any -- only what is counted is filled in
  const session = (ended: unknown) => state({ session: { ended } as any });
  census.moved("session/a", session(null));
  census.moved("session/b", session(null));
  census.moved("session/b", session({ how: "closed", instance: 3 }));
  census.moved("config/x", state({ holders: held("1") }));
  assertEquals(census.count().sessions, 1);
  assertEquals(census.count().held.size, 1);
});

Deno.test("census: it remembers so many names and no more", () => {
  const census = new Census(() => 0, 2);
  for (const name of ["a", "b", "c"]) census.moved(`lock/${name}`, state({ holders: held("1") }));
  assertEquals(census.count().held.get("lock"), 2);
});
