import { assert, assertEquals } from "@std/assert";
import * as members from "../../../../src/members/mod.ts";
import * as paxos from "../../../../src/paxos/mod.ts";
import { Search } from "../explorer.ts";
import type { Row } from "../frontier.ts";
import { MembersModel } from "./model.ts";
import type { MembersPlan } from "./plans.ts";
import { textOf } from "./things.ts";

const BOUND = 200_000;
const base = { old: "abc", next: "abd", oldInstances: 1, instances: 1, sometimes: [] } as const;
const PLANS: Readonly<Record<string, MembersPlan>> = {
  "X, one import": { ...base, proposers: "", explicit: "b", imports: "a" },
  "two imports": { ...base, proposers: "", imports: "ad" },
  "X after one import": { ...base, instances: 2, proposers: "", imports: "a", nextExplicit: "b" },
};

for (const [name, plan] of Object.entries(PLANS)) {
  Deno.test(`members: ${name}: without promises that are over all comes about that comes about with them`, () => {
    const visible = (reduces: boolean) => {
      const model = new MembersModel({ paxos, members }, plan, reduces);
      const shown = (row: Row) => {
        const things = [...row.parts, ...row.sent].map((id) => model.things.items[id]!);
        return things.filter(({ kind }) => kind !== "promise" && kind !== "import-promise").map(textOf).sort().join();
      };
      const found = new Set<string>();
      const { states, complete, violation } = new Search(model, (_from, to) => void found.add(shown(to))).run(BOUND);
      assert(complete && violation === null);
      return { found, states };
    };
    const reduced = visible(true);
    const whole = visible(false);
    assert(reduced.states < whole.states, "nothing was made one");
    assertEquals(reduced.found.symmetricDifference(whole.found).size, 0);
  });
}
