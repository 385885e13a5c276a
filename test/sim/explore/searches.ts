/** All that can be searched: the plans of one epoch, and those of two. */
import * as members from "../../../src/members/mod.ts";
import * as paxos from "../../../src/paxos/mod.ts";
import { type Count, COUNTS, pinnedBound, unlikePinned } from "./counts.ts";
import { explore, Search, unseen, type Verdict } from "./explorer.ts";
import { MEMBERS_COUNTS } from "./members/counts.ts";
import { MembersModel } from "./members/model.ts";
import { MEMBERS_PLANS, type MembersPlan, type MembersPlanName } from "./members/plans.ts";
import { type Plan, type PlanName, PLANS } from "./plans.ts";

export type PlannedSearch = {
  readonly name: string;
  readonly count: Count;
  run(bound?: number): Verdict;
  /** Where the verdict is not what is pinned. */
  unlike(verdict: Verdict): readonly string[];
  /** What the search did not come to, though it is there for it. */
  unseen(verdict: Verdict): readonly string[];
};

export const SEARCHES: readonly PlannedSearch[] = [
  ...(Object.keys(PLANS) as PlanName[]).map((name) => {
    const plan: Plan = PLANS[name];
    return planned(name, COUNTS[name], "counts.ts", plan, (bound) => explore(paxos, plan, bound));
  }),
  ...(Object.keys(MEMBERS_PLANS) as MembersPlanName[]).map((name) => {
    const plan: MembersPlan = MEMBERS_PLANS[name];
    return planned(name, MEMBERS_COUNTS[name], "members/counts.ts", plan, (bound) => {
      return new Search(new MembersModel({ paxos, members }, plan)).run(bound);
    });
  }),
];

function planned(
  name: string,
  count: Count,
  file: string,
  plan: { readonly sometimes: readonly string[] },
  run: (bound: number) => Verdict,
): PlannedSearch {
  return {
    name,
    count,
    run: (bound = pinnedBound(count)) => run(bound),
    unlike: (verdict) => unlikePinned(name, count, `test/sim/explore/${file}`, verdict),
    unseen: (verdict) => unseen(plan, verdict),
  };
}
