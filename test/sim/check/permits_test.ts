import { assert, assertEquals } from "@std/assert";
import { seeded } from "../../replica/clocks.ts";
import { type PermitEvent, permitFaults } from "./permits.ts";

function grant(fence: bigint, calledMs: number, untilMs: number, more: Partial<PermitEvent> = {}): PermitEvent {
  const base = { lock: "x", calledMs, returnedMs: calledMs + 1, releasedMs: Infinity, permits: 1, limit: 2 };
  return { ...base, fence, guaranteedUntilMs: untilMs, ...more };
}

Deno.test("permits: as many as there are, given back early, one after another, of other semaphores, are in order", () => {
  const grants = [
    grant(1n, 0, 10),
    grant(2n, 1, 100, { releasedMs: 20 }),
    grant(3n, 20, 40, { permits: 2, returnedMs: 20 }),
    grant(4n, 40, 50, { permits: 2 }),
    grant(1n, 5, 90, { lock: "y", permits: 2 }),
  ];
  assertEquals(permitFaults(grants, true), []);
});

Deno.test("permits: one more than there are is found, once it is told; a fence again is found at any rate", () => {
  const grants = [grant(1n, 0, 100), grant(2n, 2, 103), grant(3n, 5, 50)];
  assertEquals(permitFaults(grants, true), ["x: with fence 3, answered at 6, 3 of 2 permits are in use"]);
  assertEquals(permitFaults(grants, false), []);
  assertEquals(permitFaults([grant(1n, 0, 100), grant(2n, 2, 103, { permits: 2 })], true).length, 1);
  assert(permitFaults([grant(1n, 0, 3), grant(1n, 5, 9)], false)[0]!.includes("granted twice"));
});

/** At the beginning of each guarantee, all that overlap it, as one would write it down first. */
function exceeding(grants: readonly PermitEvent[]): number {
  const endOf = ({ guaranteedUntilMs, releasedMs }: PermitEvent) => Math.min(guaranteedUntilMs, releasedMs);
  return grants.filter(({ lock, returnedMs: atMs, limit, ...own }, i) => {
    if (endOf(grants[i]!) <= atMs) return false;
    const others = grants.filter((other) =>
      other !== grants[i] && other.lock === lock && other.returnedMs <= atMs && atMs < endOf(other)
    );
    return others.reduce((sum, { permits }) => sum + permits, own.permits) > limit;
  }).length;
}

Deno.test("permits: finds what a look at all of them finds", () => {
  const next = seeded(12);
  let found = 0;
  for (let round = 0; round < 300; round++) {
    const grants = Array.from({ length: 12 }, (_, i) => {
      const calledMs = next() * 100;
      return grant(BigInt(i), calledMs, calledMs + next() * 40, {
        lock: next() < 0.5 ? "x" : "y",
        permits: next() < 0.5 ? 1 : 2,
        limit: 4,
        releasedMs: next() < 0.5 ? Infinity : calledMs + next() * 30,
      });
    });
    const faults = permitFaults(grants, true).filter((fault) => fault.includes("permits are in use"));
    assertEquals(faults.length, exceeding(grants));
    found += faults.length;
  }
  assert(found > 100);
});
