/** What keeps itself: when it is renewed, how long that is tried, and that it is given back once. */
import { assertEquals, assertRejects } from "@std/assert";
import { QuorateError } from "../../src/client/error.ts";
import { Hold } from "../../src/client/hold.ts";
import { type Bound, boundOf, Lease, momentOf } from "../../src/client/lease.ts";
import { SleepyClock } from "./sleepy_clock.ts";

const GUARANTEE = { waitedMs: 0, guaranteedForMs: 10_000 };
/** What its holder has of that. */
const LENGTH_MS = 9_750;

type Rig = {
  readonly clock: SleepyClock;
  readonly lease: Lease;
  readonly hold: Hold;
  /** When each renewal was sent. */
  readonly renewals: number[];
  readonly givenBack: number[];
  renew: (sentBound: Bound) => Promise<Bound>;
  giveBack: () => Promise<void>;
};

/** @param waitedMs in a queue, before its guarantee began */
async function waitedRig(waitedMs: number): Promise<Rig> {
  const clock = new SleepyClock();
  const sent = momentOf(clock);
  await clock.pass(waitedMs);
  return rig(clock, boundOf(sent, { ...GUARANTEE, waitedMs }));
}

function rig(clock = new SleepyClock(), bound = boundOf(momentOf(clock), GUARANTEE)): Rig {
  const startMs = clock.now();
  const lease = new Lease(clock, "lock x", bound);
  const parts = { renewals: [] as number[], givenBack: [] as number[] };
  const made: Rig = {
    ...parts,
    clock,
    lease,
    renew: (bound) => Promise.resolve(bound),
    giveBack: () => Promise.resolve(),
    hold: new Hold({
      clock,
      lease,
      keepsItself: true,
      renew: () => {
        parts.renewals.push(clock.now() - startMs);
        return made.renew(boundOf(momentOf(clock), GUARANTEE));
      },
      giveBack: () => {
        parts.givenBack.push(clock.now() - startMs);
        return made.giveBack();
      },
    }),
  };
  return made;
}

function refusal(code: "lost" | "not-ready", problem: Record<string, unknown> = {}): QuorateError {
  return new QuorateError(code, "as scripted", { retryable: code === "not-ready", problem });
}

Deno.test("hold: it is renewed at a third of its guarantee, for as long as it is held", async () => {
  const { clock, lease, hold, renewals } = rig();
  await clock.pass(4 * LENGTH_MS / 3 + 1);
  assertEquals(renewals, [1, 2, 3, 4].map((i) => i * LENGTH_MS / 3));
  assertEquals(lease.isHeld, true);
  await hold.release();
  await clock.pass(60_000);
  assertEquals([renewals.length, clock.timers], [4, 0]);
});

Deno.test("hold: what was waited before it was granted makes its first renewal no earlier", async () => {
  const { clock, hold, renewals } = await waitedRig(60_000);
  await clock.pass(LENGTH_MS / 3 - 1);
  assertEquals(renewals, []);
  await clock.pass(1);
  assertEquals(renewals, [LENGTH_MS / 3]);
  await hold.release();
});

Deno.test("hold: one failed renewal ends nothing; it is tried until the guarantee is nearly over", async () => {
  const one = rig();
  let failures = 0;
  one.renew = (bound) => ++failures === 1 ? Promise.reject(refusal("not-ready")) : Promise.resolve(bound);
  await one.clock.pass(5_000);
  assertEquals([one.lease.isHeld, one.renewals.length], [true, 2]);
  await one.hold.release();

  const all = rig();
  all.renew = () => Promise.reject(refusal("not-ready"));
  await all.clock.pass(LENGTH_MS - 100);
  assertEquals(all.lease.isHeld, true);
  await all.clock.pass(1_000);
  assertEquals([all.lease.isHeld, all.lease.reason?.how], [false, "expired"]);
  assertEquals(all.renewals.at(-1)! > LENGTH_MS - 200, true);
  assertEquals(all.renewals.length > 10, true);
  const tries = all.renewals.length;
  await all.clock.pass(60_000);
  assertEquals(all.renewals.length, tries);
  await all.hold.dispose();
});

Deno.test("hold: what the nodes say is over is over at once, and how", async () => {
  for (
    const [error, how] of [
      [refusal("lost"), "lost"],
      [refusal("lost", { end: "forced" }), "forced"],
      [refusal("lost", { end: "lapsed" }), "lost"],
    ] as const
  ) {
    const one = rig();
    one.renew = () => Promise.reject(error);
    await assertRejects(() => one.hold.renew(), QuorateError, "lock x");
    assertEquals([one.lease.isHeld, one.lease.reason?.how], [false, how]);
    await assertRejects(() => one.hold.renew(), QuorateError, "lock x");
    await one.hold.dispose();
    assertEquals(one.clock.timers, 0);
  }
});

Deno.test("hold: an answer that comes after the end revives nothing", async () => {
  const one = rig();
  const answer = Promise.withResolvers<Bound>();
  one.renew = () => answer.promise;
  const renewing = one.hold.renew();
  const bound = boundOf(momentOf(one.clock), GUARANTEE);
  one.clock.sleep(LENGTH_MS);
  answer.resolve(bound);
  await assertRejects(() => renewing, QuorateError, "nearly over");
  assertEquals(one.lease.isHeld, false);
  await one.hold.dispose();
});

Deno.test("hold: a renewal that is asked for twice is one", async () => {
  const one = rig();
  await Promise.all([one.hold.renew(), one.hold.renew()]);
  assertEquals(one.renewals.length, 1);
  await one.hold.release();
});

Deno.test("hold: it is given back once, ends at once, and says so", async () => {
  const one = rig();
  const releasing = [one.hold.release(), one.hold.release()];
  assertEquals([one.lease.isHeld, one.lease.reason?.how], [false, "disposed"]);
  await Promise.all([...releasing, one.hold.dispose()]);
  assertEquals(one.givenBack, [0]);
});

Deno.test("hold: giving back takes no longer than 3 s and dispose never throws, whatever the nodes do", async () => {
  for (const isRejected of [false, true]) {
    const one = rig();
    const never = new Promise<void>(() => {});
    one.giveBack = () => isRejected ? Promise.reject(refusal("not-ready")) : never;
    let isDone = false;
    const disposing = one.hold.dispose().then(() => isDone = true);
    const releasing = one.hold.release().then(() => "", (error) => error.code);
    await one.clock.pass(isRejected ? 0 : 2_999);
    assertEquals(isDone, isRejected);
    await one.clock.pass(1);
    await disposing;
    assertEquals(await releasing, isRejected ? "not-ready" : "outcome-unknown");
  }
});
