/**
 * The reductions, checked against a search without any: states that they make one must have the same successors, and
 * there must be as many of them as the reduced search finds.
 */
import { assert, assertEquals } from "@std/assert";
import * as core from "../../../src/paxos/mod.ts";
import { Search } from "./explorer.ts";
import type { Row } from "./frontier.ts";
import { ALL_REDUCTIONS, Model, type Reductions } from "./model.ts";
import type { Plan } from "./plans.ts";

const BOUND = 200_000;

const base = { coordinator: "c", proposers: ["a", "b"], clients: 0, instances: 1, sometimes: [] } as const;
const PLANS: Readonly<Record<string, Plan>> = {
  "F 2+0": { ...base, n: 3, ballots: ["F"] },
  "F 1+1, two nodes idle": { ...base, coordinator: "a", proposers: ["a"], clients: 1, n: 3, ballots: ["F"] },
  "FX 1+0": { ...base, proposers: ["a"], n: 3, ballots: ["F", { x: "b" }] },
  "X 1+0, b opens": { ...base, coordinator: "b", proposers: ["a"], n: 3, ballots: [{ x: "b" }] },
  "FC 1+1": { ...base, proposers: ["a"], clients: 1, n: 3, ballots: ["F", "C"] },
  "FU 2+0": { ...base, n: 3, ballots: ["F", "U"] },
  "KX 1+0": { ...base, coordinator: "a", proposers: ["a"], n: 3, ballots: ["K", { x: "b" }] },
  "F 1+0 with a read": { ...base, coordinator: "a", proposers: ["a"], n: 3, ballots: ["F"], reader: "b" },
  "F 1+0, two instances, two nodes idle": {
    ...base,
    coordinator: "a",
    proposers: ["a"],
    n: 3,
    ballots: ["F"],
    instances: 2,
  },
};
const WITHOUT = {
  things: { ...ALL_REDUCTIONS, things: false },
  messages: { ...ALL_REDUCTIONS, messages: false },
};

/** Without the others the rest of the plans has too many states for a test. */
const SMALL = ["F 2+0", "F 1+1, two nodes idle", "FC 1+1", "KX 1+0"];
const LARGE = ["F 1+0 with a read", "F 1+0, two instances, two nodes idle"];

for (const [name, plan] of Object.entries(PLANS)) {
  for (const [kind, reductions] of Object.entries(WITHOUT)) {
    if (kind === "messages" && LARGE.includes(name)) continue;
    Deno.test(`reductions of ${kind}: ${name}: states made one have the same successors`, () => {
      const whole = new Model(core, plan, reductions);
      const reduced = new Model(core, plan);
      const classes = new Map<string, string>();
      /** The classes of each state's successors. */
      const successors = new Map<string, Set<string>>();
      const note = (row: Row): string => {
        const text = `${row.parts} ${row.sent.toSorted((a, b) => a - b)}`;
        if (!classes.has(text)) {
          classes.set(text, classOf(reduced, whole, row));
          successors.set(text, new Set());
        }
        return text;
      };
      const verdict = new Search(whole, (from, to) => {
        const [before, after] = [note(from), note(to)];
        if (classes.get(before) !== classes.get(after)) successors.get(before)!.add(classes.get(after)!);
      }).run(BOUND);
      assert(verdict.complete && verdict.violation === null);
      const ofClass = new Map<string, ReadonlySet<string>>();
      for (const [state, found] of successors) {
        const known = ofClass.get(classes.get(state)!);
        if (known !== undefined) assertEquals(found, known);
        ofClass.set(classes.get(state)!, found);
      }
      const { states } = new Search(reduced).run(BOUND);
      assertEquals(ofClass.size, states);
      assert(verdict.states > states, "nothing was made one");
    });
  }
  if (!SMALL.includes(name)) continue;
  Deno.test(`reductions of refusals: ${name}: nothing is sent, voted or decided without them that is not with them`, () => {
    const visible = (reductions: Reductions): ReadonlySet<string> => {
      const model = new Model(core, plan, reductions);
      const found = new Set<string>();
      const { complete } = new Search(model, (_from, to) => {
        const things = [...to.parts, ...to.sent].map((id) => model.things.items[id]!);
        const seen = things.filter(({ kind }) => ["record", "request", "vote", "decided"].includes(kind));
        found.add(seen.map((thing) => JSON.stringify(thing)).sort().join());
      }).run(BOUND);
      assert(complete);
      return found;
    };
    const reduced = visible({ ...ALL_REDUCTIONS, messages: false });
    assertEquals(
      [...visible({ ...ALL_REDUCTIONS, messages: false, refusals: false })].filter((text) => !reduced.has(text)),
      [],
    );
  });
}

/** The state of the reduced search that stands for this one of the other. */
function classOf(reduced: Model, whole: Model, row: Row): string {
  const numbers = (ids: readonly number[]) => ids.flatMap((id) => reduced.numberOf(whole.things.items[id]!) ?? []);
  const parts = numbers(row.parts);
  const sent = new Set(numbers(row.sent).filter((id) => !reduced.isDead(id, parts)));
  return leastName(reduced, [...parts, ...sent]);
}

function leastName({ names, things }: Model, ids: readonly number[]): string {
  const found = Array.from({ length: names }, (_, name) => {
    const sum = [0, 0, 0, 0];
    for (const id of ids) {
      for (let lane = 0; lane < 4; lane++) {
        sum[lane] = (sum[lane]! + things.hashes[(id * names + name) * 4 + lane]!) | 0;
      }
    }
    return sum.join();
  });
  return found.sort()[0]!;
}
