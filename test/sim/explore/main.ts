/** `deno task explore`: every interleaving of small plans on the shipped roles, and planted bugs that must be caught. */
import { optionsOf, whole } from "../../options.ts";
import { judgeMembersMutant, MEMBERS_MUTANTS } from "./members/mutants.ts";
import { HOST_MUTANTS, judgeHostMutants, judgeRoleMutant, type MutantJudgement, ROLE_MUTANTS } from "./mutants.ts";
import { type PlannedSearch, SEARCHES } from "./searches.ts";

const HELP = `deno task explore [--deep] [--only TEXT] [--bound N]
deno task explore --mutants [--only TEXT]

Searches every interleaving, loss, duplication and reordering of the gate's plans, each against its pinned count of states.

  --deep     all plans there are
  --only     those with the text in their name
  --bound    up to so many states each, and without pins
  --mutants  every planted bug must be caught

Exit code: 0 all is as it should be, 1 it is not, or --only is in no name, 2 an option is wrong.`;

const values = optionsOf(HELP, {
  deep: { type: "boolean" },
  mutants: { type: "boolean" },
  only: { type: "string" },
  bound: { type: "string" },
});
const bound = values.bound === undefined ? undefined : whole("bound", values.bound);

/** What is wrong with the search, nothing if all is as it should be. */
function search(planned: PlannedSearch): { readonly states: number; readonly faults: readonly string[] } {
  const startedMs = performance.now();
  const { name } = planned;
  const verdict = planned.run(bound);
  const { states, complete, violation, sometimes } = verdict;
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
  const megabytes = Math.round(Deno.memoryUsage().rss / 1e6);
  console.log(
    `${name}: ${states} states${complete ? "" : " (not complete)"} in ${seconds} s, ${megabytes} MB`,
    JSON.stringify(sometimes),
  );
  if (violation !== null) return { states, faults: [violation.what, ...violation.script.map((line) => `  ${line}`)] };
  if (bound !== undefined) return { states, faults: [] };
  // Breadth first, a search that is cut short may not have come far enough.
  const missing = complete ? planned.unseen(verdict).map((what) => `${name} never came to: ${what}`) : [];
  return { states, faults: [...planned.unlike(verdict), ...missing] };
}

function explorePlans(): boolean {
  const searches = SEARCHES
    .filter(({ name }) => values.only === undefined || name.includes(values.only))
    .filter(({ count }) => values.deep || bound !== undefined || count.in !== "deep");
  let total = 0;
  let failed = 0;
  for (const planned of searches) {
    const { states, faults } = search(planned);
    total += states;
    if (faults.length > 0) failed++;
    for (const fault of faults) console.log(fault);
  }
  console.log(`${searches.length} plans, ${total} states, ${failed} failed`);
  return searches.length > 0 && failed === 0;
}

async function plantMutants(): Promise<boolean> {
  const isMeant = ({ name }: { readonly name: string }) => values.only === undefined || name.includes(values.only);
  let judged = 0;
  let failed = 0;
  const told = (mutant: { readonly name: string }, { passed, how }: MutantJudgement) => {
    const word = "harmlessIn" in mutant ? "harmless" : "caught";
    console.log(`${passed ? word : `NOT ${word.toUpperCase()}`}: ${mutant.name}: ${how}`);
    judged++;
    if (!passed) failed++;
  };
  for (const mutant of ROLE_MUTANTS.filter(isMeant)) told(mutant, await judgeRoleMutant(mutant));
  for (const mutant of MEMBERS_MUTANTS.filter(isMeant)) told(mutant, await judgeMembersMutant(mutant));
  await judgeHostMutants(HOST_MUTANTS.filter(isMeant), told);
  console.log(`${judged} mutants, ${failed} not as they should be`);
  return judged > 0 && failed === 0;
}

Deno.exit((values.mutants ? await plantMutants() : explorePlans()) ? 0 : 1);
