import { assertEquals, assertRejects } from "@std/assert";
import { seeded } from "../replica/clocks.ts";
import { MachineClock, seededRandomness, VirtualClock } from "./virtual_time.ts";

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

Deno.test("virtual time: a machine's clock runs at its rate, its wall clock may be wrong", async () => {
  const clock = new VirtualClock();
  const machine = new MachineClock(clock, 2);
  machine.wallOffsetMs = -3_600_000;
  const [startMs, machineMs, wallMs] = [clock.now(), machine.now(), machine.wall()];
  let firedMs = 0;
  machine.after(100, () => firedMs = clock.now());
  await clock.run(clock.sleep(200), 1_000);
  assertEquals([firedMs - startMs, machine.now() - machineMs, machine.wall() - wallMs], [50, 400, 200]);
  assertEquals(clock.wall() - machine.wall(), 3_600_000);
});

Deno.test("seeded randomness: streams of one seed are their own", () => {
  const numbers = (stream: number) => {
    const random = seededRandomness(3, stream);
    return [random.next(), random.next()];
  };
  assertEquals(numbers(1), numbers(1));
  assertEquals(new Set([0, 1, 2, 3].flatMap(numbers)).size, 8);
});
