import { assert, assertEquals } from "@std/assert";
import * as core from "../../../src/paxos/mod.ts";
import { explore } from "./explorer.ts";
import { MUTANTS, mutated } from "./mutants.ts";
import { type PlanName, planNamed } from "./plans.ts";

/** Plans at n = 3 are searched to their end; those at n = 5 up to here. */
const BOUND = { 3: 3_000_000, 5: 150_000 } as const;

/** The others, as large or larger, are searched by the gate (`deno task ok`), which repeats these to their end. */
const HERE: readonly PlanName[] = [
  "FX n=3, a finishes",
  "FX n=3, c finishes",
  "FCX n=3, c coordinates, a finishes",
  "FUX n=3, a finishes",
  "FX n=5, a finishes",
  "FCX n=5, c coordinates, a finishes",
];

for (const name of HERE) {
  Deno.test(`explorer: ${name}: agreement in every interleaving`, () => {
    const plan = planNamed(name);
    const verdict = explore(core, plan, BOUND[plan.n as 3 | 5]);
    const { states, complete, violation, sometimes } = verdict;
    console.log(`${name}: ${states} states, ${complete ? "complete" : "bounded"}, ${JSON.stringify(sometimes)}`);
    assertEquals(violation, null);
    assertEquals(complete, plan.n === 3);
    // A search in which nothing is ever decided, or nothing collides, would pass without having looked.
    assert(sometimes.inclusive > 0 && sometimes.open > 0 && sometimes.collision > 0 && sometimes.ahead > 0);
    if (plan.n === 3) assert(/^F[CU]X/.test(name) ? sometimes.recovered > 0 : sometimes.classic > 0);
  });
}

for (const mutant of MUTANTS) {
  Deno.test(`explorer: catches ${mutant.name}`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "quorate-mutant-" });
    try {
      const plan = planNamed(mutant.caughtBy);
      const { states, violation } = explore(await mutated(mutant, folder), plan, 1_500_000);
      assert(violation !== null, `${mutant.name} survived ${states} states of ${mutant.caughtBy}`);
      console.log(`${mutant.name}: caught after ${states} states: ${violation.what}`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
