import { assertEquals, assertMatch } from "@std/assert";
import { type ChangeFacts, isDone, objection, refusalOf, type Standing } from "../../src/epochs/change.ts";
import { epochOf, KNOWS } from "./samples.ts";

const CURRENT = epochOf(2, "abc");
const FREE = { current: CURRENT, isMoving: false, learners: [] };
const to = (ids: string, expect = 2) => ({ expect, members: epochOf(0, ids).members });

function standing(id: string, more: Partial<Standing> = {}): Standing {
  const isMember = "abc".includes(id);
  return {
    cluster: CURRENT.cluster,
    id,
    incarnation: isMember ? `life-${id}` : null,
    isJoining: !isMember,
    isShared: false,
    ...KNOWS,
    ...more,
  };
}

Deno.test("change: what is refused before anybody is asked", () => {
  const cases: readonly (readonly [ReturnType<typeof to>, Partial<typeof FREE>, string | null, RegExp])[] = [
    [to("abd"), {}, null, /^$/],
    [to("abcd"), {}, null, /^$/],
    [to("a"), {}, null, /^$/],
    [to("def"), {}, null, /^$/],
    [to("abd", 1), {}, "precondition-failed", /of epoch 2, not of 1/],
    [to("abd", 3), {}, "precondition-failed", /of epoch 2, not of 3/],
    [to("ab"), {}, "invalid-request", /lists 2 members/],
    [to(""), {}, "invalid-request", /lists 0 members/],
    [to("abcdefghij"), {}, "invalid-request", /lists 10 members/],
    [to("abdd"), {}, "invalid-request", /lists a member twice/],
    [
      { expect: 2, members: [...CURRENT.members, { id: "d", url: CURRENT.members[0]!.url }] },
      {},
      "invalid-request",
      /same URL/,
    ],
    [
      { expect: 2, members: [{ id: "a", url: "http://elsewhere" }, ...CURRENT.members.slice(1)] },
      {},
      "invalid-request",
      /another URL than http/,
    ],
    [to("abd"), { isMoving: true }, "not-ready", /names of epoch 1 still have to move/],
    [to("abd"), { learners: ["d"] as never }, "invalid-request", /lists d, which is a learner/],
    [to("abd"), { learners: ["v"] as never }, null, /^$/],
  ];
  for (const [request, facts, code, detail] of cases) {
    const refused = refusalOf(request, { ...FREE, ...facts });
    assertEquals(refused?.code ?? null, code, detail.source);
    assertMatch(refused?.message ?? "", detail);
  }
});

Deno.test("change: what nodes say of themselves may speak against it", () => {
  const all = (ids: string, more: Readonly<Record<string, Standing | string>> = {}) =>
    new Map<string, Standing | string>([...ids].map((id) => [id, more[id] ?? standing(id)]));
  type Case = readonly [ReturnType<typeof to>, ChangeFacts["standings"], readonly string[], RegExp];
  const cases: readonly Case[] = [
    [to("abd"), all("abcd"), [], /^$/],
    [to("abd"), all("abcd", { c: "it is gone" }), [], /^$/],
    [to("abcd"), all("abcd"), [], /^$/],
    [to("a"), all("abc"), [], /^$/],
    [to("def"), all("abcdef"), [], /^$/],
    [to("def"), all("abcdef", { c: "gone" }), [], /^$/],
    [to("abd"), all("abcd"), ["d"], /d, which was a member before/],
    [to("abd"), all("abcd", { d: "refused" }), [], /d does not answer at http:\S+: refused/],
    [to("abd"), all("abc"), [], /d does not answer at http:\S+: it was not asked/],
    [to("abd"), all("abcd", { d: standing("e") }), [], /e answers at http:\S+, not d/],
    [to("abd"), all("abcd", { d: standing("d", { cluster: "q-x" }) }), [], /d waits to join cluster q-x/],
    [to("abd"), all("abcd", { d: standing("d", { isJoining: false }) }), [], /d does not wait to join/],
    [to("abd"), all("abcd", { d: standing("d", { incarnation: "life" }) }), [], /d does not wait to join/],
    [to("abd"), all("abcd", { b: standing("b", { isShared: true }) }), [], /b keeps its votes in a shared database/],
    [to("abd"), all("abcd", { b: "gone", c: "gone" }), [], /2 of a, b, c have to answer, .*silent: b, c/],
    [to("abd"), all("abcd", { b: "gone" }), [], /d needs 2 other new members .*silent: b/],
    [to("ade"), all("abcde", { a: "gone" }), [], /needs 2 other new members/],
  ];
  for (const [request, standings, met, detail] of cases) {
    const objected = objection(request, { ...FREE, standings, met: new Set(met) });
    assertMatch(objected?.message ?? "", detail, detail.source);
  }
});

Deno.test("change: whose software knows too little to vote, or to talk with the others, does not become a member", () => {
  const own = KNOWS.version;
  const version = (more: Partial<typeof own>) => ({ version: { ...own, version: "9.1.0", ...more } });
  const [later, sooner] = [{ least: own.wires.most + 1, most: own.wires.most + 2 }, { least: 1, most: own.wires.most }];
  const raised = own.machine + 1;
  const cases: readonly (readonly [string, Readonly<Record<string, Partial<Standing>>>, RegExp])[] = [
    [
      "abd",
      { d: version({ machine: 1 }) },
      /^d \(9\.1\.0\) knows up to version 1 of the machine, and the cluster's was raised to \d+: /,
    ],
    [
      "abd",
      { b: { raised } },
      /d \(.*\) knows up to version \d+ of the machine, and the cluster's was raised to \d+: start it/,
    ],
    // Who leaves has heard it too.
    ["abd", { c: { raised } }, /was raised to/],
    ["abd", { b: { raised }, d: version({ machine: raised }) }, /^$/],
    ["abd", { d: version({ machine: 9 }) }, /^$/],
    [
      "abd",
      { d: version({ wires: later }) },
      /^d \(9\.1\.0\) speaks wires \d+ to \d+, and a speaks wires \d+ to \d+: start it/,
    ],
    ["abd", { b: version({ wires: later }) }, /^d .* speaks wires \d+ to \d+, and b speaks wires/],
    ["abd", { c: version({ wires: later }) }, /^$/],
    ["abde", { e: version({ wires: later }) }, /^d .* and e speaks wires/],
    ["abd", { d: version({ wires: sooner }) }, /^$/],
    // Who is a member already is asked for nothing of the kind: it votes, or says why not.
    ["abc", { a: version({ machine: 1 }), b: { raised } }, /^$/],
  ];
  for (const [ids, more, detail] of cases) {
    const all = new Set([...ids, ..."abc"]);
    const standings = new Map([...all].map((id) => [id, standing(id, more[id])]));
    const objected = objection(to(ids), { ...FREE, standings, met: new Set() });
    assertMatch(objected?.message ?? "", detail, detail.source);
    if (objected === null) continue;
    assertEquals([objected.code, objected.facts.outcome, objected.facts.more], ["not-upgraded", "none", {
      behind: ["d"],
    }]);
  }
});

Deno.test("change: asked for again, it is done; so is what would change nothing", () => {
  assertEquals(isDone(to("abc", 1), CURRENT), true);
  assertEquals(isDone(to("cba", 2), CURRENT), true);
  assertEquals(isDone(to("abc", 0), CURRENT), false);
  assertEquals(isDone(to("abc", 3), CURRENT), false);
  assertEquals(isDone(to("abd", 1), CURRENT), false);
});
