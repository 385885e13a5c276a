import { assert, assertEquals } from "@std/assert";
import { type Fault, MIXES, NODES, plan } from "./mixes.ts";

const DURATION_MS = 60_000;

/** Every node a fault touches, or that cannot reach all others because of it. */
function touched(fault: Fault): number {
  if (fault.type === "lossy") return 0;
  if (fault.type !== "links") return fault.nodes.length;
  // The fewest nodes without which the others have all their links.
  for (let size = 0; size <= NODES.length; size++) {
    const found = NODES.some((first) =>
      NODES.some((second) => {
        const without = [first, second].slice(0, size);
        return new Set(without).size === size &&
          fault.pairs.every((pair) => pair.some((id) => without.some((gone) => gone === id)));
      })
    );
    if (found) return size;
  }
  return NODES.length;
}

Deno.test("plans: the same seed is the same plan, another seed another", () => {
  for (const mix of MIXES) assertEquals(plan(mix, 7, DURATION_MS), plan(mix, 7, DURATION_MS));
  for (const mix of MIXES.filter((mix) => mix !== "calm" && mix !== "lossy")) {
    const plans = [1, 2, 3, 4].map((seed) => JSON.stringify(plan(mix, seed, DURATION_MS)));
    assert(new Set(plans).size > 1, mix);
  }
});

Deno.test("plans: steps follow each other, end in time, and leave a majority whole but where all are killed at once", () => {
  for (const mix of MIXES) {
    for (let seed = 1; seed <= 30; seed++) {
      let beforeMs = 0;
      for (const { atMs, untilMs, fault } of plan(mix, seed, DURATION_MS)) {
        assert(atMs >= beforeMs && untilMs > atMs && untilMs <= DURATION_MS, `${mix} ${seed}`);
        beforeMs = untilMs;
        if (fault.type === "kill" && fault.nodes.length === NODES.length) continue;
        assert(touched(fault) <= 2, `${mix} ${seed} ${JSON.stringify(fault)}`);
      }
    }
  }
});

Deno.test("plans: every mix but the calm one has its fault, in a short run too", () => {
  const types: Record<string, string> = {
    kill: "kill",
    pause: "pause",
    "one-way": "links",
    "two-way": "links",
    "half-open": "links",
    lossy: "lossy",
    "minority-down": "kill",
    rollback: "rollback",
    "full-disk": "full-disk",
  };
  assertEquals(plan("calm", 1, DURATION_MS), []);
  for (const [mix, type] of Object.entries(types)) {
    for (let seed = 1; seed <= 30; seed++) {
      const steps = plan(mix as keyof typeof types & typeof MIXES[number], seed, 6_000);
      assert(steps.length > 0 && steps.every(({ fault }) => fault.type === type), `${mix} ${seed}`);
    }
  }
});

Deno.test("plans: kills take all five at times; one-way cuts are of each kind, and each leaves the way back", () => {
  const steps = (mix: typeof MIXES[number]) =>
    Array.from({ length: 20 }, (_, seed) => plan(mix, seed + 1, DURATION_MS)).flat();
  assert(steps("kill").some(({ fault }) => fault.type === "kill" && fault.nodes.length === NODES.length));
  const states = new Set<string>();
  for (const { fault } of steps("one-way")) {
    assert(fault.type === "links");
    states.add(fault.state);
    const cut = new Set(fault.pairs.map((pair) => pair.join(">")));
    assert(fault.pairs.every(([from, to]) => !cut.has(`${to}>${from}`)));
  }
  assertEquals([...states].sort(), ["cut", "half-open", "mute"]);
  for (const { fault } of steps("two-way")) {
    assert(fault.type === "links");
    const cut = new Set(fault.pairs.map((pair) => pair.join(">")));
    assert(fault.pairs.every(([from, to]) => cut.has(`${to}>${from}`)));
  }
});
