/** A hold is over by this process's own clocks, whatever timers and other clocks do. */
import { assert, assertEquals } from "@std/assert";
import { boundOf, endWhatIsOver, firstToEnd, Lease, lookingFirst, momentOf } from "../../src/client/lease.ts";
import { SleepyClock } from "./sleepy_clock.ts";

/** 9,750 ms of 10,000 are its holder's. */
function lease(clock: SleepyClock, waitedMs = 0, guaranteedForMs = 10_000): Lease {
  return new Lease(clock, "lock x", boundOf(momentOf(clock), { waitedMs, guaranteedForMs }));
}

Deno.test("lease: it ends by its timer before the guarantee is over, and says how", async () => {
  const clock = new SleepyClock();
  const held = lease(clock);
  await clock.pass(9_700);
  assertEquals([held.isHeld, held.remainingMs()], [true, 50]);
  let endedMs = 0;
  const startMs = clock.now();
  held.signal.addEventListener("abort", () => endedMs = clock.now() - startMs);
  await clock.pass(10_000);
  assertEquals(endedMs, 50);
  assertEquals([held.isHeld, held.remainingMs(), held.signal.aborted], [false, 0, true]);
  assertEquals([held.reason?.code, held.reason?.how], ["lock-lost", "expired"]);
  assertEquals(clock.timers, 0);
});

Deno.test("lease: a short one keeps a twentieth of its guarantee for its holder", async () => {
  const clock = new SleepyClock();
  const held = lease(clock, 0, 990);
  assertEquals(held.remainingMs(), 940.5);
  await clock.pass(941);
  assertEquals(held.isHeld, false);
});

Deno.test("lease: what was waited before it began is counted", () => {
  const clock = new SleepyClock();
  const held = lease(clock, 5_000);
  assertEquals(held.remainingMs(), 14_750);
  held.end("disposed");
});

Deno.test("lease: no read says that it is held after a sleep, though no timer has fired", () => {
  for (const read of ["isHeld", "remainingMs", "signal", "reason"] as const) {
    const clock = new SleepyClock();
    const held = lease(clock);
    clock.sleep(9_750);
    switch (read) {
      case "isHeld":
        assertEquals(held.isHeld, false);
        break;
      case "remainingMs":
        assertEquals(held.remainingMs(), 0);
        break;
      case "signal":
        assertEquals(held.signal.aborted, true);
        break;
      case "reason":
        assertEquals(held.reason?.how, "expired");
    }
  }
});

Deno.test("lease: the clock that says more has gone by counts", () => {
  const clock = new SleepyClock();
  const suspended = lease(clock);
  clock.suspend(9_750);
  assertEquals(suspended.isHeld, false);
  const setBack = lease(clock);
  clock.setWall(-3_600_000);
  assertEquals(setBack.remainingMs(), 9_750);
  clock.sleep(9_749);
  assertEquals(setBack.isHeld, true);
  clock.sleep(1);
  assertEquals(setBack.isHeld, false);
  const setOn = lease(clock);
  clock.setWall(3_600_000);
  assertEquals(setOn.isHeld, false);
});

Deno.test("lease: only a later end changes it, and nothing revives it", async () => {
  const clock = new SleepyClock();
  const held = lease(clock);
  await clock.pass(5_000);
  const later = boundOf(momentOf(clock), { waitedMs: 0, guaranteedForMs: 10_000 });
  held.extend(boundOf(momentOf(clock), { waitedMs: 0, guaranteedForMs: 1_000 }));
  assertEquals(held.remainingMs(), 4_750);
  held.extend(later);
  assertEquals(held.remainingMs(), 9_750);
  await clock.pass(9_000);
  assertEquals(held.isHeld, true);
  clock.sleep(1_000);
  held.extend(boundOf(momentOf(clock), { waitedMs: 0, guaranteedForMs: 10_000 }));
  assertEquals([held.isHeld, held.reason?.how], [false, "expired"]);
});

Deno.test("lease: after a sleep it is over before anything else of the client runs, an answer or a timer", async () => {
  const clock = new SleepyClock();
  const answer = Promise.withResolvers<Response>();
  const world = lookingFirst({ clock, fetch: () => answer.promise, newId: () => "id" });
  const held = [lease(clock), lease(clock)];
  const signals = held.map(({ signal }) => signal);
  const seen: boolean[] = [];
  const asking = world.fetch("http://x", {}).then(() => seen.push(...signals.map(({ aborted }) => aborted)));
  clock.sleep(20_000);
  answer.resolve(new Response());
  await asking;
  assertEquals(seen, [true, true]);

  const [again] = [lease(clock)];
  const { signal } = again;
  // Set before, so that it fires first.
  let isOver: boolean | null = null;
  world.clock.after(0, () => isOver = signal.aborted);
  clock.sleep(20_000);
  await clock.pass(0);
  assertEquals(isOver, true);

  const last = lease(clock);
  const { signal: lastSignal } = last;
  clock.sleep(20_000);
  assertEquals(lastSignal.aborted, false);
  endWhatIsOver();
  assertEquals(lastSignal.aborted, true);
});

Deno.test("lease: what lives by a session is held as long as it is, and no longer", async () => {
  const clock = new SleepyClock();
  const session = lease(clock);
  const bound = new Lease(clock, "lock y", session);
  await clock.pass(5_000);
  assertEquals(bound.remainingMs(), 4_750);
  bound.extend(boundOf(momentOf(clock), { waitedMs: 0, guaranteedForMs: 10_000 }));
  assertEquals([session.remainingMs(), bound.remainingMs()], [9_750, 9_750]);
  const other = new Lease(clock, "lock z", session);
  other.end("disposed");
  assertEquals([session.isHeld, bound.isHeld], [true, true]);
  clock.sleep(9_750);
  assertEquals([bound.isHeld, bound.reason?.how], [false, "expired"]);
  const late = new Lease(clock, "lock late", session);
  assert(!late.isHeld);
});

Deno.test("lease: of several the first to end counts, by whichever clock says more has gone by", () => {
  const clock = new SleepyClock();
  const start = momentOf(clock);
  const bound = (afterMs: number, lengthMs: number, wallMs = afterMs) => ({
    since: { nowMs: start.nowMs + afterMs, wallMs: start.wallMs + wallMs },
    lengthMs,
  });
  const [long, late, first] = [bound(0, 30_000), bound(25_000, 2_000), bound(1_000, 20_000)];
  assertEquals(firstToEnd([long, late, first], clock), first);
  assertEquals(firstToEnd([late, long], clock), late);
  // The machine was suspended between the two: what is monotonic stood still.
  const before = bound(0, 30_000, 0);
  clock.suspend(20_000);
  const after = { ...boundOf(momentOf(clock), { waitedMs: 0, guaranteedForMs: 20_000 }) };
  assertEquals(firstToEnd([after, before], clock), before);
});
