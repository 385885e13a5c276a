/** Who is let in when, on a clock the test moves. */
import { assert, assertEquals } from "@std/assert";
import { Admission, type Leave } from "../../src/http/admission.ts";
import { QuorateError } from "../../src/errors.ts";
import {
  ADMISSION_COMMIT_MS,
  ADMISSION_STANDING_MS,
  ADMISSION_WAIT_MS,
  ADMISSION_WAITING_MAX,
  ADMISSION_WAITING_MAX_BYTES,
  ADMISSION_WORK_MS,
  ADMITTED_AT_ONCE,
  ADMITTED_HOLDERS,
  ADMITTED_MAX,
  ADMITTED_MIN,
} from "../../src/limits.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";

type Entering = {
  isHolders?: boolean;
  isGone?: () => boolean;
  subject?: string;
  bytes?: number;
  places?: number;
  withinMs?: number;
};

/**
 * @param lateMs how late timers are: more than a few is a process that has too much to do
 * @param commitMs how long writes take
 */
function rig(lateMs: number | (() => number) = 0, commitMs = () => 0) {
  const clock = new ManualClock();
  const lateness = typeof lateMs === "number" ? () => lateMs : lateMs;
  const admission = new Admission(() => clock.now(), (ms, run) => clock.after(ms + lateness(), run), commitMs);
  const log: string[] = [];
  const inside = new Map<string, Leave>();
  /** Goes in as `name`; what comes of it later stands in the log. */
  const enter = (name: string, entering: Entering = {}) => {
    const { isHolders = false, isGone = () => false, subject = "me", bytes = 0, places = 1 } = entering;
    const { withinMs = ADMISSION_WAIT_MS } = entering;
    const entered = admission.enter({ subject, isHolders, bytes, places, patience: () => ({ isGone, withinMs }) });
    if (typeof entered === "function") return void inside.set(name, entered);
    entered.then(
      (leave) => {
        inside.set(name, leave);
        log.push(`${name} in`);
      },
      (error) => log.push(`${name} ${error instanceof QuorateError ? error.code : error}`),
    );
  };
  const leave = async (name: string) => {
    const last = inside.get(name)!;
    inside.delete(name);
    last(true);
    // Twice is once: an answer to a request that has waited.
    last(true);
    await settled();
  };
  const fill = () => {
    for (let i = 0; i < ADMITTED_AT_ONCE; i++) enter(`full${i}`);
    assertEquals([inside.size, log.length], [ADMITTED_AT_ONCE, 0]);
  };
  return { clock, log, inside, enter, leave, fill };
}

const LATE_MS = 50;

Deno.test("admission: as many as there is room for at once, the others in order as room is made", async () => {
  const { enter, fill, leave, log, clock, inside } = rig(LATE_MS);
  fill();
  for (const name of ["one", "two", "three"]) enter(name);
  await clock.pass(10);
  assertEquals(log, []);
  await leave("full0");
  assertEquals(log, ["one in"]);
  await leave("full1");
  await leave("one");
  assertEquals(log, ["one in", "two in", "three in"]);
  assertEquals(clock.timers, 1);
  for (const name of [...inside.keys()]) await leave(name);
  await clock.pass(1_000);
  assertEquals(clock.timers, 0);
});

Deno.test("admission: a process that is late finds out before its room is full, refuses those it has no time for, and takes as many as ever when it is in time", async () => {
  const late = { ms: 0 };
  const { enter, leave, log, inside, clock } = rig(() => late.ms);
  const few = ADMITTED_AT_ONCE / 4;
  for (let i = 0; i < few; i++) enter(`few${i}`);
  await clock.pass(2_000);
  assertEquals([inside.size, log.length], [few, 0]);
  // Its machine has other work: nothing of what is inside ends.
  late.ms = LATE_MS;
  await clock.pass(2_000);
  enter("more");
  await clock.pass(ADMISSION_WAIT_MS + 100);
  assertEquals(log, ["more overloaded"]);
  for (const name of [...inside.keys()].slice(ADMITTED_MIN - 1)) await leave(name);
  enter("within what it keeps");
  assertEquals([inside.size, inside.has("within what it keeps")], [ADMITTED_MIN, true]);
  late.ms = 0;
  await clock.pass(3_000);
  for (let i = inside.size; i < ADMITTED_AT_ONCE; i++) enter(`again${i}`);
  assertEquals([inside.size, log.length], [ADMITTED_AT_ONCE, 1]);
});

Deno.test("admission: a process with little inside sets no timers, whatever comes and goes", async () => {
  const { enter, leave, inside, clock } = rig();
  for (let i = 0; i < 10 * ADMITTED_MIN; i++) {
    if (inside.size === ADMITTED_MIN) await leave(`few${i - ADMITTED_MIN}`);
    enter(`few${i}`);
  }
  assertEquals(clock.timers, 0);
});

Deno.test("admission: what keeps or gives back a hold has room of its own, also where the others have less than they take", async () => {
  const { enter, fill, leave, log, inside, clock } = rig(LATE_MS);
  fill();
  enter("other");
  // Nothing ends, so the others' room is as small as it gets.
  await clock.pass(ADMISSION_WAIT_MS - 100);
  for (let i = 0; i <= ADMITTED_HOLDERS; i++) enter(`renewal${i}`, { isHolders: true });
  assertEquals(inside.size, ADMITTED_AT_ONCE + ADMITTED_HOLDERS);
  await leave("full0");
  assertEquals(log, []);
  await leave("renewal0");
  assertEquals(log, [`renewal${ADMITTED_HOLDERS} in`]);
});

