import { assertEquals } from "@std/assert";
import { Stalls } from "../../src/testing/stalls.ts";
import { MachineClock, VirtualClock } from "../sim/virtual_time.ts";

Deno.test("Stalls: timers, callers and answers of a stalled process wait and come in order; what was cancelled does not", async () => {
  const [time, stalls, seen] = [new VirtualClock(), new Stalls(), [] as string[]];
  const clock = new MachineClock(time, 1, (run) => stalls.run("a", run));
  const note = (what: string) => () => void seen.push(`${what} at ${time.now()}`);
  stalls.begin("a");
  stalls.begin("b");
  clock.after(10, note("first"));
  const cancel = clock.after(20, note("cancelled"));
  clock.after(30, note("last"));
  const told = stalls.told("a", time.sleep(15)).then(note("told"));
  time.after(100, () => {
    cancel();
    stalls.end("a");
  });
  await time.run(told, 1_000);
  assertEquals(seen, ["first at 1100", "last at 1100", "told at 1100"]);
  assertEquals([stalls.awake("a"), stalls.awake("b") === null], [null, false]);
  stalls.endAll();
  assertEquals(stalls.awake("b"), null);
});
