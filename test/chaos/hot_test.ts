/** `deno task hot`, short: what callers of a hot name are told is true while its coordinator stops and nodes die. */
import { assert, assertEquals } from "@std/assert";
import { SCENARIOS } from "./hot_scenarios.ts";

const SECONDS = 6;

for (const [name, count] of [["writers, coordinator stopped", 60], ["counter", 16]] as const) {
  Deno.test(`hot, ${name}: every answer is held against the decided values`, async () => {
    const scenario = SCENARIOS.find((known) => known.name === name)!;
    const { figures, wrong } = await scenario.run({ seconds: SECONDS, count });
    assertEquals(Object.fromEntries(wrong), {}, JSON.stringify(figures));
    assert(Number(figures["acknowledged"]) > 0, JSON.stringify(figures));
  });
}
