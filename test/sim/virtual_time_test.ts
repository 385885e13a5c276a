import { assertEquals } from "@std/assert";
import { MachineClock, VirtualClock } from "./virtual_time.ts";

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
