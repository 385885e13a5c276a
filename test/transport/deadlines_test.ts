import { assertEquals } from "@std/assert";
import { Deadlines } from "../../src/transport/deadlines.ts";
import { ManualClock } from "./manual_clock.ts";

type Item = { readonly name: string; isSettled: boolean };

function setUp() {
  const clock = new ManualClock();
  const expired: string[] = [];
  const time = { ms: 100 };
  const deadlines = new Deadlines<Item>(clock, () => time.ms, (item) => {
    expired.push(`${item.name}@${clock.now() - 1_000}`);
    settle(item);
  });
  const add = (name: string) => {
    const item = { name, isSettled: false };
    deadlines.add(item);
    return item;
  };
  function settle(item: Item): void {
    item.isSettled = true;
    deadlines.settled();
  }
  return { clock, expired, deadlines, add, settle, time };
}

Deno.test("each item expires at its own time, with one timer for all", async () => {
  const { clock, expired, deadlines, add } = setUp();
  for (const name of ["a", "b", "c"]) {
    add(name);
    await clock.pass(30);
  }
  assertEquals([clock.timers, deadlines.open], [1, 3]);
  await clock.pass(200);
  assertEquals(expired, ["a@100", "b@130", "c@160"]);
  assertEquals([clock.timers, deadlines.open], [0, 0]);
});

Deno.test("what was settled does not expire, and nothing open needs no timer", async () => {
  const { clock, expired, add, settle } = setUp();
  const [a, , c] = [add("a"), add("b"), add("c")];
  settle(a!);
  settle(c!);
  await clock.pass(100);
  assertEquals([expired, clock.timers], [["b@100"], 0]);
  const d = add("d");
  assertEquals(clock.timers, 1);
  settle(d);
  assertEquals(clock.timers, 0);
  await clock.pass(50);
  add("e");
  await clock.pass(100);
  assertEquals(expired, ["b@100", "e@250"]);
});

Deno.test("a time that becomes longer holds for what is open already; one that becomes shorter too, from the next timer on", async () => {
  const { clock, expired, add, time } = setUp();
  add("a");
  await clock.pass(50);
  time.ms = 200;
  await clock.pass(149);
  assertEquals([expired, clock.timers], [[], 1]);
  await clock.pass(1);
  assertEquals(expired, ["a@200"]);
  add("b");
  await clock.pass(50);
  add("c");
  time.ms = 100;
  await clock.pass(150);
  assertEquals([expired, clock.timers], [["a@200", "b@400", "c@400"], 0]);
});
