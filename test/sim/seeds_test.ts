import { assert, assertEquals } from "@std/assert";
import { NOUNS } from "./plan.ts";
import { simulate } from "./simulator.ts";
import { Totals } from "./totals.ts";

const SEEDS = 20;

Deno.test(`simulator: ${SEEDS} seeds: agreement, fences, leases, queues, and every key writable after healing`, async () => {
  const totals = new Totals();
  const paths = new Set<string>();
  let [kills, collided, hedged, direct, handOvers] = [0, 0, 0, 0, 0];
  let [isolates, evictions, unknownCommits, hungCalls, conflicts, memberChanges, forgotten] = [0, 0, 0, 0, 0, 0, 0];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { figures, faults } = await simulate(seed);
    assertEquals(faults, [], `seed ${seed}: deno task sim --seed ${seed}`);
    totals.add(figures);
    kills += figures.kills;
    collided += figures.decisions.collided;
    hedged += figures.hedged;
    direct += figures.direct;
    handOvers += figures.handOvers;
    for (const path of Object.keys(figures.paths)) paths.add(path);
    isolates += figures.isolates;
    evictions += figures.evictions;
    unknownCommits += figures.unknownCommits;
    hungCalls += figures.hungCalls;
    conflicts += figures.conflicts;
    memberChanges += figures.memberChanges;
    forgotten += figures.forgotten;
  }
  // A run in which nothing died and nothing collided would show nothing.
  assert(kills > 2 * SEEDS && collided > 0 && hedged > SEEDS && direct > SEEDS && handOvers > SEEDS);
  // Every fourth is of members that many processes serve each.
  assertEquals(isolates, SEEDS / 4);
  assert(evictions > 10 * isolates && unknownCommits > isolates && hungCalls > isolates && conflicts > isolates);
  // And every fourth changes its members, most of them more than once.
  assert(memberChanges > SEEDS / 4, `${memberChanges}`);
  // In every fifth names are forgotten.
  assert(forgotten > SEEDS / 5, `${forgotten}`);
  for (const path of ["fast", "open-fast", "classic", "recovered"]) assert(paths.has(path), path);
  assert(totals.missed().length < 12, totals.missed().join("; "));
  assertEquals(totals.idle(), [], "every noun is used");
  assertEquals(new Totals().idle(), NOUNS, "of which a run of none says so");
});
