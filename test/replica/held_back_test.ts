/** What only takes a place waits a moment for the command that frees the way, and costs no value of its own (PROTOCOL.md §7). */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { realClock } from "../../src/compose/world.ts";
import { COMMANDS_PER_VALUE, PLACES_WAIT_MS } from "../../src/limits.ts";
import { instanceOfFence } from "../../src/machine/fence.ts";
import type { LockMachine } from "../../src/machine/machine.ts";
import type { Op } from "../../src/machine/op.ts";
import type { Snapshot, State } from "../../src/paxos/message.ts";
import { HeldBack } from "../../src/replica/held_back.ts";
import type { Pending, Submission } from "../../src/replica/pending.ts";
import type { Clock } from "../../src/ports.ts";
import { machine } from "../machine/key_log.ts";
import { fastClock, until } from "./clocks.ts";
import { caller, memoryCluster, request } from "./memory_cluster.ts";

const TAKE = { type: "acquire", holder: "h", mode: "exclusive", ttlMs: 10_000, lockDelayMs: 0, atMs: 0 } as const;
const WAITS = { ...TAKE, wait: { node: "a" } } as const;
const RELEASE = { type: "release", fence: "1", atMs: 0 } as const;

function pending(op: Op, more: Partial<Submission> = {}, sent: Partial<Pending> = {}): Pending {
  return {
    submission: { subject: "s", id: `c${JSON.stringify(op)}`, op, timeoutMs: 1_000, ...more },
    resolve: () => {},
    reject: () => {},
    cancelDeadline: () => {},
    command: null,
    born: 2,
    told: null,
    forwarded: null,
    sentIn: null,
    ...sent,
  };
}

function opening(state: State): Snapshot {
  return { instance: 2, state, stateHash: machine.hash(state), decidedBy: null };
}

const FREE = opening(machine.init({ kind: "prepare" }));
const FIRST: Op = { ...TAKE, holder: "first" };
const HELD = opening(
  machine.apply(FREE.state, 1, {
    id: "v",
    proposer: "a",
    commands: [{ subject: "other", id: "first", born: 1, op: FIRST }],
  }),
);

Deno.test("held back: places wait so long for company, from when the first came, and not again", () => {
  let nowMs = 1_000;
  const heldBack = new HeldBack({ machine, clock: { now: () => nowMs } });
  assertEquals(heldBack.leftMs(HELD, [pending(WAITS)]), PLACES_WAIT_MS);
  nowMs += 5;
  assertEquals(heldBack.leftMs(HELD, [pending(WAITS), pending({ ...WAITS, holder: "i" })]), PLACES_WAIT_MS - 5);
  nowMs += PLACES_WAIT_MS - 5;
  assertEquals(heldBack.leftMs(HELD, [pending(WAITS)]), 0);
  nowMs += 100;
  assertEquals(heldBack.leftMs(HELD, [pending(WAITS)]), PLACES_WAIT_MS, "the next ones");
});

Deno.test("held back: what somebody is answered by goes at once, and all that waits with it", () => {
  const heldBack = new HeldBack({ machine, clock: { now: () => 0 } });
  const cases: readonly [string, Snapshot, readonly Pending[]][] = [
    ["nothing waits", HELD, []],
    ["it would be granted", FREE, [pending(WAITS)]],
    ["one of two would be granted", FREE, [pending(WAITS), pending({ ...WAITS, holder: "i" })]],
    ["it would be refused", HELD, [pending(TAKE)]],
    ["a release is there too", HELD, [pending(WAITS), pending(RELEASE)]],
    ["it was sent before", HELD, [pending(WAITS, {}, { command: { subject: "s", id: "c", born: 2, op: WAITS } })]],
    ["it ends what ran out", HELD, [pending(WAITS, { claims: [{ id: "h", by: "v" }] })]],
    ["it is hedged", HELD, [pending(WAITS, { hedge: 2 })]],
  ];
  for (const [what, at, waiting] of cases) assertEquals(heldBack.leftMs(at, waiting), 0, what);
});

