import { assertEquals, assertRejects } from "@std/assert";
import { seeded } from "../../src/testing/seeded.ts";
import { VirtualClock } from "../../src/testing/virtual_clock.ts";

Deno.test("virtual time: timers fire in the order of their times, at one time in the order they were set", async () => {
  const clock = new VirtualClock();
  const next = seeded(5);
  const due = Array.from({ length: 500 }, (_, i) => ({ i, ms: Math.floor(next() * 50) }));
  const fired: number[] = [];
  const cancels = due.map(({ i, ms }) => clock.after(ms, () => fired.push(i)));
  for (const { i } of due) if (i % 7 === 0) cancels[i]!();
  await clock.run(clock.sleep(60), 100);
  const expected = due.filter(({ i }) => i % 7 !== 0).sort((a, b) => a.ms - b.ms || a.i - b.i).map(({ i }) => i);
  assertEquals(fired, expected);
});

Deno.test("virtual time: work that waits for nothing, or too long, is told", async () => {
  await assertRejects(() => new VirtualClock().run(new Promise(() => {}), 10), Error, "nothing is left to happen");
  const clock = new VirtualClock();
  await assertRejects(() => clock.run(clock.sleep(11), 10), Error, "not done within 10 ms");
});

Deno.test("virtual time: so much of it passes as is told, and all that was due by then has been done", async () => {
  const clock = new VirtualClock();
  const startMs = clock.now();
  const told: number[] = [];
  const tick = async (left: number): Promise<void> => {
    await clock.sleep(10);
    told.push(clock.now() - startMs);
    if (left > 1) await tick(left - 1);
  };
  const ticking = tick(4);
  await clock.pass(35);
  assertEquals([told, clock.now() - startMs], [[10, 20, 30], 35]);
  await clock.pass(5);
  assertEquals(told, [10, 20, 30, 40]);
  await ticking;
});

Deno.test("virtual time: what is due after the limit of some work is done all the same", async () => {
  const clock = new VirtualClock();
  const slept = clock.sleep(20);
  await assertRejects(() => clock.run(new Promise(() => {}), 10), Error, "not done within 10 ms");
  await clock.run(slept, 10);
});