Deno.test("admission: who has waited too long is refused, and sooner where the queue has stood for as long", async () => {
  const { enter, fill, log, clock } = rig(LATE_MS);
  fill();
  enter("early");
  enter("hasty", { withinMs: 200 });
  await clock.pass(400);
  assertEquals(log, ["hasty overloaded"]);
  await clock.pass(ADMISSION_WAIT_MS - 500);
  enter("later");
  assertEquals(log.slice(1), []);
  await clock.pass(300);
  // The queue stands: a fresh burst would have been given as long as the first.
  assertEquals(log.slice(1), ["early overloaded", "later overloaded"]);
  enter("last");
  await clock.pass(ADMISSION_STANDING_MS + 100);
  assertEquals(log.slice(3), []);
  await clock.pass(ADMISSION_WAIT_MS);
  assertEquals(log.slice(3), ["last overloaded"]);
});

Deno.test("admission: more than may wait are refused at once, and who has gone is not let in", async () => {
  const { enter, fill, leave, log } = rig(LATE_MS);
  fill();
  enter("gone", { isGone: () => true });
  for (let i = 1; i < ADMISSION_WAITING_MAX; i++) enter(`waits${i}`);
  enter("too many");
  await settled();
  assertEquals(log, ["too many overloaded"]);
  await leave("full0");
  assertEquals(log.slice(1), ["gone overloaded", "waits1 in"]);
});

Deno.test("admission: bodies of those who wait are bounded together", async () => {
  const { enter, fill, log } = rig(LATE_MS);
  fill();
  const bytes = ADMISSION_WAITING_MAX_BYTES / 4;
  for (let i = 0; i < 5; i++) enter(`large${i}`, { bytes });
  await settled();
  assertEquals(log, ["large4 overloaded"]);
});

Deno.test("admission: one subject's flood leaves others their turn, and their place to wait", async () => {
  for (const isHolders of [true, false]) {
    const { enter, leave, log, inside } = rig(LATE_MS);
    const room = isHolders ? ADMITTED_HOLDERS : ADMITTED_AT_ONCE;
    for (let i = 0; i < room + ADMISSION_WAITING_MAX; i++) enter(`flood${i}`, { isHolders, subject: "mallory" });
    enter("victim", { isHolders, subject: "victim" });
    await settled();
    assertEquals([inside.size, log], [room, [`flood${room + ADMISSION_WAITING_MAX - 1} overloaded`]]);
    for (const name of ["flood0", "flood1"]) await leave(name);
    assert(log.includes("victim in"), `${log}`);
  }
});

Deno.test("admission: a process that is late works on what it ends in a while, one that waits for others on all there is", async () => {
  const ends = 3;
  for (const [lateMs, bound] of [[LATE_MS, ends * ADMISSION_WORK_MS / 50], [0, ADMITTED_MAX]] as const) {
    const { enter, clock, inside } = rig(lateMs);
    let entered = 0;
    for (let looks = 0; looks < 60; looks++) {
      for (let i = 0; i < 200; i++) enter(`${entered++}`);
      await clock.pass(50);
      for (const [name, leave] of [...inside].slice(0, ends)) {
        leave(true);
        inside.delete(name);
      }
      await settled();
    }
    // What has left leaves its room until somebody enters.
    assert(inside.size >= bound - ends && inside.size <= bound, `${lateMs}: ${inside.size} of ${bound}`);
  }
});

Deno.test("admission: what takes several places leaves all of them, and is let in where one is free", async () => {
  const { enter, leave, log, inside } = rig(LATE_MS);
  for (let i = 0; i < ADMITTED_AT_ONCE / 16; i++) enter(`b${i}`, { places: 16 });
  assertEquals(inside.size, ADMITTED_AT_ONCE / 16);
  for (const name of ["next", "small"]) enter(name, { places: name === "next" ? 16 : 1 });
  enter("large", { places: 16 });
  enter("last");
  await leave("b0");
  assertEquals(log, ["next in"]);
  await leave("b1");
  // 15 more than there is room for: what is large waits for no more than what is small.
  assertEquals(log, ["next in", "small in", "large in"]);
  await leave("b2");
  assertEquals(log, ["next in", "small in", "large in", "last in"]);
});

Deno.test("admission: a node whose store is slow lets in as many as at first, and more once it is fast again", async () => {
  const store = { ms: ADMISSION_COMMIT_MS + 1 };
  const { enter, clock, inside } = rig(0, () => store.ms);
  let entered = 0;
  const flood = async (looks: number) => {
    for (let i = 0; i < looks; i++) {
      for (let j = 0; j < 50; j++) enter(`${entered++}`);
      await clock.pass(50);
    }
    return inside.size;
  };
  assertEquals(await flood(40), ADMITTED_AT_ONCE);
  store.ms = ADMISSION_COMMIT_MS;
  assertEquals(await flood(80), ADMITTED_MAX);
  // What is inside stays; room is made for nobody else until as many have left.
  store.ms = 1_000;
  await flood(40);
  for (const [name, leave] of [...inside].slice(0, ADMITTED_MAX - ADMITTED_AT_ONCE)) {
    leave(true);
    inside.delete(name);
  }
  assertEquals(await flood(1), ADMITTED_AT_ONCE);
});
