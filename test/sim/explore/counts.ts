/**
 * The number of states of every plan, pinned: a count that moves says that the roles, the plans or the reductions did.
 * `test`: also part of `deno task test`; `gate`: of `deno task explore`; `deep`: of `deno task explore --deep`.
 */
import type { Verdict } from "./explorer.ts";
import type { PlanName } from "./plans.ts";

export type Count = {
  readonly in: "test" | "gate" | "deep";
  readonly states: number;
  /** False: so far and no further; there are more. */
  readonly complete: boolean;
};

export function all(kind: Count["in"], states: number): Count {
  return { in: kind, states, complete: true };
}

export function upTo(states: number): Count {
  return { in: "deep", states, complete: false };
}

export const COUNTS: Readonly<Record<PlanName, Count>> = {
  "FXX n=3 2+0, c opens, a finishes": all("deep", 1_960_385),
  "FXcX n=3 2+0, c opens, a finishes": all("deep", 7_054_527),
  "FXuX n=3 2+0, c opens, a finishes": upTo(1_000_000),
  "FX n=3 2+0, a finishes": all("test", 10_157),
  "FC n=3 2+0, b coordinates": all("test", 9_247),
  "FC n=3 2+0, c coordinates": all("test", 12_161),
  "FC n=3 2+0, c coordinates twice": all("gate", 278_601),
  "FXX n=3 2+0, a and b finish": all("deep", 549_623),
  "FX n=3 2+0 with a read": upTo(1_000_000),
  "FX n=3 2+0, c finishes": all("test", 42_227),
  "FX n=3 2+1, a finishes": all("test", 21_251),
  "FX n=3 2+1, c finishes": all("gate", 85_810),
  "FX n=3 3+0, a finishes": all("gate", 105_774),
  "FXX n=3 2+1, a and b finish": all("deep", 1_204_098),
  "FXX n=3 2+1, a finishes twice": all("deep", 268_557),
  "FXX n=3 2+1, a and c finish": upTo(1_000_000),
  "FCX n=3 2+0, c coordinates, a finishes": all("gate", 214_004),
  "FCX n=3 2+0, b coordinates, a finishes": all("gate", 161_556),
  "FCX n=3 2+1, c coordinates, a finishes": all("gate", 427_252),
  "FCX n=3 2+1, a coordinates, b finishes": all("deep", 343_944),
  "FCX n=3 3+0, c coordinates, a finishes": upTo(1_000_000),
  "FCXX n=3 2+1, c coordinates, a and b finish": upTo(1_000_000),
  "FUX n=3 2+0, a finishes": all("test", 47_795),
  "FUX n=3 2+1, a finishes": all("gate", 151_614),
  "FUX n=3 2+1, c finishes": all("deep", 581_964),
  "FUXX n=3 2+1, a and b finish": upTo(1_000_000),
  "FCX n=3 2+0 with a read": upTo(1_000_000),
  "FUX n=3 2+0 with a read": upTo(1_000_000),
  "FUX n=3 2+1 with a read": upTo(1_000_000),
  "FXX n=3 2+0 with a read": upTo(1_000_000),
  "FU n=3 2+0 with a read": all("gate", 344_509),
  "F n=3 2+0, two instances": all("test", 62_501),
  "F n=3 2+0, two instances, what is learned is forgotten": all("gate", 66_389),
  "KX n=3 2+0, two instances, a coordinates, b finishes, what is learned is forgotten": all("deep", 539_785),
  "FX n=3 2+0, two instances, a finishes, what is learned is forgotten": upTo(1_000_000),
  "FC n=3 2+0, two instances, c coordinates": upTo(1_000_000),
  "FU n=3 2+0, two instances": all("deep", 909_509),
  "FX n=3 2+0, two instances, a finishes": upTo(1_000_000),
  "FCX n=3 2+1, two instances, c coordinates, a finishes": upTo(1_000_000),
  "FCX n=3 3+0, two instances, c coordinates, a finishes": upTo(1_000_000),
  "FUX n=3 2+1, two instances, a finishes": upTo(1_000_000),
  "KX n=3 2+0, two instances, a coordinates, b finishes": all("gate", 507_705),
  "FX n=3 2+1, two instances, then classic of a": upTo(1_000_000),
  "FX n=3 2+0, c finishes, a is damaged": all("gate", 134_462),
  "F n=3 2+0, two instances, a is damaged": all("gate", 414_107),
  "F n=3 2+0, two instances, c is damaged": all("deep", 421_919),
  "F n=3 1+0, three instances, a is damaged": all("test", 33_926),
  "F n=3 1+0 of b, three instances, a is damaged": all("test", 36_596),
  "F n=3 2+0, the third instance, c is behind, a is damaged": all("test", 9_398),
  "KX n=3 2+0, two instances, a coordinates, b finishes, a is damaged": upTo(1_000_000),
  "FX n=3 2+0, c finishes, votes overlap": all("gate", 140_374),
  "FX n=3 2+0, a finishes, votes overlap": all("test", 27_126),
  "FX n=3 2+1, a finishes, votes overlap": all("gate", 53_366),
  "FCX n=3 2+0, c coordinates, a finishes, votes overlap": all("deep", 428_664),
  "FCX n=3 2+0, b coordinates, a finishes, votes overlap": all("deep", 400_793),
  "FUX n=3 2+0, a finishes, votes overlap": all("gate", 110_402),
  "FX n=3 2+0 with a read, votes overlap": upTo(1_000_000),
  "FXX n=3 2+0, a and b finish, votes overlap": all("deep", 990_346),
  "F n=3 2+0, two instances, votes overlap": all("deep", 565_239),
  "FC n=3 2+0, two instances, c coordinates, votes overlap": upTo(1_000_000),
  "FX n=3 2+0, the second instance, c finishes, votes overlap": all("gate", 142_742),
  "FC n=3 2+0, the second instance, c coordinates, votes overlap": all("gate", 36_551),
  "FCX n=3 2+0, the second instance, c coordinates, a finishes, votes overlap": all("gate", 439_845),
  "FX n=5 2+0, a finishes, votes overlap": upTo(1_000_000),
  "FC n=5 2+0, a coordinates, votes overlap": upTo(1_000_000),
  "FX n=4 2+1, a finishes": all("gate", 194_925),
  "FCX n=4 2+1, c coordinates, a finishes": upTo(1_000_000),
  "FUX n=4 2+1, a finishes": upTo(1_000_000),
  "FUX n=4 2+0, a finishes": all("deep", 1_065_316),
  "FUX n=4 2+0, c finishes": upTo(1_000_000),
  "FUX n=4 2+1, c finishes": upTo(1_000_000),
  "FUX n=4 3+0, a finishes": upTo(1_000_000),
  "XX n=3 2+0, c opens, a finishes": all("gate", 103_095),
  "XcX n=3 2+0, c opens, a finishes": upTo(1_000_000),
  "XuX n=3 2+0, c opens, a finishes": all("deep", 449_659),
  "OX n=3 2+0, c opened, a finishes": all("test", 10_157),
  "OX n=3 2+0, a opened, c finishes": all("gate", 42_227),
  "OCX n=3 2+0, c opened and coordinates, a finishes": all("deep", 214_004),
  "OUX n=3 2+1, c opened, a finishes": all("deep", 151_614),
  "OC n=3 2+0, c opened and coordinates": all("gate", 12_161),
  "OC n=5 2+0, c opened and coordinates": upTo(1_000_000),
  "OX n=5 2+0, a opened, c finishes": upTo(1_000_000),
  "FX n=5 2+0, a finishes": all("gate", 1_176_020),
  "FX n=5 2+1, a finishes": upTo(1_000_000),
  "FC n=5 2+0, a coordinates": upTo(1_000_000),
  "FCX n=5 2+0, c coordinates, a finishes": upTo(1_000_000),
  "FCX n=5 2+0, a coordinates, b finishes": upTo(1_000_000),
  "FU n=5 2+0": all("gate", 161_783),
  "FUX n=5 2+0, a finishes": upTo(1_000_000),
  "FU n=5 2+0 with a read": upTo(1_000_000),
  "FC n=5 2+0 with a read": upTo(1_000_000),
  "F n=5 2+0, two instances": upTo(1_000_000),
  "FU n=5 2+0, two instances": upTo(1_000_000),
  "FC n=5 2+0, two instances": upTo(1_000_000),
};

/** Enough to end where the count has not moved, and not for ever where it has. */
export function pinnedBound({ states, complete }: Count): number {
  return complete ? 2 * states : states;
}

/** @param file where the count stands */
export function unlikePinned(
  name: string,
  pinned: Count,
  file: string,
  { states, complete }: Verdict,
): readonly string[] {
  if (states === pinned.states && complete === pinned.complete) return [];
  const say = (count: { readonly states: number; readonly complete: boolean }) =>
    `${count.states} states${count.complete ? "" : " (not complete)"}`;
  return [
    `${name}: ${say({ states, complete })}, but pinned are ${say(pinned)}. If this is as it should be, ` +
    `pin the new count in ${file} and give the reason in the commit.`,
  ];
}
