import { assert, assertEquals } from "@std/assert";
import { History } from "./history.ts";
import { simulate } from "./simulator.ts";

const SEEDS = 40;

Deno.test(`simulator: ${SEEDS} seeds: agreement, fences, leases, and every key writable after healing`, async () => {
  const paths: Record<string, number> = {};
  let kills = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { figures, faults } = await simulate(seed);
    assertEquals(faults, [], `seed ${seed}: deno task sim --seed ${seed}`);
    kills += figures.kills;
    for (const [path, count] of Object.entries(figures.paths)) paths[path] = (paths[path] ?? 0) + count;
  }
  // A run in which nothing died and nothing collided would show nothing.
  assert(kills > SEEDS);
  for (const path of ["fast", "open-fast", "classic", "recovered"]) assert((paths[path] ?? 0) > 0, path);
});

Deno.test("simulator: the same seed is the same run", async () => {
  assertEquals(await simulate(7), await simulate(7));
});

Deno.test("history: two holders at once, a hold lost too early, are found", () => {
  const history = new History();
  const first = history.granted("x", 0, 1, 1n, 100);
  history.granted("x", 2, 3, 2n, 103);
  assert(history.faults().some((fault) => fault.includes("was answered at 3, while 1 was guaranteed until 100")));
  history.lost(first, 50);
  assert(history.faults().some((fault) => fault.includes("was lost at 50")));
});
