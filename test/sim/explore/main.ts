/** `deno task explore`: every plan, with its counts. */
import * as core from "../../../src/paxos/mod.ts";
import { explore } from "./explorer.ts";
import { type PlanName, planNamed, PLANS } from "./plans.ts";

const bound = Number(Deno.args[0] ?? 400_000);
const only = Deno.args[1];
for (const name of Object.keys(PLANS) as PlanName[]) {
  if (only !== undefined && !name.includes(only)) continue;
  const started = performance.now();
  const verdict = explore(core, planNamed(name), bound);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const { states, complete, violation, sometimes } = verdict;
  console.log(
    `${name}: ${states} states${complete ? "" : " (not complete)"} in ${seconds} s`,
    JSON.stringify(sometimes),
  );
  if (violation !== null) {
    console.log(violation.what, "\n  " + violation.script.join("\n  "));
    Deno.exit(1);
  }
}
