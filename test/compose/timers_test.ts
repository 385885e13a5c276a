import { assertEquals, assertThrows } from "@std/assert";
import { Timers } from "../../src/compose/timers.ts";
import { seeded } from "../replica/clocks.ts";

/** A platform whose time goes on when told to, in whole ms, and where only one timer may stand at a time. */
function rig() {
  let now = 0;
  let armed: { readonly atMs: number; readonly run: () => void } | null = null;
  let sets = 0;
  const timers = new Timers({
    now: () => now,
    set(ms, run) {
      assertEquals(armed, null, "one of the platform's at a time");
      sets++;
      const mine = armed = { atMs: now + ms, run };
      return () => {
        if (armed === mine) armed = null;
      };
    },
  });
  const pass = (ms: number) => {
    for (const end = now + ms; now < end; now++) {
      while (armed !== null && armed.atMs <= now) {
        const { run } = armed;
        armed = null;
        run();
      }
    }
  };
  return { timers, pass, now: () => now, isArmed: () => armed !== null, sets: () => sets };
}

Deno.test("timers: each runs once, at its time, in order; cancelled ones never, and nothing stays armed", () => {
  const { timers, pass, now, isArmed } = rig();
  const random = seeded(7);
  const ran: { readonly dueMs: number; readonly i: number; readonly atMs: number }[] = [];
  const expected: { readonly dueMs: number; readonly i: number }[] = [];
  for (let i = 0; i < 5_000; i++) {
    const ms = Math.floor(random() * 500);
    const dueMs = now() + ms;
    const cancel = timers.after(ms, () => ran.push({ dueMs, i, atMs: now() }));
    if (random() < 0.8) {
      cancel();
      cancel();
    } else expected.push({ dueMs, i });
    if (i % 10 === 0) pass(1);
  }
  pass(600);
  assertEquals(ran.map(({ dueMs, i }) => ({ dueMs, i })), expected.sort((a, b) => a.dueMs - b.dueMs || a.i - b.i));
  assertEquals(ran.filter(({ dueMs, atMs }) => atMs !== dueMs), []);
  assertEquals(isArmed(), false);
});

Deno.test("timers: the platform is asked for few, and where all are cancelled for none", () => {
  const { timers, pass, isArmed, sets } = rig();
  const stay = timers.after(1_000, () => {});
  for (let i = 0; i < 10_000; i++) timers.after(2_000, () => {})();
  assertEquals(sets(), 1);
  stay();
  assertEquals(isArmed(), false);
  pass(3_000);
});

Deno.test("timers: one that throws keeps none of the others, and one made while others run comes after them", () => {
  const { timers, pass } = rig();
  const ran: string[] = [];
  timers.after(1, () => {
    timers.after(0, () => ran.push("made"));
    throw new Error("its own");
  });
  timers.after(1, () => ran.push("same time"));
  timers.after(2, () => ran.push("later"));
  assertThrows(() => pass(5), Error, "its own");
  pass(5);
  assertEquals(ran, ["same time", "made", "later"]);
});
