/** Who is let in when, on a clock the test moves. */
import { assert, assertEquals } from "@std/assert";
import { Admission, type Leave } from "../../src/http/admission.ts";
import { QuorateError } from "../../src/errors.ts";
import {
  ADMISSION_STANDING_MS,
  ADMISSION_WAIT_MS,
  ADMISSION_WAITING_MAX,
  ADMITTED_AT_ONCE,
  ADMITTED_HOLDERS,
  ADMITTED_MAX,
  ADMITTED_MIN,
} from "../../src/limits.ts";
import { ManualClock, settled } from "../transport/manual_clock.ts";

function rig() {
  const clock = new ManualClock();
  const admission = new Admission(() => clock.now(), (ms, run) => clock.after(ms, run));
  const log: string[] = [];
  const inside = new Map<string, Leave>();
  /** Goes in as `name`; what comes of it later stands in the log. */
  const enter = (name: string, { isHolders = false, isGone = (): boolean => false } = {}) => {
    const code = (error: unknown) => error instanceof QuorateError ? error.code : `${error}`;
    try {
      const entered = admission.enter(isHolders, isGone);
      if (typeof entered === "function") return void inside.set(name, entered);
      entered.then(
        (leave) => {
          inside.set(name, leave);
          log.push(`${name} in`);
        },
        (error) => log.push(`${name} ${code(error)}`),
      );
    } catch (error) {
      log.push(`${name} ${code(error)} at once`);
    }
  };
  const leave = async (name: string) => {
    inside.get(name)!();
    await settled();
  };
  const fill = () => {
    for (let i = 0; i < ADMITTED_AT_ONCE; i++) enter(`full${i}`);
    assertEquals([inside.size, log.length], [ADMITTED_AT_ONCE, 0]);
  };
  return { clock, log, inside, enter, leave, fill };
}

Deno.test("admission: as many as there is room for at once, the others in order as room is made", async () => {
  const { enter, fill, leave, log, clock } = rig();
  fill();
  for (const name of ["one", "two", "three"]) enter(name);
  await clock.pass(10);
  assertEquals(log, []);
  await leave("full0");
  // Twice is once: an answer to a request that has waited.
  await leave("full0");
  assertEquals(log, ["one in"]);
  await leave("full1");
  await leave("one");
  assertEquals(log, ["one in", "two in", "three in"]);
  assertEquals(clock.timers, 1);
  await clock.pass(1_000);
  assertEquals(clock.timers, 0);
});

Deno.test("admission: what keeps or gives back a hold has room of its own, also where the others have less than they take", async () => {
  const { enter, fill, leave, log, inside, clock } = rig();
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
  const { enter, fill, log, clock } = rig();
  fill();
  enter("early");
  await clock.pass(ADMISSION_WAIT_MS - 100);
  enter("later");
  enter("renewal", { isHolders: true });
  assertEquals(log, []);
  await clock.pass(200);
  // The queue stands: a fresh burst would have been given as long as the first.
  assertEquals(log, ["early overloaded", "later overloaded"]);
  enter("last");
  await clock.pass(ADMISSION_STANDING_MS + 100);
  assertEquals(log.slice(2), []);
  await clock.pass(ADMISSION_WAIT_MS);
  assertEquals(log.slice(2), ["last overloaded"]);
});

Deno.test("admission: more than may wait are refused at once, those who have gone take no room", async () => {
  const { enter, fill, leave, log } = rig();
  fill();
  enter("gone", { isGone: () => true });
  for (let i = 1; i < ADMISSION_WAITING_MAX; i++) enter(`waits${i}`);
  enter("too many");
  enter("renewal", { isHolders: true });
  assertEquals(log, ["too many overloaded at once"]);
  await leave("full0");
  assert(log.includes("gone overloaded") && log.includes("waits1 in"), `${log.slice(1)}`);
});

Deno.test("admission: a node that ends little works on little at once, one that ends much on much", async () => {
  for (const [perLook, bound] of [[3, ADMITTED_MIN], [200, ADMITTED_MAX]] as const) {
    const { enter, clock, inside } = rig();
    let entered = 0;
    for (let looks = 0; looks < 60; looks++) {
      for (let i = 0; i < 2 * perLook + ADMITTED_AT_ONCE; i++) enter(`${entered++}`);
      await clock.pass(50);
      for (const [name, leave] of [...inside].slice(0, perLook)) {
        leave();
        inside.delete(name);
      }
      await settled();
    }
    // What has left leaves its room until somebody enters.
    assert(inside.size >= bound - perLook && inside.size <= bound, `${inside.size} of ${bound}`);
  }
});