Deno.test("held back: each that comes is looked at once, and not all again with it; anew where one of them has gone", () => {
  let applied = 0;
  const counting: LockMachine = {
    ...machine,
    applyWithResults(state, instance, value) {
      applied += value.commands.length;
      return machine.applyWithResults(state, instance, value);
    },
  };
  const heldBack = new HeldBack({ machine: counting, clock: { now: () => 0 } });
  const waiting = Array.from({ length: 20 }, (_, i) => pending({ ...WAITS, holder: `h${i}` }));
  for (let n = 1; n <= waiting.length; n++) {
    assertEquals(heldBack.leftMs(HELD, waiting.slice(0, n)), PLACES_WAIT_MS, `${n}`);
    assertEquals(heldBack.leftMs(HELD, waiting.slice(0, n)), PLACES_WAIT_MS, `${n} again`);
  }
  assertEquals(applied, waiting.length);
  assertEquals(heldBack.leftMs(HELD, waiting.slice(1)), PLACES_WAIT_MS);
  assertEquals(applied, 2 * waiting.length - 1);
  assertEquals(heldBack.leftMs(HELD, [...waiting.slice(1), pending(TAKE)]), 0, "one that is refused goes at once");
  assertEquals(heldBack.leftMs(FREE, waiting), 0, "and all, where the way is free");
});

Deno.test("held back: what fills a value goes at once, as no release would go with it", () => {
  const heldBack = new HeldBack({ machine, clock: { now: () => 0 } });
  const waiting = Array.from({ length: COMMANDS_PER_VALUE }, (_, i) => pending({ ...WAITS, holder: `h${i}` }));
  assertEquals(heldBack.leftMs(HELD, waiting.slice(1)), PLACES_WAIT_MS);
  assertEquals(heldBack.leftMs(HELD, waiting), 0);
});

/** A thousandth of the speed of the wall clock: nothing here takes as long as places wait. */
const SLOW = 0.001;

Deno.test("held back: a place and the release that hands over to it are decided in one value", async () => {
  const slow = fastClock(SLOW);
  let isHeldBack = false;
  const clock: Clock = {
    ...slow,
    after(ms, run) {
      isHeldBack ||= ms > PLACES_WAIT_MS / 2 && ms <= PLACES_WAIT_MS;
      return slow.after(ms, run);
    },
  };
  const cluster = await memoryCluster(3, { clock });
  try {
    const { locks } = cluster.node("a");
    const held = await locks.acquire("q", request("first"), caller());
    const next = locks.acquire("q", request("second", { waitMs: 60_000, renews: true }), caller());
    await until("it waits for company", () => isHeldBack);
    const { receipt } = await locks.release("q", held.body.fence, caller());
    assertEquals(receipt.instance, 2);
    assertEquals(instanceOfFence((await next).body.fence), 2);
  } finally {
    cluster.close();
  }
});

Deno.test("held back: a release that comes in the same turn as a place is the company it waits for", async () => {
  let isOver = false;
  const cluster = await memoryCluster(3, {
    clock: {
      ...realClock,
      // Whatever waits out its time here is never decided.
      after: (ms, run) => realClock.after(ms, () => isOver || ms !== PLACES_WAIT_MS ? run() : undefined),
    },
  });
  try {
    const { locks } = cluster.node("a");
    // Somewhere on its way a round has looked at the place already, and goes on with it.
    for (let steps = 0; steps < 12; steps++) {
      const name = `q${steps}`;
      const held = await locks.acquire(name, request("first"), caller());
      const next = locks.acquire(name, request("second", { waitMs: 60_000, renews: true }), caller())
        .catch(() => null);
      for (let i = 0; i < steps; i++) await null;
      const released = locks.release(name, held.body.fence, caller()).then(() => true, () => false);
      assert(await released, `the release is decided, ${steps} steps after the place came`);
      assertNotEquals(await next, null);
    }
  } finally {
    isOver = true;
    cluster.close();
  }
});
