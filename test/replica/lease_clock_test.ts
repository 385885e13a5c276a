import { assertEquals } from "@std/assert";
import { DRIFT } from "../../src/limits.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { LeaseTerm, Machine, State } from "../../src/paxos/message.ts";
import { LeaseClock } from "../../src/replica/lease_clock.ts";
import { ManualClock } from "../transport/manual_clock.ts";
import { machine as samples } from "../paxos/samples.ts";

const KEY = "lock/a";
const LEASE: LeaseTerm = { id: "f:1025", by: "a/v/1", ttlMs: 1_000 };
const RENEWED: LeaseTerm = { ...LEASE, by: "a/v/2" };
const LAPSE_MS = LEASE.ttlMs * (1 + DRIFT);

type Leased = State & { readonly leases: readonly LeaseTerm[] };

function stateOf(...leases: readonly LeaseTerm[]): Leased {
  return { mode: { kind: "prepare" }, leases };
}

function at(instance: number, state: Leased) {
  return { instance, state, stateHash: JSON.stringify(state) };
}

function rig(maxKeys?: number) {
  const clock = new ManualClock();
  const machine: Machine = { ...samples, leases: (state) => (state as Leased).leases };
  return { clock, leases: new LeaseClock(clock, machine, maxKeys) };
}

Deno.test("lease clock: a lease counts from its first sight, and seeing it again does not begin it anew", async () => {
  const { clock, leases } = rig();
  leases.see(KEY, at(2, stateOf(LEASE)));
  await clock.pass(600);
  leases.see(KEY, at(2, stateOf(LEASE)));
  assertEquals(leases.seenMs(KEY, LEASE), 600);
  assertEquals(leases.remainingMs(KEY, LEASE), LAPSE_MS - 600);
  await clock.pass(LAPSE_MS - 601);
  assertEquals(leases.remainingMs(KEY, LEASE), 1);
  await clock.pass(5_000);
  assertEquals(leases.remainingMs(KEY, LEASE), 0);
});

Deno.test("lease clock: a lease carried on into a later instance goes on counting", async () => {
  const { clock, leases } = rig();
  leases.see(KEY, at(2, stateOf(LEASE)));
  await clock.pass(300);
  leases.see(KEY, at(3, stateOf(LEASE, { id: "p:x", by: "b/v/1", ttlMs: 10_000 })));
  await clock.pass(300);
  assertEquals(leases.seenMs(KEY, LEASE), 600);
  assertEquals(leases.seenMs(KEY, { id: "p:x", by: "b/v/1" }), 300);
});

Deno.test("lease clock: a renewal is another lease, and counts from its own beginning", async () => {
  const { clock, leases } = rig();
  leases.see(KEY, at(2, stateOf(LEASE)));
  await clock.pass(LAPSE_MS - 1);
  leases.see(KEY, at(3, stateOf(RENEWED)));
  assertEquals(leases.remainingMs(KEY, RENEWED), LAPSE_MS);
  await clock.pass(1);
  assertEquals(leases.remainingMs(KEY, RENEWED), LAPSE_MS - 1);
  // What a claim of the old name is told: never seen.
  assertEquals(leases.seenMs(KEY, LEASE), 0);
});

Deno.test("lease clock: a lease counts from the vote for the value that grants it, if that came first", async () => {
  const { clock, leases } = rig();
  const before = stateOf();
  leases.see(KEY, at(1, before));
  leases.voted(KEY, 1, LEASE.by);
  await clock.pass(400);
  leases.voted(KEY, 1, LEASE.by);
  leases.see(KEY, at(2, stateOf(LEASE)));
  assertEquals(leases.seenMs(KEY, LEASE), 400);
});

Deno.test("lease clock: a vote for another value begins no lease", async () => {
  const { clock, leases } = rig();
  const before = stateOf();
  leases.see(KEY, at(1, before));
  leases.voted(KEY, 1, "b/v/1");
  await clock.pass(400);
  leases.see(KEY, at(2, stateOf(LEASE)));
  assertEquals(leases.seenMs(KEY, LEASE), 0);
});

Deno.test("lease clock: a vote dates what its own instance made, and nothing that the value makes when it is proposed again", async () => {
  const { clock, leases } = rig();
  leases.see(KEY, at(1, stateOf()));
  leases.voted(KEY, 1, LEASE.by);
  await clock.pass(400);
  // It lost at 1, was proposed again and decided at 2, and the state came whole.
  leases.see(KEY, at(3, stateOf(LEASE)));
  assertEquals(leases.seenMs(KEY, LEASE), 0);
});

Deno.test("lease clock: a value that lost and is voted for again in the write that moves the record on is dated there", async () => {
  const { clock, leases } = rig();
  const value = { id: LEASE.by, proposer: "", commands: [] };
  const vote = { ballot: STANDING, kind: "fast", value } as const;
  const record = (instance: number) => ({
    ...at(instance, stateOf()),
    epoch: 0,
    decidedBy: null,
    promised: STANDING,
    vote,
  });
  leases.stepped(KEY, { ...record(1), vote: null }, record(1))?.();
  await clock.pass(400);
  leases.stepped(KEY, record(1), record(2))?.();
  await clock.pass(300);
  // In the same instance a vote in another ballot is no other beginning.
  leases.stepped(KEY, record(2), { ...record(2), promised: [1, "a", 0] })?.();
  leases.see(KEY, at(3, stateOf(LEASE)));
  assertEquals(leases.seenMs(KEY, LEASE), 300);
});

