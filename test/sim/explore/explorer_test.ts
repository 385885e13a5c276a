import { assert, assertEquals, assertGreater } from "@std/assert";
import * as core from "../../../src/paxos/mod.ts";
import { COUNTS, pinnedBound, unlikePinned } from "./counts.ts";
import { explore, unseen } from "./explorer.ts";
import { judgeHostMutant, judgeRoleMutant, ROLE_MUTANTS, type RoleMutant } from "./mutants.ts";
import { type Plan, type PlanName, PLANS } from "./plans.ts";

/** The others, larger, are searched by the gate (`deno task ok`). */
const HERE = (Object.keys(PLANS) as PlanName[]).filter((name) => COUNTS[name].in === "test");

for (const name of HERE) {
  Deno.test(`explorer: ${name}: agreement in every interleaving`, () => {
    const verdict = explore(core, PLANS[name], pinnedBound(name));
    assertEquals(verdict.violation, null);
    assertEquals(unlikePinned(name, verdict), []);
    // A search in which nothing is ever decided, or nothing collides, would pass without having looked.
    assertEquals(unseen(PLANS[name], verdict), []);
  });
}

/** All of them are judged by the gate; here those that the small plans catch. */
for (const mutant of ROLE_MUTANTS.filter(({ caughtBy }) => HERE.includes(caughtBy))) {
  Deno.test(`explorer: catches ${mutant.name}`, async () => {
    const { passes: _, ...caught }: RoleMutant = mutant;
    const { passed, how } = await judgeRoleMutant(caught);
    assert(passed, how);
  });
}

Deno.test("explorer: a mutant that does nothing is told as not caught", async () => {
  const harmless = { name: "none", file: "paxos/acceptor.ts", edits: [] };
  const role = await judgeRoleMutant({ ...harmless, caughtBy: "FC n=3 2+0, c coordinates" });
  assert(!role.passed && role.how.includes("survived"), role.how);
  const of = "test/machine/fence_test.ts";
  const host = await judgeHostMutant({ ...harmless, of, test: "decimals compare as numbers, not as text" });
  assert(!host.passed && host.how.includes("does not fail"), host.how);
  const missing = await judgeHostMutant({ ...harmless, of, test: "no such test" });
  assert(!missing.passed && missing.how.includes("does not pass"), missing.how);
});

Deno.test("explorer: a count that moved, and what was never seen, are told", () => {
  const name = "FC n=3 2+0, c coordinates";
  const plan: Plan = { ...PLANS[name], sometimes: ["collision", "behind", "read"] };
  const verdict = explore(core, plan, 1_000);
  assertEquals([verdict.states, verdict.complete], [1_000, false]);
  assertEquals(unseen(plan, verdict), ["behind", "read"]);
  const [complaint] = unlikePinned(name, verdict);
  assert(complaint?.includes("1000 states (not complete), but pinned are") && complaint.includes("counts.ts"));
});

Deno.test("explorer: the script of a violation leads there, action by action", async () => {
  const mutant = ROLE_MUTANTS.find(({ name }) => name === "overwritten fast vote")!;
  const { plantedCore } = await import("./plant.ts");
  const { violation } = explore(await plantedCore(mutant), PLANS[mutant.caughtBy], 10_000);
  assert(violation !== null);
  // Breadth first: no shorter way has two values decided.
  assertEquals(violation.script.at(0), "a gets accept at 1 0..0 a/v/1");
  assert(violation.script.every((line) => /^(\w|proposer \w) (gets|prepares)/.test(line)), violation.script.join("\n"));
});

Deno.test("explorer: the gate has two million states at least, all plans together twenty", () => {
  const counts = Object.values(COUNTS);
  const total = (some: typeof counts) => some.reduce((sum, { states }) => sum + states, 0);
  assertGreater(total(counts.filter((count) => count.in !== "deep")), 2_000_000);
  assertGreater(total(counts), 20_000_000);
});
