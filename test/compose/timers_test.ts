import { assertEquals, assertLessOrEqual, assertThrows } from "@std/assert";
import { Timers } from "../../src/compose/timers.ts";

/** The runtime's timers, by hand: those that are set, and how many ever were. */
class Runtime {
  nowMs = 0;
  everSet = 0;
  readonly set = new Set<{ readonly dueMs: number; readonly run: () => void }>();
  readonly timers = new Timers({
    now: () => this.nowMs,
    after: (ms, run) => {
      // Deno and Node write a warning to whoever looks at the process.
      if (!(ms >= 1)) throw new Error(`the runtime was asked for ${ms} ms`);
      // Deno and Node take none of less, and one of more as 1.
      const timer = { dueMs: this.nowMs + (ms >= 1 && ms < 2 ** 31 ? ms : 1), run };
      this.everSet++;
      this.set.add(timer);
      return () => void this.set.delete(timer);
    },
  });

  /** @param earlyMs by which the runtime calls too soon */
  to(ms: number, earlyMs = 0): void {
    for (let calls = 0; calls < 10_000; calls++) {
      const [next] = [...this.set].sort((a, b) => a.dueMs - b.dueMs);
      if (next === undefined || next.dueMs - earlyMs > ms) break;
      this.nowMs = Math.max(this.nowMs, next.dueMs - earlyMs);
      this.set.delete(next);
      next.run();
    }
    this.nowMs = ms;
  }
}

Deno.test("timers: each is called once, when it is due, in the order of their times, of equal ones of their setting", () => {
  const runtime = new Runtime();
  const called: string[] = [];
  const set = (ms: number, name: string) =>
    runtime.timers.after(ms, () => called.push(`${name} at ${Math.round(runtime.nowMs)}`));
  for (const [ms, name] of [[30, "c"], [10, "a"], [20, "b1"], [20, "b2"], [20, "b3"], [5, "first"]] as const) {
    set(ms, name);
  }
  runtime.to(9);
  assertEquals(called, ["first at 5"]);
  runtime.to(100);
  assertEquals(called.slice(1), ["a at 10", "b1 at 20", "b2 at 20", "b3 at 20", "c at 30"]);
  assertEquals(runtime.set.size, 0);
});

Deno.test("timers: one that is cancelled is never called, and with the last of them the runtime's is gone", () => {
  const runtime = new Runtime();
  const called: number[] = [];
  const cancels = Array.from(
    { length: 50 },
    (_, i) => runtime.timers.after((i * 7) % 50, () => called.push((i * 7) % 50)),
  );
  for (const [i, cancel] of cancels.entries()) if (i % 2 === 0) cancel();
  const left = cancels.flatMap((_, i) => i % 2 === 0 ? [] : [(i * 7) % 50]).sort((a, b) => a - b);
  runtime.to(20);
  assertEquals(called, left.filter((ms) => ms <= 20));
  for (const cancel of cancels) cancel();
  assertEquals(runtime.set.size, 0);
  runtime.to(1_000);
  assertEquals(called, left.filter((ms) => ms <= 20));
});

Deno.test("timers: a thousand that are set and cancelled while one stands cost no more of the runtime's", () => {
  const runtime = new Runtime();
  let calls = 0;
  runtime.timers.after(10, () => calls++);
  for (let i = 0; i < 1_000; i++) runtime.timers.after(20 + i % 7, () => calls++)();
  assertEquals(runtime.everSet, 1);
  // One that is due sooner takes its place.
  const cancel = runtime.timers.after(1, () => calls++);
  assertEquals([runtime.everSet, runtime.set.size], [2, 1]);
  cancel();
  runtime.to(9);
  assertEquals(calls, 0);
  runtime.to(10);
  assertEquals(calls, 1);
  assertLessOrEqual(runtime.everSet, 3);
});

Deno.test("timers: of what one does when it is called, and throws, the others take no harm", () => {
  const runtime = new Runtime();
  const called: string[] = [];
  runtime.timers.after(10, () => {
    runtime.timers.after(0, () => called.push("set by another"));
    cancel();
    throw new Error("of one");
  });
  const cancel = runtime.timers.after(10, () => called.push("cancelled by another"));
  runtime.timers.after(10, () => called.push("at the same time"));
  runtime.timers.after(15, () => called.push("later"));
  assertThrows(() => runtime.to(10), Error, "of one");
  runtime.to(20);
  assertEquals(called, ["at the same time", "set by another", "later"]);
});

Deno.test("timers: none is called too soon, though the runtime is", () => {
  const runtime = new Runtime();
  const called: number[] = [];
  for (const ms of [10, 10.4, 11.5]) runtime.timers.after(ms, () => called.push(runtime.nowMs >= ms ? ms : NaN));
  runtime.to(30, 0.6);
  assertEquals(called, [10, 10.4, 11.5]);
});

Deno.test("timers: what is due later than the runtime's longest timer, or never, is waited for and not asked for again and again", () => {
  const runtime = new Runtime();
  const called: string[] = [];
  const MONTH_MS = 30 * 24 * 3_600_000;
  runtime.timers.after(MONTH_MS, () => called.push("a month"));
  runtime.timers.after(Infinity, () => called.push("never"));
  runtime.to(MONTH_MS - 1);
  assertEquals(called, []);
  assertLessOrEqual(runtime.everSet, 3);
  runtime.to(2 * MONTH_MS);
  assertEquals(called, ["a month"]);
  assertLessOrEqual(runtime.everSet, 5);
});

Deno.test("timers: one set for what is no number is called as the runtime calls it, and keeps no other waiting", () => {
  const runtime = new Runtime();
  const called: string[] = [];
  runtime.timers.after(5, () => called.push("at 5"));
  runtime.timers.after(NaN, () => called.push("at once"));
  runtime.timers.after(-1, () => called.push("late"));
  runtime.to(10);
  assertEquals(called, ["at once", "late", "at 5"]);
  assertEquals(runtime.set.size, 0);
});

Deno.test("timers: one that is set while others are overdue asks the runtime for no time that is past", () => {
  const runtime = new Runtime();
  const called: string[] = [];
  runtime.timers.after(5, () => {
    // This takes long, and the next is due by now.
    runtime.nowMs += 20;
    runtime.timers.after(10, () => called.push("set meanwhile"));
    called.push("first");
  });
  runtime.timers.after(6, () => called.push("overdue"));
  runtime.to(100);
  assertEquals(called, ["first", "overdue", "set meanwhile"]);
});
