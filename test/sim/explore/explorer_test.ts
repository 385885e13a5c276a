import { assert, assertEquals, assertGreater } from "@std/assert";
import * as core from "../../../src/paxos/mod.ts";
import { COUNTS, unlikePinned } from "./counts.ts";
import { explore, unseen } from "./explorer.ts";
import { judgeMembersMutant, MEMBERS_MUTANTS } from "./members/mutants.ts";
import { judgeHostMutants, judgeRoleMutant, type MutantJudgement, ROLE_MUTANTS, type RoleMutant } from "./mutants.ts";
import { type Plan, PLANS } from "./plans.ts";
import { SEARCHES } from "./searches.ts";

/** The others, larger, are searched by the gate (`deno task ok`). */
const HERE = SEARCHES.filter(({ count }) => count.in === "test");
const NAMES = HERE.map(({ name }) => name);

for (const planned of HERE) {
  Deno.test(`explorer: ${planned.name}: agreement in every interleaving`, () => {
    const verdict = planned.run();
    assertEquals(verdict.violation, null);
    assertEquals(planned.unlike(verdict), []);
    // A search in which nothing is ever decided, or nothing collides, would pass without having looked.
    assertEquals(planned.unseen(verdict), []);
  });
}

/** All of them are judged by the gate; here those that the small plans catch. */
for (const mutant of ROLE_MUTANTS.filter(({ caughtBy }) => NAMES.includes(caughtBy))) {
  Deno.test(`explorer: catches ${mutant.name}`, async () => {
    const { passes: _, ...caught }: RoleMutant = mutant;
    const { passed, how } = await judgeRoleMutant(caught);
    assert(passed, how);
  });
}

for (const mutant of MEMBERS_MUTANTS.filter((mutant) => "caughtBy" in mutant && NAMES.includes(mutant.caughtBy))) {
  Deno.test(`explorer: catches ${mutant.name}`, async () => {
    const { passed, how } = await judgeMembersMutant(mutant);
    assert(passed, how);
  });
}

Deno.test("explorer: a mutant that does nothing is told as not caught", async () => {
  const harmless = { name: "none", file: "paxos/acceptor.ts", edits: [] };
  const role = await judgeRoleMutant({ ...harmless, caughtBy: "FC n=3 2+0, c coordinates" });
  assert(!role.passed && role.how.includes("survived"), role.how);
  const of = "test/machine/fence_test.ts";
  const hosts: MutantJudgement[] = [];
  const tests = ["decimals compare as numbers, not as text", "no such test"];
  await judgeHostMutants(tests.map((test) => ({ ...harmless, of, test })), (_, judgement) => hosts.push(judgement));
  assertEquals(hosts.map(({ passed }) => passed), [false, false]);
  assert(hosts[0]!.how.includes("does not fail") && hosts[1]!.how.includes("does not pass"), JSON.stringify(hosts));
  const members = { ...harmless, file: "members/acceptor.ts", caughtBy: "F 3→3', one import" } as const;
  const survived = await judgeMembersMutant(members);
  assert(!survived.passed && survived.how.includes("no violation"), survived.how);
});

Deno.test("explorer: a count that moved, and what was never seen, are told", () => {
  const name = "FC n=3 2+0, c coordinates";
  const plan: Plan = { ...PLANS[name], sometimes: ["collision", "behind", "read"] };
  const verdict = explore(core, plan, 1_000);
  assertEquals([verdict.states, verdict.complete], [1_000, false]);
  assertEquals(unseen(plan, verdict), ["behind", "read"]);
  const [complaint] = unlikePinned(name, COUNTS[name], "counts.ts", verdict);
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

Deno.test("explorer: PROTOCOL.md has each mutant of membership, and what is to become of it", async () => {
  const protocol = await Deno.readTextFile(new URL("../../../src/paxos/PROTOCOL.md", import.meta.url));
  for (const mutant of MEMBERS_MUTANTS) {
    const fate = "caughtBy" in mutant ? `caught by ${mutant.caughtBy}` : `harmless in ${mutant.harmlessIn}`;
    assert(protocol.includes(`\n| ${mutant.name} | ${fate} |\n`), mutant.name);
  }
});

Deno.test("explorer: the gate has two million states at least, all plans together twenty", () => {
  const counts = SEARCHES.map(({ count }) => count);
  const total = (some: typeof counts) => some.reduce((sum, { states }) => sum + states, 0);
  assertGreater(total(counts.filter((count) => count.in !== "deep")), 2_000_000);
  assertGreater(total(counts), 20_000_000);
});
