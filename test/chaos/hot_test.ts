/** `deno task hot`, short: what callers of a hot name are told is true while its coordinator stops and nodes die. */
import { assert, assertEquals } from "@std/assert";
import { told } from "./hot.ts";
import { SCENARIOS } from "./hot_scenarios.ts";

const SECONDS = 5;
const EXAMPLES = 3;

for (
  const [name, count, faults] of [
    ["writers, coordinator stopped", 60, "pauses"],
    ["counter", 16, "kills"],
  ] as const
) {
  Deno.test(`hot, ${name}: every answer is held against the decided values`, async () => {
    const result = await SCENARIOS.find((known) => known.name === name)!.run({ seconds: SECONDS, count });
    const line = told(name, result, EXAMPLES);
    assertEquals(result.wrong.size, 0, line);
    for (const figure of ["acknowledged", "instances", faults]) assert(Number(result.figures[figure]) > 0, line);
  });
}
