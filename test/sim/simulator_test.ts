import { HOST_MUTANTS, ROLE_MUTANTS } from "./explore/mutants.ts";
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { decodeHistory, encodeHistory } from "./check/history_lines.ts";
import { registerFaults } from "./check/registers.ts";
import { History } from "./history.ts";
import { hunt, MUTANTS } from "./mutants.ts";
import { keepsTime, planOf } from "./plan.ts";
import { kindOf, showPlan, shrink } from "./shrink.ts";
import { play, simulate } from "./simulator.ts";

Deno.test("simulator: the same seed is the same run, event by event; another is another", async () => {
  const [first, again, other] = [
    await play(planOf(7), true),
    await play(planOf(7), true),
    await play(planOf(8), true),
  ];
  assertEquals(again, first);
  assertNotEquals(other.digest, first.digest);
  const members = await play(planOf(21), true);
  assertEquals([members, members.figures.memberChanges], [await play(planOf(21), true), 3]);
  // Watching closely changes nothing.
  assertEquals((await play(planOf(7))).figures, first.figures);
});

Deno.test("simulator: what clients saw is a history that can be written, read, and judged by itself", async () => {
  let ended = 0;
  let acquired = 0;
  let unknown = 0;
  // In which of them values of registers end by themselves changes with what the nodes do.
  for (let seed = 50; seed < 70 && (ended === 0 || acquired === 0 || unknown === 0); seed++) {
    const { history } = await simulate(seed);
    acquired += history.filter(({ op, fence }) => op === "acquire" && fence !== undefined).length;
    unknown += history.filter(({ output }) => output === "unknown").length;
    assertEquals(decodeHistory(encodeHistory(history)), history);
    const registers = history.filter(({ key }) => key.startsWith("kv/"));
    assertEquals(registerFaults(registers), []);
    ended += registerFaults(registers.filter(({ process }) => process !== "time")).length;
  }
  assert(ended > 0 && acquired > 0 && unknown > 0, JSON.stringify({ ended, acquired, unknown }));
});

Deno.test("plan: most seeds keep time, some do not; a seed is one plan", () => {
  const plans = Array.from({ length: 200 }, (_, i) => planOf(i + 1));
  const timely = plans.filter(keepsTime).length;
  assert(timely > 100 && timely < 180, `${timely}`);
  assertEquals(planOf(5), planOf(5));
  assertEquals(new Set(plans.map(({ n }) => n)), new Set([3, 4, 5, 6, 7]));
  const kinds = new Set(plans.flatMap(({ faults }) => faults.map(({ kind }) => kind)));
  assertEquals([...kinds].sort(), [
    "crash",
    "cut",
    "disk",
    "kill",
    "kv",
    "late",
    "lost",
    "mute",
    "rollback",
    "slow-disk",
    "stall",
    "wall",
  ]);
});

Deno.test("plan: isolates leave all else of a seed as it is; some clusters are mixed, some processes never live long", () => {
  const plans = Array.from({ length: 100 }, (_, i) => planOf(i + 1, "isolates"));
  for (const plan of plans) {
    const { shared, isolates, lifeMs, faults, ...same } = plan;
    const owners = planOf(plan.seed, "owners");
    assertEquals({ ...same, shared: [], isolates: 0, lifeMs: null, faults: owners.faults }, owners);
    assert(shared.length > 0 && isolates >= 2 && (lifeMs === null || lifeMs >= 400));
    // What no second line finds out must not be asked of it.
    assert(faults.every((fault) => fault.kind !== "rollback" || !shared.includes(fault.node)));
  }
  const mixed = plans.filter(({ shared, n }) => shared.length < n);
  assert(mixed.length > 20 && mixed.length < 80, `${mixed.length}`);
  assert(mixed.some(({ faults }) => faults.some(({ kind }) => kind === "rollback")));
  assert(plans.filter(({ lifeMs }) => lifeMs === 400).length > 8);
});

Deno.test("shrink: leaves what a failure needs, and counts its runs", async () => {
  const plan = planOf(1);
  const kills = plan.faults.filter(({ kind }) => kind === "disk" || kind === "cut");
  assert(kills.length >= 2);
  const needed = kills.slice(0, 2);
  const small = await shrink(plan, "a lock/fast/1 at 3: broken", (candidate) => {
    const fails = needed.every((fault) => candidate.faults.includes(fault)) && candidate.clients.includes(4);
    return Promise.resolve({
      faults: fails ? ["c lock/fast/7 at 12: broken"] : candidate.keys.length > 1 ? ["another thing"] : [],
      figures: {} as never,
      history: [],
      locks: { leases: true, holds: [], reads: [] },
      digest: "",
    });
  });
  assertEquals(small.plan.faults, needed);
  assertEquals([small.plan.clients, small.plan.keys.length, small.plan.links], [[4], 1, {}]);
  assert(small.runs <= 120);
  assert(showPlan(small.plan).startsWith("seed 1: n="));
  assertEquals(kindOf("a lock/x/1 at 3: broken"), kindOf("c lock/y/7 at 12: broken"));
  assertNotEquals(kindOf("a lock/x/1 at 3: broken"), kindOf("a lock/x/1 at 3: stopped"));
});

Deno.test("mutants: the text that each replaces stands in its file exactly once", async () => {
  for (const { name, edits } of MUTANTS) {
    for (const { file, text } of edits) {
      const source = await Deno.readTextFile(new URL(`../../src/${file}`, import.meta.url));
      assertEquals(source.split(text).length, 2, `${name}: ${file}`);
    }
  }
});

Deno.test("mutants of roles and hosts: the text that each replaces stands in its file exactly once", async () => {
  for (const { name, file, edits } of [...ROLE_MUTANTS, ...HOST_MUTANTS]) {
    const source = await Deno.readTextFile(new URL(`../../src/${file}`, import.meta.url));
    for (const { before } of edits) assertEquals(source.split(before).length, 2, `${name}: ${file}: ${before}`);
  }
});

/** All of them: `deno task sim --mutants`, a step of the gate. */
for (const mutant of MUTANTS.slice(0, 2)) {
  Deno.test(`simulator: catches ${mutant.name}`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "quorate-mutants-" });
    try {
      const verdict = await hunt(mutant, folder);
      assert(verdict !== null, `it survived ${mutant.seeds} seeds`);
      // The next hunt in a folder must not run what the one before left in a cache.
      const control = { name: "no bug", edits: [], from: verdict.seed, seeds: 1 };
      assertEquals(await hunt(control, folder), null);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("history: a hold lost too early, and two answers to one request, are found", () => {
  const history = new History(true);
  const grant = {
    lock: "x",
    mode: "exclusive",
    calledMs: 0,
    returnedMs: 1,
    fence: 1n,
    guaranteedUntilMs: 100,
  } as const;
  history.lost(history.granted(grant), 50);
  assert(history.faults().some((fault) => fault.includes("was lost at 50")));
  history.answered("c1", "7");
  history.answered("c1", "7");
  assertEquals(history.faults().length, 1);
  history.answered("c1", "8");
  assert(history.faults().some((fault) => fault.includes("was answered 7, then 8")));
  const untimely = new History(false);
  untimely.lost(untimely.granted(grant), 50);
  assertEquals(untimely.faults(), []);
});
