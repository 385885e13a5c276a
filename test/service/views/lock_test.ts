import { assert, assertEquals } from "@std/assert";
import { sha256Hex } from "../../../src/auth/digest.ts";
import { DRIFT, LIST_DEFAULT_ITEMS, PLACE_TTL_MS } from "../../../src/limits.ts";
import { createMachine } from "../../../src/machine/machine.ts";
import { holdOfFence } from "../../../src/machine/view.ts";
import type { Op } from "../../../src/machine/op.ts";
import type { State } from "../../../src/paxos/message.ts";
import { LeaseClock } from "../../../src/replica/lease_clock.ts";
import { LockViews } from "../../../src/service/views/lock.ts";
import { ManualClock } from "../../transport/manual_clock.ts";

const KEY = "lock/x";
const machine = createMachine({ digest: sha256Hex });

/** One key of one node, decided one command at a time. */
function rig() {
  const clock = new ManualClock();
  const leases = new LeaseClock(clock, machine);
  let state: State = machine.init({ kind: "prepare" });
  let instance = 0;
  return {
    clock,
    views: new LockViews(leases),
    get state() {
      return state;
    },
    decide(op: Op, subject = "s") {
      const command = { subject, id: `c${instance}`, born: instance + 1, op };
      state = machine.apply(state, ++instance, { id: `a/v/${instance}`, proposer: "a", commands: [command] });
      leases.see(KEY, { instance: instance + 1, state, stateHash: machine.hash(state) });
    },
  };
}

function acquire(holder: string, more: Partial<Extract<Op, { type: "acquire" }>> = {}): Op {
  return { type: "acquire", holder, mode: "exclusive", ttlMs: 10_000, lockDelayMs: 0, atMs: 1_000, ...more };
}

const RECEIPT = { path: "fast", instance: 1, ballot: "0..0" } as const;

Deno.test("lock views: a key nobody used is free, with nothing in it", () => {
  const { views, state } = rig();
  assertEquals(views.lock("x", KEY, state), {
    name: "x",
    state: "free",
    holders: [],
    waiters: [],
    waiterCount: 0,
    lastFence: "0",
    revision: "0",
  });
});

Deno.test("lock views: a grant's guarantee is the ttl less the drift, beside what was waited, and neither is rounded up", () => {
  const it = rig();
  it.decide(acquire("me", { metadata: "m" }));
  const hold = holdOfFence(it.state, "1025")!;
  const grant = it.views.grant("x", { hold, state: it.state, receipt: RECEIPT, waitedMs: 12.9 });
  assertEquals(grant, {
    name: "x",
    holder: "me",
    fence: "1025",
    mode: "exclusive",
    ttlMs: 10_000,
    guaranteedForMs: 10_000 * (1 - DRIFT),
    lapsesInMs: 10_000 * (1 + DRIFT),
    waitedMs: 12,
    metadata: "m",
    revision: "1025",
  });
  for (const ttlMs of [1_000, 1_001, 1_099, 3_599_999]) {
    const { guaranteedForMs, lapsesInMs } = it.views.grant("x", {
      hold: { ...hold, ttlMs },
      state: it.state,
      receipt: RECEIPT,
      waitedMs: 0,
    });
    assert(guaranteedForMs <= ttlMs * (1 - DRIFT) && Number.isInteger(guaranteedForMs), `${ttlMs}`);
    assert(lapsesInMs >= ttlMs * (1 + DRIFT) && Number.isInteger(lapsesInMs), `${ttlMs}`);
  }
});

Deno.test("lock views: what is left of a hold is what this node's clock has not seen of it", async () => {
  const it = rig();
  it.decide(acquire("me"));
  await it.clock.pass(4_000);
  assertEquals(it.views.lock("x", KEY, it.state).holders[0]!.lapsesInMs, 6_100);
  await it.clock.pass(60_000);
  assertEquals(it.views.lock("x", KEY, it.state).holders[0]!.lapsesInMs, 0);
});

Deno.test("lock views: held says who, how many wait, and when to come back: not at once, and not in an hour", async () => {
  const it = rig();
  it.decide(acquire("me", { ttlMs: 3_600_000 }));
  it.decide(acquire("w", { wait: { node: "b" } }), "t");
  const held = it.views.held(KEY, it.state);
  assertEquals([held.holders.map(({ holder }) => holder), held.queue, held.retryAfterMs], [["me"], 1, 5_000]);
  await it.clock.pass(3_600_000 * (1 + DRIFT) - 700);
  assertEquals(it.views.held(KEY, it.state).retryAfterMs, 700);
  await it.clock.pass(10_000);
  assertEquals(it.views.held(KEY, it.state).retryAfterMs, 100);
});

Deno.test("lock views: of several shared holders the first to lapse says when to come back", async () => {
  const it = rig();
  it.decide(acquire("one", { mode: "shared", ttlMs: 4_000 }));
  await it.clock.pass(1_000);
  it.decide(acquire("two", { mode: "shared", ttlMs: 2_000 }), "t");
  const held = it.views.held(KEY, it.state);
  assertEquals(held.holders.map(({ holder, lapsesInMs }) => [holder, lapsesInMs]), [["one", 3_040], ["two", 2_020]]);
  assertEquals(held.retryAfterMs, 2_020);
});

Deno.test("lock views: a waiter whose place nobody renewed is left out, and those behind it move up", async () => {
  const it = rig();
  it.decide(acquire("me", { ttlMs: 3_600_000 }));
  it.decide(acquire("gone", { wait: { node: "b" } }), "t");
  await it.clock.pass(6_000);
  it.decide(acquire("here", { wait: { node: "b" } }), "u");
  assertEquals(it.views.lock("x", KEY, it.state).waiters.map(({ holder }) => holder), ["gone", "here"]);
  await it.clock.pass(PLACE_TTL_MS * (1 + DRIFT) - 6_000);
  const { waiters, waiterCount } = it.views.lock("x", KEY, it.state);
  assertEquals([waiters, waiterCount], [[{ holder: "here", position: 1, mode: "exclusive" }], 1]);
  assertEquals(it.views.held(KEY, it.state).queue, 1);
});

Deno.test("lock views: waiters beyond the list are counted only", () => {
  const it = rig();
  it.decide(acquire("me"));
  for (let i = 0; i < LIST_DEFAULT_ITEMS + 5; i++) it.decide(acquire(`w${i}`, { wait: { node: "b" } }), `s${i}`);
  const { waiters, waiterCount } = it.views.lock("x", KEY, it.state);
  assertEquals([waiters.length, waiterCount], [LIST_DEFAULT_ITEMS, LIST_DEFAULT_ITEMS + 5]);
});