Deno.test("lease clock: a vote that is told after the record has moved on changes nothing", async () => {
  const { clock, leases } = rig();
  leases.see(KEY, at(2, stateOf()));
  leases.voted(KEY, 2, LEASE.by);
  await clock.pass(400);
  leases.voted(KEY, 1, "b/v/1");
  leases.see(KEY, at(3, stateOf(LEASE)));
  assertEquals(leases.seenMs(KEY, LEASE), 400);
});

Deno.test("lease clock: the records of a vote are read again and again, and its beginning is kept", async () => {
  const { clock, leases } = rig();
  const held = () => stateOf({ id: "f:7", by: "z/v/1", ttlMs: 1_000 });
  leases.see(KEY, at(1, held()));
  leases.voted(KEY, 1, LEASE.by);
  await clock.pass(400);
  leases.see(KEY, at(1, held()));
  await clock.pass(100);
  leases.see(KEY, at(2, stateOf(LEASE)));
  assertEquals(leases.seenMs(KEY, LEASE), 500);
});

Deno.test("lease clock: a lease that ended and came back under its name counts anew; another key's never counts", async () => {
  const { clock, leases } = rig();
  leases.see(KEY, at(2, stateOf(LEASE)));
  await clock.pass(900);
  leases.see(KEY, at(3, stateOf()));
  leases.see(KEY, at(4, stateOf(LEASE)));
  assertEquals(leases.seenMs(KEY, LEASE), 0);
  assertEquals(leases.seenMs("lock/b", LEASE), 0);
});

Deno.test("lease clock: a record seen late, of an instance that is over, shortens and ends nothing", async () => {
  const { clock, leases } = rig();
  leases.see(KEY, at(3, stateOf(LEASE)));
  await clock.pass(200);
  leases.see(KEY, at(2, stateOf()));
  await clock.pass(200);
  assertEquals(leases.seenMs(KEY, LEASE), 400);
});

Deno.test("lease clock: a lease that a step ended whose commit failed is timed anew, and runs out", async () => {
  const { clock, leases } = rig();
  const place: LeaseTerm = { id: "p:x", by: "b/v/1", ttlMs: 10_000 };
  leases.see(KEY, at(9, stateOf(LEASE, place)));
  await clock.pass(600);
  // It ran for a commit that was lost: the record stands where it stood, and is read again and again.
  leases.see(KEY, at(10, stateOf(place)));
  for (let i = 0; i < 2; i++) {
    leases.see(KEY, at(9, stateOf(LEASE, place)));
    await clock.pass(LAPSE_MS / 2);
  }
  assertEquals(leases.remainingMs(KEY, LEASE), 0);
  assertEquals(leases.seenMs(KEY, place), 600 + LAPSE_MS);
});

Deno.test("lease clock: of nothing seen, the whole lease remains", () => {
  const { leases } = rig();
  assertEquals(leases.seenMs(KEY, LEASE), 0);
  assertEquals(leases.remainingMs(KEY, LEASE), LAPSE_MS);
});

Deno.test("lease clock: a vote at an instance that was not seen yet takes nothing from what was seen", async () => {
  const { clock, leases } = rig();
  leases.see(KEY, at(2, stateOf(LEASE)));
  await clock.pass(600);
  leases.voted(KEY, 3, "b/v/9");
  leases.see(KEY, at(3, stateOf(LEASE)));
  assertEquals(leases.seenMs(KEY, LEASE), 600);
});

Deno.test("lease clock: of more names than it remembers the oldest begins anew, which only lengthens its leases", async () => {
  const { clock, leases } = rig(2);
  for (const key of ["lock/a", "lock/b"]) leases.see(key, at(2, stateOf(LEASE)));
  await clock.pass(600);
  leases.see("lock/c", at(2, stateOf(LEASE)));
  assertEquals([leases.seenMs("lock/a", LEASE), leases.seenMs("lock/b", LEASE)], [0, 600]);
  assertEquals([leases.remainingMs("lock/a", LEASE), leases.remainingOfKeyMs("lock/a")], [LAPSE_MS, null]);
  leases.see("lock/a", at(2, stateOf(LEASE)));
  await clock.pass(LAPSE_MS);
  assertEquals(leases.remainingMs("lock/a", LEASE), 0);
  assertEquals([leases.remainingOfKeyMs("lock/a"), leases.remainingOfKeyMs("lock/b")], [0, null]);
});

Deno.test("lease clock: another state at the same instance, as after a commit that failed, has its own leases timed", async () => {
  const { clock, leases } = rig();
  const other: LeaseTerm = { id: "f:2049", by: "b/v/2", ttlMs: 1_000 };
  leases.see(KEY, at(2, stateOf(LEASE)));
  leases.see(KEY, at(2, stateOf(LEASE, other)));
  await clock.pass(LAPSE_MS);
  assertEquals([leases.remainingMs(KEY, other), leases.remainingMs(KEY, LEASE)], [0, 0]);
});
