/** Which seeds are played. */
import { isDear, type Kind, planOf } from "./plan.ts";

export type Wanted = {
  readonly from: number;
  readonly count: number;
  /** Default: each seed's own. */
  readonly kind?: Kind | undefined;
  /** Only every fourth of those that are dear, and more of the others for it. Default: as they come. */
  readonly isSparing?: boolean;
};

const DEAR_ONE_IN = 4;

export function seedsOf({ from, count, kind, isSparing = false }: Wanted): readonly number[] {
  const seeds: number[] = [];
  let dear = 0;
  for (let seed = from; seeds.length < count; seed++) {
    if (!isSparing || !isDear(planOf(seed, kind)) || dear++ % DEAR_ONE_IN === 0) seeds.push(seed);
  }
  return seeds;
}
