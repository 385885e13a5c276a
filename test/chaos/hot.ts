/** `deno task hot`: one hot name on three real processes, and whether its callers are told what is true. */
import { above, optionsOf, refuse, whole } from "../options.ts";
import { type Result, SCENARIOS } from "./hot_scenarios.ts";

const HELP = `deno task hot [--seconds 60] [--only NAME]… [--examples 3]

Three node processes with default settings on real files, and many callers of one name. What was decided is written down by
the nodes' stores (recording_node.ts), applied once more, and every answer is held against it.

  --seconds   of each scenario
  --only      one or more of: ${SCENARIOS.map(({ name }) => JSON.stringify(name)).join(", ")}
  --examples  shown of each kind of violation

lateRepeats     writes applied again for a retry without Quorate-Born that came later than the window reaches: what the
                header is for, so no violation
unknownApplied  of the writes whose outcome nobody was told, those that were applied

Exit code: 0 nothing wrong, 1 something is, 2 it was not run.`;

/** One line of figures, and what was wrong. */
export function told(name: string, { figures, wrong }: Result, examples: number): string {
  const numbers = Object.entries(figures).map(([what, figure]) => `${what} ${figure}`).join(", ");
  const kinds = [...wrong].map(([kind, all]) => `${kind} ${all.length}`);
  const line = `${name}: ${numbers}; ${kinds.length === 0 ? "nothing wrong" : `WRONG: ${kinds.join(", ")}`}`;
  const more = [...wrong].flatMap(([kind, all]) => all.slice(0, examples).map((what) => `  ${kind}: ${what}`));
  return [line, ...more].join("\n");
}

async function main(): Promise<number> {
  const values = optionsOf(HELP, {
    seconds: { type: "string", default: "60" },
    only: { type: "string", multiple: true, default: SCENARIOS.map(({ name }) => name) },
    examples: { type: "string", default: "3" },
  });
  const [seconds, examples] = [above("seconds", values.seconds, 0), whole("examples", values.examples)];
  const unknown = values.only.find((name) => !SCENARIOS.some((scenario) => scenario.name === name));
  if (unknown !== undefined) refuse(`--only is none of the scenarios: ${JSON.stringify(unknown)}`);
  let isWrong = false;
  for (const { name, count, run } of SCENARIOS.filter(({ name }) => values.only.includes(name))) {
    const result = await run({ seconds, count });
    console.log(told(name, result, examples));
    isWrong ||= result.wrong.size > 0;
  }
  console.log(isWrong ? "WRONG" : "nothing wrong");
  return isWrong ? 1 : 0;
}

if (import.meta.main) {
  try {
    Deno.exit(await main());
  } catch (error) {
    console.error(`hot: ${(error as Error).message}`);
    Deno.exit(2);
  }
}
