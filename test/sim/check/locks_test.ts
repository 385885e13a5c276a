import { assert, assertEquals } from "@std/assert";
import { seeded } from "../../replica/clocks.ts";
import { type HoldEvent, lockFaults } from "./locks.ts";

function hold(fence: bigint, calledMs: number, untilMs: number, more: Partial<HoldEvent> = {}): HoldEvent {
  const base = { lock: "x", calledMs, returnedMs: calledMs + 1, releasedMs: Infinity, mode: "exclusive" } as const;
  return { ...base, fence, guaranteedUntilMs: untilMs, ...more };
}

Deno.test("locks: grants one after another, given back early, shared ones together, other locks, are in order", () => {
  const holds = [
    hold(1n, 0, 10),
    hold(2n, 12, 100, { releasedMs: 20 }),
    hold(3n, 21, 50, { mode: "shared" }),
    hold(4n, 22, 40, { mode: "shared" }),
    hold(5n, 50, 60),
    hold(1n, 5, 90, { lock: "y" }),
  ];
  assertEquals(lockFaults(holds, true), []);
});

Deno.test("locks: two guarantees at once are found, also over a third that ended between them", () => {
  assert(lockFaults([hold(1n, 0, 100), hold(2n, 2, 103)], true)[0]!.includes("while 1 was guaranteed until 100"));
  const [fault] = lockFaults([hold(1n, 0, 100), hold(2n, 1, 3, { returnedMs: 100 }), hold(3n, 50, 60)], true);
  assert(fault!.includes("fence 3 was answered at 51, while 1"));
  assertEquals(lockFaults([hold(1n, 0, 100), hold(2n, 2, 103)], false), []);
  const shared = [hold(1n, 0, 100, { mode: "shared" }), hold(2n, 5, 9, { mode: "shared" })];
  assertEquals(lockFaults(shared, true), []);
  assertEquals(lockFaults([...shared, hold(3n, 10, 12)], true).length, 1);
  assertEquals(lockFaults([hold(1n, 0, 100), hold(2n, 5, 9, { mode: "shared" })], true).length, 1);
});

/** Every pair, as one would write it down first. */
function overlapping(holds: readonly HoldEvent[]): number {
  return holds.filter((later) =>
    holds.some((earlier) =>
      earlier.lock === later.lock && earlier.fence < later.fence &&
      (earlier.mode === "exclusive" || later.mode === "exclusive") &&
      later.returnedMs < Math.min(earlier.guaranteedUntilMs, earlier.releasedMs)
    )
  ).length;
}

Deno.test("locks: finds what a look at every pair finds", () => {
  const next = seeded(11);
  for (let round = 0; round < 300; round++) {
    const holds = Array.from({ length: 12 }, (_, i) => {
      const calledMs = next() * 100;
      return hold(BigInt(i), calledMs, calledMs + next() * 40, {
        lock: next() < 0.5 ? "x" : "y",
        mode: next() < 0.5 ? "exclusive" : "shared",
        releasedMs: next() < 0.5 ? Infinity : calledMs + next() * 30,
      });
    });
    const found = lockFaults(holds, true).filter((fault) => fault.includes("guaranteed until"));
    assertEquals(found.length, overlapping(holds), JSON.stringify(holds, (_, v) => typeof v === "bigint" ? `${v}` : v));
  }
});
