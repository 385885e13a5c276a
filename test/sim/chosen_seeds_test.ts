import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { seedsOf } from "./chosen_seeds.ts";
import { isDear, NOUNS, type Plan, planOf } from "./plan.ts";

Deno.test("chosen seeds: as they come, from the first on", () => {
  assertEquals(seedsOf({ from: 7, count: 3 }), [7, 8, 9]);
  assertEquals(seedsOf({ from: 1, count: 0 }), []);
});

Deno.test("chosen seeds: sparing, every fourth of the dear ones and all of the others, so many as were asked for", () => {
  const seeds = seedsOf({ from: 1, count: 200, isSparing: true });
  assertEquals([seeds.length, new Set(seeds).size, seeds[0]], [200, 200, 1]);
  const last = seeds.at(-1)!;
  const all = seedsOf({ from: 1, count: last }).filter((seed) => isDear(planOf(seed)));
  const dear = seeds.filter((seed) => isDear(planOf(seed)));
  assertEquals(dear, all.filter((_, i) => i % 4 === 0).slice(0, dear.length));
  const others = seedsOf({ from: 1, count: last }).filter((seed) => !isDear(planOf(seed)));
  assertEquals(seeds.filter((seed) => !isDear(planOf(seed))), others);
});

Deno.test("chosen seeds: a thousand of the gate's have no kind less often than four hundred as they come", () => {
  const plansOf = (count: number, isSparing: boolean) =>
    seedsOf({ from: 1, count, isSparing }).map((seed) => planOf(seed));
  const [many, few] = [plansOf(1_000, true), plansOf(400, false)];
  const kinds: readonly (readonly [string, (plan: Plan) => boolean])[] = [
    ...NOUNS.map((noun) => [noun, ({ nouns }: Plan) => nouns.includes(noun)] as const),
    ["shared stores", ({ shared }) => shared.length > 0],
    ["members that change", ({ changes }) => changes.length > 0],
    ["names that are forgotten", ({ forgetAfterMs }) => forgetAfterMs !== null],
  ];
  for (const [kind, is] of kinds) {
    const least = few.filter(is).length;
    assert(least > 0, kind);
    assertGreaterOrEqual(many.filter(is).length, least, kind);
  }
});
